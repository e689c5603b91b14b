"""The folder of the tasks' binaries, looked at before any board is touched."""

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
