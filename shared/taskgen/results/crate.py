"""Describes a bundle as a Research Object Crate, which archives and catalogues read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from taskgen.bundle_file import MANIFEST, TASKSETS, Entry
from taskgen.errors import SettingsError

if TYPE_CHECKING:
    from rocrate.model.entity import Entity
    from rocrate.rocrate import ROCrate

    from taskgen.results.dataset import Dataset
    from taskgen.run import CampaignFacts

_KINDS: Final = {
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".txt": "text/plain",
}
_VERSION: Final = "1.1"
"""Of RO-Crate: the one that the profile is based on, and that most archives read."""
_NO_LICENSE: Final = "No license was given: ask the authors before you use this."
_LICENSES: Final = "https://spdx.org/licenses/"
_SOFTWARE: Final = "#taskgen"
_PROFILE: Final = "https://w3id.org/ro/wfrun/process/0.5"
"""Process Run Crate: which program made what from what."""


@dataclass(frozen=True, slots=True)
class About:
    """What the store does not know, but whoever cites the bundle wants to."""

    title: str = ""
    """Empty: the name of the campaign."""
    authors: Sequence[str] = ()
    license: str = ""
    """URL of the license, or its SPDX identifier, such as `CC-BY-4.0`."""


Describe = Callable[["Dataset", Sequence[Entry], Mapping[str, str]], dict[str, Any]]
"""Takes the runs, the files and their descriptions; returns what `ro-crate-metadata.json` holds."""


def crate(about: About) -> Describe:
    """Return what describes a bundle.

    Raises:
        SettingsError: rocrate is not installed.
    """
    try:
        from rocrate.rocrate import ROCrate  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SettingsError("for bundles, install taskgen-events[bundle]") from error

    def describe(dataset: Dataset, files: Sequence[Entry], descriptions: Mapping[str, str]) -> dict[str, Any]:
        made = ROCrate(version=_VERSION)
        made.metadata.extra_terms |= {"sha256": "http://schema.org/sha256"}
        _describe_root(made, about, dataset)
        for entry in files:
            _add_file(made, entry, descriptions.get(entry.name, ""))
        manifest = _named(MANIFEST, "SHA-256 of every other file") | {"encodingFormat": _KINDS[".txt"]}
        made.add_file(dest_path=MANIFEST, properties=manifest)
        _add_software(made, dataset.campaigns)
        actions = [_add_campaign(made, campaign, dataset, files) for campaign in dataset.campaigns]
        made.root_dataset["mentions"] = _single(actions)
        metadata: dict[str, Any] = made.metadata.generate()
        return metadata

    return describe


def _describe_root(made: ROCrate, about: About, dataset: Dataset) -> None:
    names = [campaign.name or f"campaign {campaign.campaign_id}" for campaign in dataset.campaigns]
    notes = [campaign.note for campaign in dataset.campaigns if campaign.note]
    made.name = about.title or ", ".join(names) or "Runs of real-time task-sets"
    made.description = "; ".join(notes) or f"{len(dataset.runs)} runs of real-time task-sets on boards"
    made.license = _NO_LICENSE
    if about.license:
        url = about.license if "://" in about.license else f"{_LICENSES}{quote(about.license)}"
        made.license = _add(made, url, "CreativeWork", {"name": about.license})
    persons = [
        _add(made, f"#author-{number}", "Person", {"name": name})
        for number, name in enumerate(about.authors, 1)
    ]
    if persons:
        made.root_dataset["author"] = _single(persons)
    _add(made, _PROFILE, "CreativeWork", {"name": "Process Run Crate", "version": "0.5"})
    made.root_dataset["conformsTo"] = {"@id": _PROFILE}


def _add_file(made: ROCrate, entry: Entry, description: str) -> None:
    suffix = f".{entry.name.rpartition('.')[2]}"
    about = {"contentSize": str(entry.size), "sha256": entry.sha256, "encodingFormat": _KINDS[suffix]}
    made.add_file(dest_path=entry.name, properties=_named(entry.name, description) | about)


def _named(name: str, description: str) -> dict[str, str]:
    return {"name": name, "description": description}


def _add_software(made: ROCrate, campaigns: Iterable[CampaignFacts]) -> None:
    versions = sorted({campaign.taskgen_version for campaign in campaigns if campaign.taskgen_version})
    _add(made, _SOFTWARE, "SoftwareApplication", {"name": "taskgen", "softwareVersion": ", ".join(versions)})


def _add_campaign(made: ROCrate, campaign: CampaignFacts, dataset: Dataset, files: Sequence[Entry]) -> Entity:
    """The action that made the events: when, by whom, where, with which command."""
    runs = [one.run for one in dataset.runs if one.variant.campaign_id == campaign.campaign_id]
    person = _add(made, f"#user-{quote(campaign.user_name)}", "Person", {"name": campaign.user_name})
    about = {
        "name": campaign.name or campaign.campaign_id,
        "description": f"{campaign.command} (on {campaign.host}, Python {campaign.python_version})",
        "startTime": _to_the_second(campaign.started_at),
        "endTime": _to_the_second(max((run.ended_at for run in runs), default="") or campaign.started_at),
        "agent": person,
        "instrument": {"@id": _SOFTWARE},
        "object": {"@id": TASKSETS},
        "result": [{"@id": entry.name} for entry in files if entry.name.endswith(".csv")],
    }
    return _add(made, f"#campaign-{campaign.campaign_id}", "CreateAction", about)


def _to_the_second(time: str) -> str:
    """An ISO 8601 time without its fraction, which validators of the profile do not take."""
    return re.sub(r"\.\d+", "", time)


def _single(entities: list[Entity]) -> list[Entity] | Entity:
    """The only one of a list, as RO-Crate wants it, or the list."""
    return entities[0] if len(entities) == 1 else entities


def _add(made: ROCrate, identifier: str, kind: str, properties: Mapping[str, Any]) -> Entity:
    from rocrate.model.contextentity import ContextEntity  # noqa: PLC0415 - an extra

    entity: Entity = made.add(ContextEntity(made, identifier, properties={"@type": kind, **properties}))
    return entity
