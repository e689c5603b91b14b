"""The zip file of a bundle: written whole or not at all, and not trusted when it is read."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple, Self

from taskgen.errors import BundleError, SettingsError
from taskgen.untrusted_text import brief

SUFFIX: Final = ".zip"
MANIFEST: Final = "manifest-sha256.txt"
"""SHA-256 of every other file, as `sha256sum` writes and checks it."""
TASKSETS: Final = "tasksets.jsonl"
"""One line of JSON for each variant: what `taskgen run` repeats."""
EVENTS: Final = "events.csv"
"""A CSV store; its other tables are beside it."""
JOBS: Final = "jobs.csv"
"""The metrics of the jobs of the runs in the statistics; docs/time.md defines the columns."""
ABOUT: Final = "bundle.json"
"""Description of the bundle, with the incomplete runs."""

_NEEDED: Final = (ABOUT, TASKSETS, EVENTS, JOBS)

_MOST_ENTRIES: Final = 1_000
_MOST_DIRECTORY_BYTES: Final = 2**20
"""Maximum size of the list of files at the end of a zip file."""
_TAIL_BYTES: Final = 2**16 + 128
"""The end of a zip file, where the size of that list is: before a comment of at most 2^16 bytes ..."""
_ZIP64_END: Final = 76
"""... and, if it is large, once more this many bytes before."""
_MOST_MANIFEST_BYTES: Final = 2**20
_HARMLESS_BYTES: Final = 2**26
_MOST_RATIO: Final = 200
"""Of what is unpacked to what is packed; events are packed to about a tenth, and a bomb to a thousandth."""
_CHUNK_BYTES: Final = 2**18
_SCHEME: Final = re.compile("(sqlite|csv|postgres|postgresql):")
_LISTED: Final = re.compile(r"([0-9a-f]{64})  ([^/\\\0\n]+)")
_FAULTS: Final = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
)
"""Errors of the zip module for damaged archives, unknown compressions and encrypted files."""


class Entry(NamedTuple):
    """A file of a bundle."""

    name: str
    size: int
    """In bytes."""
    sha256: str


def is_bundle(path: str | Path) -> bool:
    """Whether a path is named like a bundle; `sqlite:events.zip` is a store."""
    return str(path).lower().endswith(SUFFIX) and not _SCHEME.match(str(path))


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, by which a bundle can be cited.

    Raises:
        BundleError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from error


class BundleWriter:
    """Adds files to a new bundle, piece by piece."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.entries: list[Entry] = []
        """The files so far."""
        self._archive = archive
        self._now = time.localtime()[:6]

    def add(self, name: str, pieces: Iterable[bytes]) -> None:
        """Add a file."""
        info = zipfile.ZipInfo(name, self._now)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = (stat.S_IFREG | 0o644) << 16
        digest, size = hashlib.sha256(), 0
        with self._archive.open(info, "w", force_zip64=True) as file:
            for piece in pieces:
                file.write(piece)
                digest.update(piece)
                size += len(piece)
        self.entries.append(Entry(name, size, digest.hexdigest()))

    def add_manifest(self) -> None:
        """Add the manifest, as the last file."""
        listed = sorted(self.entries, key=lambda entry: entry.name)
        self.add(MANIFEST, [f"{entry.sha256}  {entry.name}\n".encode() for entry in listed])


@contextmanager
def new_bundle(path: Path, *, replaces: bool = False) -> Iterator[BundleWriter]:
    """Write a bundle, which gets its name when it is complete.

    Args:
        path: the file.
        replaces: whether an existing file may be replaced.

    Raises:
        SettingsError: the file exists or cannot be written.
    """
    check_new(path, replaces=replaces)
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            part = Path(folder) / path.name
            with zipfile.ZipFile(part, "x") as archive:
                writer = BundleWriter(archive)
                yield writer
                writer.add_manifest()
            with part.open("rb") as written:
                os.fsync(written)
            check_new(path, replaces=replaces)  # it may exist by now
            part.replace(path)
    except OSError as error:
        raise SettingsError(f"cannot write {path}: {error.strerror or error}; choose another path") from error


def check_new(path: Path, *, replaces: bool) -> None:
    """Check that a bundle may have this name.

    Raises:
        SettingsError: it may not.
    """
    if not is_bundle(path):
        raise SettingsError(f"{path}: give a file whose name ends with {SUFFIX}")
    if path.is_dir():
        raise SettingsError(f"{path} is a folder; give the name of a file")
    if path.exists() and not replaces:
        raise SettingsError(f"{path} exists; give another name, or replace it with --overwrite")


