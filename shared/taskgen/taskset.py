"""A set of tasks, its variants, and how events update it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import xmltodict
from pydantic import ValidationError

from taskgen.errors import TaskSetError
from taskgen.event_type import JOB_ENDS, EventType, one_text
from taskgen.run import Run
from taskgen.task import ADAPTERS, Task
from taskgen.untrusted_text import brief
from taskgen.variants import (
    INSIDE,
    NOTHING,
    count,
    empty_choice,
    has_choices,
    is_choice,
    known_choices,
    product,
)

_MAX_DIGITS: Final = 20
"""Longer numbers are not ids; when a free id is sought, the others have not been validated yet."""

Profile = dict[str, Any]
"""One `<profile>` document as a dictionary of xmltodict, with `event` always a list."""


class TaskSet:
    """Tasks that run together on one board.

    Iterating yields its tasks. Parameters whose value is a list, a range or a generator make variants; what
    is run is one variant at a time, as `variants()` yields them. A plain dictionary of parameters becomes a
    `Task`.
    """

    source: str
    """Its source; the texts of errors begin with it."""
    run: Run | None
    """The run in progress; None if there is none."""
    parameters: dict[str, Any]
    """Of a variant: the parameters that vary and their values, such as `{"task1.priority": 5}`."""
    first_variant: int
    """Number of the first of its `variants()`; not 0 if it is itself a variant of a former campaign."""

    def __init__(self, tasks: Iterable[Task | Mapping[str, Any]] = (), source: str = "task-set") -> None:
        self.source = source
        self.run = None
        self.parameters = {}
        self.first_variant = 0
        self._tasks: list[Task] = []
        self._by_id: dict[str, Task] = {}
        self._next_seq = 0
        for task in tasks:
            self.append(task)

    def __iter__(self) -> Iterator[Task]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def __repr__(self) -> str:
        return f"TaskSet({self._tasks!r})"

    def append(self, task: Task | Mapping[str, Any]) -> None:
        """Add a task; without an id, it gets the next free one.

        Raises:
            TaskSetError: it is not a task, or its id is already in use.
        """
        if not isinstance(task, Mapping):
            raise TaskSetError(
                f"{self.source}: task {len(self._tasks)}: {task!r} is not a task; "
                "write TaskSet([Task({'pkg': 'hey'}), ...])"
            )
        task = task if isinstance(task, Task) else Task(task)
        if task.id is None:
            taken = (int(one) for one in self._by_id if one.isdecimal() and len(one) < _MAX_DIGITS)
            task.id = max(taken, default=-1) + 1
        if str(task.id) in self._by_id:
            raise TaskSetError(
                f"{self.source}: task {len(self._tasks)}: id: {task.id} is already in use; "
                "ids have to be unique in a task-set"
            )
        self._tasks.append(task)
        self._by_id[str(task.id)] = task

    def description(self) -> dict[str, Any]:
        """Return the task-set as a dictionary with the structure of the Taskloader's XML."""
        return {"taskset": {"periodictask": [dict(task) for task in self._tasks]}}

    def xml(self) -> bytes:
        """Return the description as XML that the Taskloader can read: ASCII, without an XML declaration."""
        return to_xml(self.description())

    def binaries(self) -> set[str]:
        """Return the names of the binaries that the tasks need in all variants, as far as they are known."""
        return {name for task in self._tasks for name in known_choices(task["pkg"])}

    def variants(self) -> Iterator[TaskSet]:
        """Yield every combination of the values, lazily; each is a task-set of its own.

        The last list varies fastest. The first generator among the values is consumed step by step, as the
        outermost loop, and its values are not kept; those of further generators are. A generator can be used
        only once.

        Raises:
            TaskSetError: while variants are drawn: a choice is empty, or a user's generator raised an error.
        """
        try:
            for variant in product(self._tasks):
                taskset = TaskSet(map(Task, variant.tasks), self.source)
                taskset.parameters = self.parameters | variant.chosen
                yield taskset
        except TaskSetError:
            raise
        except Exception as error:  # a user's generator may raise anything
            raise TaskSetError(f"{self.source}: no more values could be drawn: {error!r}") from error

    def count_variants(self) -> int | None:
        """Return the number of variants; None if generators leave it unknown."""
        return count(self._tasks)

    def without_jobs(self) -> TaskSet:
        """Return a copy whose tasks have no jobs yet."""
        copy = TaskSet(map(Task, self._tasks), self.source)
        copy.parameters = self.parameters
        return copy

    def checked(self) -> TaskSet:
        """Return a copy in which every value is validated and of the right type.

        The values of lists are checked now, those of generators when their variant is drawn.

        Raises:
            TaskSetError: a value is not valid; the text names source, task and field.
        """
        if not self._tasks:
            raise TaskSetError(f"{self.source}: has no tasks; give at least one")
        result = TaskSet(source=self.source)
        result.parameters = self.parameters
        result.first_variant = self.first_variant
        for number, task in enumerate(self._tasks):
            where = f"{self.source}: task {number} (id {task.id})"
            result.append(Task({name: _checked(value, name, where) for name, value in task.items()}))
        return result

    @property
    def is_terminated(self) -> bool:
        """Whether every task has terminated, so that the task-set is finished."""
        return all(task.is_terminated for task in self._tasks)

    def apply(self, profile: Profile) -> None:
        """Update the tasks' jobs with a profile's events.

        Calling it repeatedly for the same profile of a run has no further effect, so any number of handlers
        may share the task-set. Events of unknown tasks or types change nothing.
        """
        events = profile["profile"]["events"]["event"]
        if self.run is not None:
            if self.run.first_seq < self._next_seq:
                return
            self._next_seq = self.run.first_seq + len(events)
        for event in events:
            task = self._by_id.get(event["@task-id"])
            if task is not None:
                _apply(task, event["@type"], int(event["@time-stamp"]))


