"""Files that results are written to: never over a file of a store, and whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from taskgen.errors import SettingsError
from taskgen.events.csv import COLUMNS, QUARANTINE_COLUMNS
from taskgen.events.csv_file import lines
from taskgen.events.tables import COLUMNS_OF

_SQLITE: Final = b"SQLite format 3\0"
_ZIP: Final = b"PK\3\4"
_OF_SQLITE: Final = re.compile(r"(.+)-(?:wal|shm|journal)")
_BESIDE_CSV: Final = re.compile(rf"(.+)\.(?:{'|'.join((*COLUMNS_OF, 'quarantine'))})\.csv")
_EVENTS: Final = lines([COLUMNS])
_EXPORTED_ALIKE: Final = frozenset({"tasks", "campaigns"})
"""Tables that `taskgen export` writes with the header that a CSV store has: there, the name tells."""
_HEADERS: Final = (
    _EVENTS,
    lines([QUARANTINE_COLUMNS]),
    *(lines([columns]) for table, columns in COLUMNS_OF.items() if table not in _EXPORTED_ALIKE),
)


def check_output(path: Path) -> None:
    """Check that writing a file destroys no results.

    Raises:
        SettingsError: it is a store or a bundle, or belongs to one.
    """
    try:
        found = _store_at(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    if found:
        raise SettingsError(f"{path} {found}, which would be lost; choose another path")


@contextmanager
def new_output(path: Path) -> Iterator[Path]:
    """Write a file; it gets its name when it is complete, so a failure leaves the former one as it was.

    Anything but a regular file, such as /dev/stdout, is written to directly.

    Returns:
        The path to write to, with the same name in another folder.

    Raises:
        SettingsError: it cannot be written, or would be written over a store.
    """
    check_output(path)
    try:
        if path.exists() and not path.is_file():
            yield path
            return
        target = path.resolve()
        if target.exists() and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".taskgen-") as folder:
            part = Path(folder) / target.name
            yield part
            if target.exists():
                shutil.copymode(target, part)
            part.replace(target)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> SettingsError:
    return SettingsError(f"cannot write {path}: {error.strerror or error}; choose another path")


def _store_at(path: Path) -> str:
    """What a path is, if it is one of a store."""
    if _begins_with(path, _SQLITE):
        return "is a SQLite database"
    if _begins_with(path, _ZIP):
        return "is a bundle or another zip file"
    if any(_begins_with(path, header) for header in _HEADERS):
        return "is a file of a CSV store"
    if (of := _OF_SQLITE.fullmatch(path.name)) and _begins_with(path.with_name(of[1]), _SQLITE):
        return f"belongs to the database {of[1]}"
    if of := _BESIDE_CSV.fullmatch(path.name):
        for name in (f"{of[1]}.csv", of[1]):
            if _begins_with(path.with_name(name), _EVENTS):
                return f"belongs to the CSV store {name}"
    return ""


def _begins_with(path: Path, data: bytes) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(data)) == data
