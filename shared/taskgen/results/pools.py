"""Which runs are pooled: those of one campaign, file and variant whose tasks have the same parameters."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from taskgen.results.dataset import RunResult
from taskgen.run import CampaignFacts

Parameters = tuple[tuple[str, str], ...]
"""Names and values of parameters, such as `("task1.config.arg1", "40")`."""

_MOST_SHOWN: Final = 4
"""Parameters in a distinction; more cannot be read."""


class Pool(NamedTuple):
    """What runs have in common that are repetitions of one another."""

    campaign_id: str
    source: str
    variant: str
    """The parameters that vary, as they are shown."""
    parameters: Parameters
    """Those of all of its tasks; none if the store does not know the tasks."""


@dataclass(frozen=True, slots=True)
class PoolName:
    """What tells a pool from others of the same variant; empty where nothing does."""

    campaign: str
    """Name of the campaign, or a part of its id."""
    origin: str
    """Campaign and file, where there are several."""
    distinction: str
    """Parameters that no task-set declares as varying, and that yet differ."""


def pool_of(run: RunResult) -> Pool:
    """The pool that a run belongs to."""
    return Pool(run.variant.campaign_id, run.variant.source, run.name, _parameters(run.tasks))


def pool_names(pools: Iterable[Pool], campaigns: Iterable[CampaignFacts]) -> dict[Pool, PoolName]:
    """Name each pool, so that no two of the same variant have the same name."""
    found = list(dict.fromkeys(pools))
    labels = campaign_labels(campaigns)
    has_campaigns = len({one.campaign_id for one in found}) > 1
    sources = _source_labels({one.source for one in found})
    distinctions = _distinctions(found)
    names = {}
    for one in found:
        campaign = labels.get(one.campaign_id, "no campaign" if has_campaigns else "")
        parts = [campaign if has_campaigns else "", sources[one.source]]
        names[one] = PoolName(campaign, ", ".join(filter(None, parts)), distinctions[one])
    return names


def file_name(source: str) -> str:
    """A file without its folders."""
    return source.rpartition("/")[2]


def _source_labels(sources: Collection[str]) -> dict[str, str]:
    """Nothing for the only file; else its name, with its folders if files have the same name."""
    if len(sources) == 1:
        return dict.fromkeys(sources, "")
    counts = Counter(map(file_name, sources))
    return {one: file_name(one) if counts[file_name(one)] == 1 else one for one in sources}


def campaign_labels(campaigns: Iterable[CampaignFacts]) -> dict[str, str]:
    """A short name for each campaign's id: its name, and a part of the id if that is not enough."""
    known = list(campaigns)
    counts = Counter(one.name for one in known)
    return {
        one.campaign_id: one.name
        if one.name and counts[one.name] == 1
        else f"{one.name} {one.campaign_id[-8:]}".strip()
        for one in known
    }


def changes(a: Parameters, b: Parameters) -> list[str]:
    """What differs between the parameters of two task-sets, such as `task0.deadline: 0 → 20`."""
    if not a or not b:  # a store that does not know them
        return []
    before, after = dict(a), dict(b)
    return [
        f"{name}: {before.get(name, 'none')} → {after.get(name, 'none')}"
        for name in before | after
        if before.get(name) != after.get(name)
    ]


def _parameters(tasks: Sequence[Mapping[str, Any]]) -> Parameters:
    described = ({name: task[name] for name in task if name != "id"} for task in tasks)
    return tuple(
        pair
        for task, parameters in zip(tasks, described, strict=True)
        for pair in _flat(f"task{task['id']}", parameters)
    )


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - whatever a user wrote
    """Nested parameters with the names that lead to them; those that are not set are left out."""
    if isinstance(value, Mapping):
        for inner in value:
            yield from _flat(f"{name}.{inner}", value[inner])
    elif value not in (None, ""):
        yield name, str(value)


def _distinctions(pools: Sequence[Pool]) -> dict[Pool, str]:
    alike: dict[tuple[str, str], list[Pool]] = defaultdict(list)
    for one in pools:
        alike[one.source, one.variant].append(one)
    return {one: text for same in alike.values() for one, text in _told_apart(same).items()}


def _told_apart(same: Sequence[Pool]) -> dict[Pool, str]:
    """Pools of one name, and the parameters that differ between them."""
    values = [dict(one.parameters) for one in same]
    names = list(dict.fromkeys(name for one in values for name in one))
    differing = [name for name in names if len({one.get(name) for one in values}) > 1]
    found = {}
    for number, (one, own) in enumerate(zip(same, values, strict=True), 1):
        shown = [f"{name}={own[name]}" for name in differing if name in own]
        is_short = len(shown) <= _MOST_SHOWN
        text = " ".join(shown if is_short else [*shown[:_MOST_SHOWN], "..."])
        if differing and not (shown and is_short):
            text = f"task-set {number} of {len(same)}{': ' if text else ''}{text}"
        found[one] = text
    return found
