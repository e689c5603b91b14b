"""A bundle: one zip file with everything behind a campaign's results, to be cited and repeated."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import platform
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from taskgen.bundle_file import ABOUT, EVENTS, JOBS, TASKSETS, BundleWriter, check_new, new_bundle
from taskgen.errors import SettingsError
from taskgen.events.base import EventRow
from taskgen.events.csv import COLUMNS, QUARANTINE_COLUMNS, quarantine_lines, quarantine_path
from taskgen.events.csv_file import lines
from taskgen.events.csv_sidecars import sidecar_path, written
from taskgen.events.tables import (
    COLUMNS_OF,
    campaign_values,
    end_values,
    result_values,
    task_values,
)
from taskgen.metrics import JobRow
from taskgen.provenance import installed_version
from taskgen.results.crate import About, crate
from taskgen.results.dataset import Dataset
from taskgen.results.figures import figures
from taskgen.results.frames import run_row
from taskgen.results.page import outcomes, page
from taskgen.results.statistics import COLUMNS as STATISTICS
from taskgen.results.statistics import TaskStatistics, most_missed, row, task_statistics
from taskgen.run import VariantFacts

FORMAT: Final = 1
"""Of bundles; a later taskgen that changes it still reads this one."""
_ROWS_AT_ONCE: Final = 10_000

_DESCRIPTIONS: Final = {
    ABOUT: "What this is: format, versions, campaigns, outcomes, and the runs that are incomplete",
    TASKSETS: "The task-sets that ran, one line for each variant; `taskgen run` repeats them",
    EVENTS: "Every event that the boards reported",
    "events.campaigns.csv": "The campaigns: names, notes, versions, commands",
    "events.variants.csv": "The variants: the parameters that vary, and their values",
    "events.tasks.csv": "The parameters of the tasks of each run",
    "events.binaries.csv": "SHA-256 of the binaries of each run",
    "events.runs.csv": "The runs: boards, attempts, times, outcomes, reasons, number of events",
    "events.results.csv": "What event handlers recorded",
    "events.quarantine.csv": "What the boards sent that is no event",
    JOBS: "The jobs of the runs in the statistics with their metrics, as they follow from the events",
    "runs.csv": "All runs; is_counted says which ones are in the statistics",
    "report.csv": "Response times, misses and jitter of every task of every variant",
    "report.html": "The report with its figures, to be read in a browser",
    "README.txt": "How to read, check and repeat this",
}
_README: Final = """\
Results of real-time task-sets on boards, bundled by taskgen {version}.

{files}
manifest-sha256.txt has the SHA-256 of every file. To check them without taskgen, unpack and call:

    sha256sum --check manifest-sha256.txt

With taskgen, also that the events are complete, and that the job metrics follow from them:

    taskgen verify FILE.zip

To look at the results, and to repeat the runs on boards of your own:

    taskgen report FILE.zip
    taskgen run FILE.zip --board HOST:PORT
