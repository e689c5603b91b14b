"""The lazy product of all open choices among a task-set's parameters."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from taskgen.errors import TaskSetError

Parameters = Mapping[str, Any]

INSIDE: Final = "a choice inside a choice; write all values into one list"
NOTHING: Final = "an empty choice; give at least one value"


class _Open(NamedTuple):
    """One open choice: its task, the names that lead to it, and its values."""

    task: int
    path: tuple[str, ...]
    choices: Iterable[Any]


def is_choice(value: Any) -> bool:  # noqa: ANN401 - any parameter's value
    """Whether a value stands for several: a list, a range, or a generator (or other iterator)."""
    return isinstance(value, list | range | Iterator)


def has_choices(value: Any) -> bool:  # noqa: ANN401 - any parameter's value
    """Whether a value, or one nested in it, stands for several."""
    return any(True for _ in _choices_within(value))


def empty_choice(value: Any) -> tuple[str, ...] | None:  # noqa: ANN401 - any parameter's value
    """Return the names that lead to an empty list or range within a value; None if there is none."""
    return next((path for path, choices in _choices_within(value) if choices in ([], range(0))), None)


def known_choices(value: Any) -> list[Any]:  # noqa: ANN401 - any parameter's value
    """Return the values that are known without consuming anything: none of a generator."""
    if isinstance(value, Iterator):
        return []
    return list(value) if is_choice(value) else [value]


def count(tasks: Sequence[Parameters]) -> int | None:
    """Return the number of combinations; None if generators leave it unknown."""
    spots = [choices for task in tasks for _, choices in _choices_within(task)]
    if any(isinstance(choices, Iterator) for choices in spots):
        return None
    return math.prod(len(choices) for choices in spots if isinstance(choices, Sequence))


class Variant(NamedTuple):
    """One combination of choices."""

    tasks: list[dict[str, Any]]
    """The tasks' parameters."""
    chosen: dict[str, Any]
    """The values of the choices, by name: `task1.config.arg1` is of the task whose id is 1."""


def product(tasks: Sequence[Parameters]) -> Iterator[Variant]:
    """Yield the tasks' parameters with every combination of their choices.

    The last choice varies fastest, except that the first generator is outermost, so that its values need not
    be kept: memory does not grow with the number of combinations.

    Raises:
        TaskSetError: a choice is empty, such as a generator that was used before, or contains a choice.
    """
    found = [
        _Open(number, (name, *path), choices)
        for number, task in enumerate(tasks)
        for name, value in task.items()
        for path, choices in _choices_within(value)
    ]
    streamed = [spot for spot in found if isinstance(spot.choices, Iterator)][:1]
    kept = [
        spot._replace(choices=_Kept(spot.choices)) if isinstance(spot.choices, Iterator) else spot
        for spot in found
        if spot not in streamed
    ]
    spots = streamed + kept
    names = [".".join((f"task{tasks[spot.task].get('id')}", *spot.path)) for spot in spots]
    for values in _combinations(spots):
        variant = [dict(task) for task in tasks]
        for spot, value in zip(spots, values, strict=True):
            _put(variant[spot.task], spot.path, value)
        yield Variant(variant, dict(sorted(zip(names, values, strict=True))))


def _choices_within(value: Any) -> Iterator[tuple[tuple[str, ...], Iterable[Any]]]:  # noqa: ANN401
    if is_choice(value):
        yield (), value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            for path, choices in _choices_within(inner):
                yield (name, *path), choices


def _combinations(spots: Sequence[_Open]) -> Iterator[tuple[Any, ...]]:
    if not spots:
        yield ()
        return
    spot, rest = spots[0], spots[1:]
    is_empty = True
    for value in spot.choices:
        is_empty = False
        if has_choices(value):
            raise TaskSetError(f"task {spot.task}: {'.'.join(spot.path)}: {INSIDE}")
        for values in _combinations(rest):
            yield (value, *values)
    if is_empty:
        raise TaskSetError(
            f"task {spot.task}: {'.'.join(spot.path)}: {NOTHING} (a generator can be used only once)"
        )


def _put(parameters: dict[str, Any], path: tuple[str, ...], value: Any) -> None:  # noqa: ANN401
    """Set a nested value, copying each mapping on the way so that the original keeps its choices."""
    for name in path[:-1]:
        parameters[name] = dict(parameters[name])
        parameters = parameters[name]
    parameters[path[-1]] = value


class _Kept:
    """An iterator that can be iterated over repeatedly, because the values read from it are kept."""

    def __init__(self, source: Iterator[Any]) -> None:
        self._source = source
        self._seen: list[Any] = []

    def __iter__(self) -> Iterator[Any]:
        yield from self._seen
        for value in self._source:
            self._seen.append(value)
            yield value
