"""Proves that a bundle is complete and unchanged, and that what it says follows from its events."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from taskgen.bundle_file import ABOUT, EVENTS, JOBS, TASKSETS, BundleFile, sha256_of
from taskgen.errors import BundleError
from taskgen.events.csv import COLUMNS
from taskgen.events.csv_records import CsvRecords
from taskgen.events.findings import Finding, Problem, Report
from taskgen.events.verify import Say, compare
from taskgen.metrics import JobRow
from taskgen.results.bundle import FORMAT, job_rows, taskset_lines
from taskgen.results.dataset import Dataset, open_unpacked
from taskgen.untrusted_text import brief


@dataclass(slots=True)
class BundleReport:
    """What there is to say about a bundle."""

    name: str
    sha256: str
    """Of the zip file."""
    files: int
    """Number of files that the manifest lists."""
    changed: list[str]
    """Files that are missing, were changed or added; if there are any, nothing else was checked."""
    runs: int = 0
    """Number of runs, all of which were checked."""
    incomplete: int = 0
    """Number of runs that have not ended, or of which tasks or events are missing."""
    event_count: int = 0
    """Number of events."""
    jobs: int = 0
    """Number of jobs whose metrics were computed again."""
    derived: list[str] = field(default_factory=list)
    """What does not follow from the events and tasks."""
    events: Report = field(default_factory=Report)
    """What is wrong with runs and events, as in a store."""

    @property
    def found(self) -> int:
        """Number of things that are wrong."""
        return len(self.changed) + len(self.derived) + self.events.found

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.found


def verify_bundle(path: Path, say: Say = lambda _: None) -> BundleReport:
    """Check files, runs, events, job metrics and task-sets of a bundle.

    Args:
        path: the file.
        say: is called with a description of the progress.

    Raises:
        BundleError: it is damaged beyond reading, was made to do harm or by a newer taskgen, or is none.
    """
    with ExitStack() as stack:
        bundle = stack.enter_context(BundleFile(path))
        say(f"{path}: files are compared with the manifest")
        report = BundleReport(str(path), sha256_of(path), len(bundle.names), list(bundle.differences()))
        if report.changed:
            return report
        about = _about(bundle)
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="taskgen-")))
        bundle.unpack(folder)
        _check(report, folder, stack.enter_context(open_unpacked(folder, path)), about, say)
    return report


def _check(report: BundleReport, folder: Path, dataset: Dataset, about: dict[str, Any], say: Say) -> None:
    report.runs = len(dataset.runs)
    report.incomplete = sum(not one.is_complete for one in dataset.runs)
    report.events = compare([dataset.reader], say)
    report.events.add(
        Finding(one.run.run_id, report.name, Problem.NO_END)
        for one in dataset.runs
        if one.run.outcome is None
    )
    not_ended = (1 for one in dataset.runs if one.run.outcome is None for _ in dataset.events(one))
    report.event_count = sum(report.events.events.values()) + sum(not_ended)
    report.derived += _doubles(folder, report.event_count)
    say(f"{report.name}: job metrics are computed again")
    report.jobs, differing = _check_jobs(folder / JOBS, job_rows(dataset))
    report.derived += differing
    report.derived += _check_summary(about, report)
    report.derived += _check_tasksets(folder / TASKSETS, taskset_lines(dataset))


def _about(bundle: BundleFile) -> dict[str, Any]:
    """What a bundle says about itself; refuses what a newer taskgen may have written in another way."""
    try:
        about = json.loads(b"".join(bundle.pieces(ABOUT)))
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{bundle.path}: {ABOUT} is not JSON") from error
    if not isinstance(about, dict) or not isinstance(about.get("format"), int):
        raise BundleError(f"{bundle.path}: {ABOUT} does not say which format it has")
    if about["format"] > FORMAT:
        raise BundleError(
            f"{bundle.path}: was created by a newer taskgen (format {about['format']}, this one supports "
            f"{FORMAT}); upgrade taskgen"
        )
    return about


def _check_summary(about: dict[str, Any], report: BundleReport) -> Iterator[str]:
    """Compare what the bundle says about itself with what is in it."""
    found = {"runs": report.runs, "incomplete runs": report.incomplete, "events": report.event_count}
    if not report.derived:  # otherwise not all jobs were counted
        found["jobs"] = report.jobs
    said = about | {"incomplete runs": _length(about.get("incomplete"))}
    for name, number in found.items():
        if said.get(name) != number:
            yield f"{ABOUT}: there are {number:,} {name}, not {brief(repr(said.get(name)))}"


def _doubles(folder: Path, kept: int) -> Iterator[str]:
    """Whether there are lines of the same event, of which the copy has but one."""
    number = sum(1 for _ in CsvRecords(folder / EVENTS, COLUMNS).read(lambda line, _: line.place))
    if number != kept:
        yield f"{EVENTS} has {number:,} lines, but {kept:,} events of its runs"


def _check_jobs(path: Path, expected: Iterable[JobRow]) -> tuple[int, list[str]]:
    """Compare the file with the jobs that follow from the events: their number, and the first difference."""
    number = 0
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        rows = csv.DictReader(file)
        try:
            if unknown := set(rows.fieldnames or ()) ^ set(JobRow._fields):
                return 0, [f"{JOBS} has other columns: {brief(', '.join(sorted(unknown)))}"]
            for row, job in zip_longest(rows, expected):
                number += job is not None
                if found := _difference(row, job):
                    return number, [f"{JOBS}, line {rows.line_num}: {found}"]
        except csv.Error as error:
            return number, [f"{JOBS}, line {rows.line_num}: {error}"]
    return number, []


def _difference(row: Mapping[str, str] | None, job: JobRow | None) -> str:
    if job is None:
        return "does not follow from the events"
    where = f"job {job.job} of task {job.task_id} of run {job.run_id}"
    if row is None:
        return f"{where} is missing"
    if None in row:
        return f"{where}: has more values than there are columns"
    for name, value in job._asdict().items():
        known = "" if value is None else str(value)
        if row[name] != known:
            return f"{where}: {name} is {row[name]!r}; the events give {known!r}"
    return ""


def _check_tasksets(path: Path, expected: Iterable[bytes]) -> Iterator[str]:
    with path.open("rb") as file:
        for number, (line, known) in enumerate(zip_longest(file, expected), 1):
            if line is None or known is None or _read(line) != _read(known):
                yield f"{TASKSETS}, line {number}: is not the task-set that ran"
                return


def _read(line: bytes) -> Any:  # noqa: ANN401 - any JSON
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _length(value: object) -> int | None:
    return len(value) if isinstance(value, list) else None
