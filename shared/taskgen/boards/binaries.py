"""The tasks' binaries: checked before any board is touched, read when a board needs them."""

from __future__ import annotations

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
        raise SettingsError(f"binaries: {folder} is not a folder; give the one with the tasks' binaries")
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