"""


@dataclass(frozen=True, slots=True)
class Bundled:
    """What was put into a bundle."""

    files: int
    """Number of files, without the manifest."""
    runs: int
    incomplete: Sequence[str]
    """Ids of the runs that have not ended, or of which tasks or events are missing."""
    events: int
    jobs: int
    misses: int
    left_out: str
    """Why there is no HTML page; empty if there is one."""


def write_bundle(
    dataset: Dataset, path: Path, about: About | None = None, *, replaces: bool = False
) -> Bundled:
    """Write a bundle of the runs of a dataset, one after the other.

    Args:
        dataset: the runs.
        path: ends with `.zip`.
        about: authors and license.
        replaces: whether an existing file may be replaced.

    Raises:
        SettingsError: there are no runs, the file exists or cannot be written, or rocrate is not installed.
    """
    check_new(path, replaces=replaces)  # before it takes minutes
    if not dataset.runs:
        raise SettingsError(f"{dataset.name} has no runs to bundle")
    describe = crate(about or About())
    counts = _Counts()
    statistics = task_statistics(dataset)
    html, left_out = _page(Dataset(path.name, dataset.reader, dataset.runs), statistics)
    with new_bundle(path, replaces=replaces) as bundle:
        bundle.add(TASKSETS, taskset_lines(dataset))
        bundle.add(EVENTS, _table(COLUMNS, counts.of_events(_event_rows(dataset))))
        _add_tables(bundle, dataset)
        bundle.add(JOBS, _table(JobRow._fields, counts.of_jobs(job_rows(dataset))))
        bundle.add("runs.csv", _run_lines(dataset))
        bundle.add("report.csv", _table(STATISTICS, map(row, statistics)))
        if html:
            bundle.add("report.html", [html.encode(errors="backslashreplace")])
        incomplete = [one.run.run_id for one in dataset.runs if not one.is_complete]
        bundle.add(ABOUT, [_json(_summary(dataset, counts, incomplete))])
        bundle.add("README.txt", [_readme(bundle).encode()])
        bundle.add("ro-crate-metadata.json", [_json(describe(dataset, bundle.entries, _DESCRIPTIONS))])
        files = len(bundle.entries)
    return Bundled(
        files=files,
        runs=len(dataset.runs),
        incomplete=incomplete,
        events=counts.events,
        jobs=counts.jobs,
        misses=counts.misses,
        left_out=left_out,
    )


def job_rows(dataset: Dataset) -> Iterator[JobRow]:
    """The jobs of the runs that are counted, in the order of a bundle."""
    return (job for one in dataset.complete for job in dataset.jobs(one))


def taskset_lines(dataset: Dataset) -> Iterator[bytes]:
    """The variants that began, each once, as lines of JSON: see `StoredVariant`."""
    seen: set[str] = set()
    for one in dataset.runs:
        if one.run.taskset_id not in seen and one.tasks:
            seen.add(one.run.taskset_id)
            variant = {
                "source": one.variant.source,
                "variant": one.variant.variant,
                "parameters": one.variant.parameters,
                "tasks": [_without_nones(task) for task in one.tasks],
            }
            yield json.dumps(variant).encode() + b"\n"


def _without_nones(task: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in task.items() if value is not None}


class _Counts:
    """Counts what passes."""

    def __init__(self) -> None:
        self.events = 0
        self.jobs = 0
        self.misses = 0

    def of_events(self, rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        for self.events, one in enumerate(rows, 1):
            yield one

    def of_jobs(self, rows: Iterable[JobRow]) -> Iterator[JobRow]:
        for self.jobs, one in enumerate(rows, 1):
            self.misses += one.is_miss or 0
            yield one


def _event_rows(dataset: Dataset) -> Iterator[tuple[Any, ...]]:
    for one in dataset.runs:
        run = one.run
        about = (run.taskset_id, run.board, run.attempt, run.variant)
        for event in dataset.events(one):
            yield _event_values(event, about)


def _event_values(event: EventRow, about: tuple[Any, ...]) -> tuple[Any, ...]:
    run_id, seq, *rest = event
    return (run_id, seq, *about, *rest)


def _add_tables(bundle: BundleWriter, dataset: Dataset) -> None:
    """The tables beside the events: those that a CSV store keeps, where they have any row."""
    tables: dict[str, Iterable[tuple[Any, ...]]] = {
        "campaigns": map(campaign_values, dataset.campaigns),
        "variants": dict.fromkeys(_variant_values(one.variant) for one in dataset.runs),
        "tasks": (task_values(one.run, task) for one in dataset.runs for task in one.tasks),
        "binaries": (
            (one.run.run_id, pkg, sha256) for one in dataset.runs for pkg, sha256 in one.binaries.items()
        ),
        "runs": (end_values(one.run) for one in dataset.runs),
        "results": (values for one in dataset.runs for values in result_values(one.run.run_id, one.results)),
    }
    for table, rows in tables.items():
        in_file = [tuple(map(written, values)) for values in rows]
        if in_file:
            bundle.add(sidecar_path(Path(EVENTS), table).name, _table(COLUMNS_OF[table], iter(in_file)))
    if quarantined := list(dataset.quarantined()):
        pieces = [lines([QUARANTINE_COLUMNS]), quarantine_lines(quarantined)]
        bundle.add(quarantine_path(Path(EVENTS)).name, pieces)


def _variant_values(one: VariantFacts) -> tuple[Any, ...]:
    return one.taskset_id, one.campaign_id, one.source, one.variant, json.dumps(one.parameters)


def _table(columns: Sequence[str], rows: Iterator[Sequence[Any]]) -> Iterator[bytes]:
    yield lines([columns])
    while portion := list(islice(rows, _ROWS_AT_ONCE)):
        yield lines(portion)


def _run_lines(dataset: Dataset) -> Iterator[bytes]:
    rows = [run_row(one) for one in dataset.runs]
    columns = list(dict.fromkeys(name for one in rows for name in one))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(rows)
    yield text.getvalue().encode()


def _page(dataset: Dataset, statistics: Sequence[TaskStatistics]) -> tuple[str, str]:
    """The HTML page, or why there is none."""
    try:
        return page(dataset, statistics, figures(dataset, statistics, most_missed(dataset))), ""
    except SettingsError as error:
        return "", str(error)


def _summary(dataset: Dataset, counts: _Counts, incomplete: Sequence[str]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "taskgen_version": installed_version(),
        "python_version": platform.python_version(),
        "campaigns": [dataclasses.asdict(campaign) for campaign in dataset.campaigns],
        "runs": len(dataset.runs),
        "outcomes": outcomes(dataset.runs),
        "incomplete": list(incomplete),
        "events": counts.events,
        "jobs": counts.jobs,
        "misses": counts.misses,
    }


def _readme(bundle: BundleWriter) -> str:
    files = "".join(f"{entry.name:<24}{_DESCRIPTIONS[entry.name]}.\n" for entry in bundle.entries)
    return _README.format(version=installed_version(), files=files)


def _json(value: object) -> bytes:
    """JSON as UTF-8; what UTF-8 cannot represent, such as half of a surrogate pair, as JSON's escape."""
    return json.dumps(value, indent=2, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"