class BundleFile:
    """An existing bundle, open for reading; a context manager.

    Raises:
        BundleError: it is damaged or malicious, or is not a bundle.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._translated():
            self._check_directory()
            self._archive = zipfile.ZipFile(path)
        try:
            self._check_entries()
            self._digests = self._manifest()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._archive.close()

    @property
    def names(self) -> list[str]:
        """The files that the manifest lists."""
        return list(self._digests)

    def differences(self) -> Iterator[str]:
        """Files that are missing, were changed or were added since the bundle was created, one line each."""
        present = set(self._archive.namelist())
        for name, sha256 in self._digests.items():
            if name not in present:
                yield f"{name} is missing"
            elif self._digest(name) != sha256:
                yield f"{name} was changed"
        for name in sorted(present - {*self._digests, MANIFEST}):
            yield f"{brief(name)} was added"

    def check(self) -> None:
        """Check that the bundle is complete and unchanged.

        Raises:
            BundleError: it is not.
        """
        found = list(self.differences())
        if found:
            more = f", and {len(found) - 1} more" if len(found) > 1 else ""
            raise self._error(f"{found[0]}{more}; get an unchanged copy")

    def pieces(self, name: str) -> Iterator[bytes]:
        """The content of a file."""
        with self._translated(), self._archive.open(name) as file:
            while piece := file.read(_CHUNK_BYTES):
                yield piece

    def unpack(self, folder: Path) -> None:
        """Write all files that the manifest lists into an empty folder.

        Raises:
            BundleError: there is no room for them.
        """
        for name in self._digests:
            try:
                with (folder / name).open("xb") as file:
                    for piece in self.pieces(name):
                        file.write(piece)
            except OSError as error:
                raise self._error(
                    f"cannot be unpacked into {folder}: {error.strerror}; TMPDIR chooses another folder"
                ) from error

    def _digest(self, name: str) -> str | None:
        """SHA-256 of a file; None if it cannot be unpacked."""
        digest = hashlib.sha256()
        try:
            for piece in self.pieces(name):
                digest.update(piece)
        except BundleError:
            return None
        return digest.hexdigest()

    def _check_directory(self) -> None:
        """Refuse a list of files that would take much memory to read: the zip module reads all of it."""
        with self.path.open("rb") as file:
            file.seek(max(0, self.path.stat().st_size - _TAIL_BYTES))
            tail = file.read()
        end = tail.rfind(b"PK\5\6")
        size = int.from_bytes(tail[end + 12 : end + 16], "little")
        large = tail[max(0, end - _ZIP64_END) : end]
        if large.startswith(b"PK\6\6"):
            size = int.from_bytes(large[40:48], "little")
        if end >= 0 and size > _MOST_DIRECTORY_BYTES:
            raise self._error(f"has too many files; no bundle has more than {_MOST_ENTRIES:,}")

    def _check_entries(self) -> None:
        entries = self._archive.infolist()
        if len(entries) > _MOST_ENTRIES:
            raise self._error(f"has {len(entries):,} files; no bundle has more than {_MOST_ENTRIES:,}")
        for entry in entries:
            if _leads_elsewhere(entry.filename):
                raise self._error(
                    f"has a file {brief(repr(entry.filename))}, which would be unpacked outside of it"
                )
            if stat.S_ISLNK(entry.external_attr >> 16):
                raise self._error(f"{brief(entry.filename)} is a symbolic link; no bundle has one")
        if len({entry.filename for entry in entries}) < len(entries):
            raise self._error("has two files of the same name")
        unpacked = sum(entry.file_size for entry in entries)
        if unpacked > _HARMLESS_BYTES and unpacked > _MOST_RATIO * self.path.stat().st_size:
            raise self._error(f"would unpack to {unpacked:,} bytes, over {_MOST_RATIO} times its size")

    def _manifest(self) -> dict[str, str]:
        if MANIFEST not in self._archive.namelist():
            raise self._error(f"is not a taskgen bundle: it has no {MANIFEST}")
        if self._archive.getinfo(MANIFEST).file_size > _MOST_MANIFEST_BYTES:
            raise self._error(f"its {MANIFEST} is too large")
        text = b"".join(self.pieces(MANIFEST)).decode("utf-8", errors="replace")
        digests: dict[str, str] = {}
        for line in text.splitlines():
            listed = _LISTED.fullmatch(line)
            if listed is None or listed[2] in {MANIFEST, ".", ".."}:
                raise self._error(f"its {MANIFEST} has an invalid line: {brief(repr(line))}")
            digests[listed[2]] = listed[1]
        if lacking := [name for name in _NEEDED if name not in digests]:
            raise self._error(f"is not a taskgen bundle: its {MANIFEST} lists no {lacking[0]}")
        return digests

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._error(f"cannot be read: {error.strerror or error}") from error
        except _FAULTS as error:
            raise self._error(f"is not a zip file, or is damaged: {brief(error)}") from error

    def _error(self, text: str) -> BundleError:
        return BundleError(f"{self.path}: {text}")


def _leads_elsewhere(name: str) -> bool:
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or "\0" in name


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """A temporary folder with the files of a bundle that is complete and unchanged.

    Raises:
        BundleError: it is not, or is no bundle.
    """
    with BundleFile(path) as bundle, tempfile.TemporaryDirectory(prefix="taskgen-") as folder:
        bundle.check()
        bundle.unpack(Path(folder))
        yield Path(folder)