_PLAIN: Final = frozenset({int, str, float, bool, type(None)})
"""Types of which no value is a choice."""


def _apply(task: Task, event_type: str, time_stamp: int) -> None:
    """Update a task with one event: docs/taskloader.md, section 3."""
    if event_type == EventType.START:
        task.job_started(time_stamp)
    elif event_type in JOB_ENDS:
        task.job_ended(time_stamp, one_text(event_type))
    elif event_type == EventType.NOT_SCHEDULED:
        task.job_refused(time_stamp, one_text(event_type))
    elif event_type == EventType.JOBS_DONE:
        task.jobs_done()


def to_xml(elements: Mapping[str, Any]) -> bytes:
    """Return elements as XML that Genode's parser can read.

    Raises:
        TaskSetError: a value is not ASCII, or cannot be represented in XML.
    """
    try:
        document: str = xmltodict.unparse(elements, full_document=False)
        return document.encode("ascii")
    except (ValueError, TypeError) as error:
        raise TaskSetError(f"cannot be written as ASCII XML: {error}") from error


def _checked(value: Any, name: str, where: str) -> Any:  # noqa: ANN401 - any parameter's value
    if name not in ADAPTERS:
        known = ", ".join(sorted(ADAPTERS))
        raise TaskSetError(f"{where}: {name}: unknown parameter; valid ones are {known}")
    if name == "id" and is_choice(value):
        raise TaskSetError(f"{where}: id: has to be one number, not a choice of {value!r}")
    if name == "pkg" and value is None:
        raise TaskSetError(f"{where}: pkg: missing; give the name of the task's binary")
    if type(value) not in _PLAIN:
        _check_choices(value, name, where)
    check: Callable[[Any], Any] = ADAPTERS[name].validate_python
    try:
        return _checked_choice(value, check)
    except ValidationError as error:
        detail = error.errors()[0]
        message = detail["msg"].removeprefix("Value error, ")
        got = brief(repr(detail["input"]))
        raise TaskSetError(f"{where}: {name}: {brief(message)} (got {got})") from error


def _check_choices(value: Any, name: str, where: str) -> None:  # noqa: ANN401 - any parameter's value
    """Refuse choices that are empty, or inside each other."""
    if isinstance(value, list) and any(map(has_choices, value)):
        raise TaskSetError(f"{where}: {name}: {INSIDE}")
    nothing = empty_choice(value)
    if nothing is not None:
        raise TaskSetError(f"{where}: {'.'.join((name, *nothing))}: {NOTHING}")


def _checked_choice(value: Any, check: Callable[[Any], Any]) -> Any:  # noqa: ANN401 - any parameter's value
    """Check each value of a list, the ends of a range, nothing of a generator."""
    if type(value) in _PLAIN:
        return check(value)
    if isinstance(value, list):
        return [check(inner) for inner in value]
    if isinstance(value, range):
        for end in (value[0], value[-1]) if value else ():
            check(end)
        return value
    return value if is_choice(value) else check(value)
