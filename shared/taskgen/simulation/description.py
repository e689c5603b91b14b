"""The task-set's XML as a board reads it."""

from __future__ import annotations

from typing import Any
from xml.parsers.expat import ExpatError

import xmltodict

from taskgen.simulation.periodic_task import PeriodicTask


def read_tasks(document: bytes) -> list[PeriodicTask]:
    """The tasks of a task-set's XML.

    Raises:
        ValueError: it is not XML, no task-set, or a parameter has a wrong value.
    """
    try:
        taskset = xmltodict.parse(document, force_list=("periodictask",)).get("taskset", "missing")
    except ExpatError as error:
        raise ValueError(f"not XML: {error}") from error
    if taskset is None:
        return []
    tasks: list[Any] = taskset.get("periodictask", []) if isinstance(taskset, dict) else [None]
    if not all(isinstance(task, dict) for task in tasks):
        raise ValueError("the root element is not a <taskset> of <periodictask>s")
    return [PeriodicTask.read(task) for task in tasks]
