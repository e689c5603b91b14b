"""The tasks' binaries: looked at before any board is touched, read when a board needs them."""

from __future__ import annotations

from pathlib import Path

from taskgen.errors import SettingsError, TaskSetError
from taskgen.taskset import TaskSet
from taskgen.variants import known_choices


def binaries_folder(path: str | Path | None) -> Path | None:
    """The folder as a path.

    Raises:
        SettingsError: there is no such folder.
    """
    if path is None:
        return None
    folder = Path(path)
    if not folder.is_dir():
        raise SettingsError(f"binaries: {folder} is no folder; give the one that holds the tasks' binaries")
    return folder


def check_binaries(taskset: TaskSet, folder: Path | None) -> None:
    """See that the folder holds what the tasks name; without a folder the boards hold them already.

    Raises:
        TaskSetError: a binary is missing; names source, task and field.
    """
    for number, task in enumerate(taskset) if folder is not None else ():
        for name in known_choices(task["pkg"]):
            if not (folder / name).is_file():
                where = f"{taskset.source}: task {number} (id {task.id}): pkg"
                raise TaskSetError(f"{where}: there is no binary {name!r} in {folder}")


def read_binary(path: Path) -> bytes:
    """The content of a binary that was there when the folder was looked at.

    Raises:
        TaskSetError: it cannot be read any more.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise TaskSetError(
            f"binary {path}: {error.strerror}; put it there or give another --binaries"
        ) from error
