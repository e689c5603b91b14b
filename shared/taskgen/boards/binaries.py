"""The tasks' binaries: checked before any board is touched, read when a board needs them."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from taskgen.errors import SettingsError, TaskSetError
from taskgen.taskset import TaskSet
from taskgen.variants import known_choices


def binaries_folder(path: str | Path | None) -> Path | None:
    """Return the folder as a path.

    Raises:
        SettingsError: the folder does not exist.
    """
    if path is None:
        return None
    folder = Path(path)
    if not folder.is_dir():
        raise SettingsError(f"binaries: {folder} is not a folder; give the folder with the tasks' binaries")
    return folder


def check_binaries(taskset: TaskSet, folder: Path | None) -> None:
    """Check that the folder holds every binary that the tasks name; without a folder the boards hold them.

    Raises:
        TaskSetError: a binary is missing; the text names source, task and field.
    """
    for number, task in enumerate(taskset) if folder is not None else ():
        for name in known_choices(task["pkg"]):
            if not (folder / name).is_file():
                where = f"{taskset.source}: task {number} (id {task.id}): pkg"
                raise TaskSetError(f"{where}: there is no binary {name!r} in {folder}")


def digests(taskset: TaskSet, folder: Path) -> dict[str, str]:
    """SHA-256 (hexadecimal) of the binaries of a variant, by name; without those that cannot be read now."""
    found = {}
    for name in sorted(taskset.binaries()):
        with suppress(OSError):  # sending it to the board reports that
            path = folder / name
            state = path.stat()
            found[name] = _digest(path, state.st_mtime_ns, state.st_size)
    return found


@lru_cache(maxsize=1_000)
def _digest(path: Path, _mtime_ns: int, _size: int) -> str:
    """Digest of a file's content, which is read again when the file has changed."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_binary(path: Path) -> bytes:
    """Return the content of a binary that existed when the folder was checked.

    Raises:
        TaskSetError: it can no longer be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise TaskSetError(
            f"binary {path}: {error.strerror}; put it back or give another --binaries"
        ) from error
