"""Chooses the one campaign of a store that a side of a comparison is, and refuses to mix several."""

from __future__ import annotations

from typing import Final

from taskgen.errors import SettingsError
from taskgen.results.dataset import Dataset

_MOST_NAMED: Final = 10


def of_one_campaign(dataset: Dataset, option: str, besides: str | None = None) -> Dataset:
    """Return the runs of the only campaign that there is.

    Args:
        dataset: the runs.
        option: with which a user chooses a campaign.
        besides: id of a campaign to leave out; None: leave out none.

    Raises:
        SettingsError: the runs are of several campaigns, or all of the one to leave out.
    """
    runs = [one for one in dataset.runs if one.variant.campaign_id != besides]
    ids = dict.fromkeys(one.variant.campaign_id for one in runs)
    if len(ids) > 1:
        named = _named(dataset, list(ids))
        raise SettingsError(f"{dataset.name} has several campaigns; choose one with {option}: {named}")
    if not runs and dataset.runs:
        raise SettingsError(
            f"{dataset.name} has no runs of another campaign than {_named(dataset, [besides or ''])}; "
            "give a second store, or --campaign"
        )
    return Dataset(dataset.name, dataset.reader, runs)


def _named(dataset: Dataset, ids: list[str]) -> str:
    """The campaigns of these ids, in the order in which they began."""
    known = {one.campaign_id: one.name for one in dataset.campaigns}
    ordered = [one for one in known if one in ids] + [one for one in ids if one not in known]
    shown = [
        f"{known[one]} ({one})" if known.get(one) else one or "runs without a campaign" for one in ordered
    ]
    more = len(shown) - _MOST_NAMED
    return ", ".join(shown[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
