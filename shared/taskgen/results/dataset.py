"""The filtered runs of a store, with all known facts about them, and their jobs."""

from __future__ import annotations

import sqlite3
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taskgen.bundle_file import EVENTS, is_bundle, unpacked
from taskgen.errors import BundleError, StoreError, StoreUnavailableError
from taskgen.event import Quarantined
from taskgen.events.base import EventRow, StoredEvent
from taskgen.events.csv_reader import CsvReader
from taskgen.events.csv_sidecars import read_sidecar, torn_row
from taskgen.events.readers import StoreReader
from taskgen.events.sql import SqliteHandler, SqliteReader, make_all_metrics, storable_event
from taskgen.events.sql_reader import SqlReader
from taskgen.events.stores import open_store
from taskgen.events.tables import (
    COLUMNS_OF,
    END_RUN,
    INSERT_EVENT,
    INSERT_QUARANTINED,
    INSERT_RUN,
    end_values,
    quarantine_values,
    run_values,
)
from taskgen.metrics import JobRow
from taskgen.results.conditions import Condition, check_conditions, condition, fits
from taskgen.run import CampaignFacts, Run, VariantFacts, parameter_text, resolve_campaign

_OF_RUNS = (
    "FROM runs LEFT JOIN variants ON variants.taskset_id = runs.taskset_id "
    "LEFT JOIN campaigns ON campaigns.campaign_id = variants.campaign_id"
)
_KEYS_OF_RUNS = f"SELECT run_id, runs.taskset_id, variants.campaign_id {_OF_RUNS}"
_WITHOUT_VARIANT = (
    f"SELECT run_id {_OF_RUNS} WHERE variants.taskset_id IS NULL "
    "OR (variants.campaign_id <> '' AND campaigns.campaign_id IS NULL)"
)
_SCHEMES = ("sqlite:", "csv:", "postgresql:", "postgres:")


@dataclass(frozen=True, slots=True)
class RunResult:
    """One run, and what belongs to it."""

    run: Run
    variant: VariantFacts
    campaign: CampaignFacts | None
    is_complete: bool
    """Whether it has ended and all of its tasks and events are stored."""
    tasks: Sequence[dict[str, Any]] = ()
    binaries: dict[str, str] = field(default_factory=dict)
    """SHA-256 by name."""
    results: dict[str, Any] = field(default_factory=dict)
    """What handlers recorded."""

    @property
    def is_counted(self) -> bool:
        """Whether statistics are over its jobs: it is complete, and a result of its variant."""
        outcome = self.run.outcome
        return self.is_complete and outcome is not None and outcome.is_result

    @property
    def values(self) -> dict[str, Any]:
        """What runs are selected by: see `taskgen.results.conditions`."""
        run = self.run
        known = {"outcome": str(run.outcome or ""), "board": run.board, "variant": run.variant}
        of_run = known | {"attempt": run.attempt, "source": self.variant.source}
        return {**of_run, **self.variant.parameters}

    @property
    def name(self) -> str:
        """The variant's parameters as they are shown, or its number if nothing varies."""
        return parameter_text(self.variant.parameters) or f"variant {self.variant.variant}"


class Dataset:
    """The selected runs, the oldest first."""

    def __init__(self, name: str, reader: SqlReader, runs: list[RunResult]) -> None:
        self.name = name
        """Of the store, without a password."""
        self.runs = runs
        self.reader = reader
        """The store, or a SQLite copy of it; it also has what was not asked for."""

    @property
    def campaigns(self) -> list[CampaignFacts]:
        """The campaigns of the runs, in the order in which they began."""
        found = {one.campaign.campaign_id: one.campaign for one in self.runs if one.campaign}
        return sorted(found.values(), key=lambda campaign: campaign.started_at)

    @property
    def complete(self) -> list[RunResult]:
        """The runs that statistics are over: complete, and a result of their variant."""
        return [one for one in self.runs if one.is_counted]

    def jobs(self, run: RunResult) -> Iterator[JobRow]:
        """The jobs of a run, ordered by task and number."""
        return self.reader.jobs(run.run.run_id)

    def events(self, run: RunResult) -> Iterator[EventRow]:
        """The events of a run, ordered by `seq`."""
        return self.reader.events(run.run.run_id)

    def quarantined(self) -> Iterator[Quarantined]:
        """What was received during the runs that is no event."""
        wanted = {one.run.run_id for one in self.runs}
        return (one for one in self.reader.quarantined() if one.run_id in wanted)


@contextmanager
def open_dataset(store: str, campaign: str = "", where: Iterable[str] = ()) -> Iterator[Dataset]:
    """Open the results of a store.

    Args:
        store: `sqlite:PATH`, `csv:PATH` or `postgresql://...`; a path alone is that of a SQLite or CSV file,
            or of a bundle.
        campaign: name of the campaign, or its id or a part of it; empty: all.
        where: conditions that all have to hold, such as `task1.priority=5`, `outcome=finished`,
            `board=HOST:PORT` or `variant=3`; see `taskgen.results.conditions`.

    Raises:
        SettingsError: there is no such campaign, a condition is not one, or no run has what it says.
        StoreError: there is no such store.
        BundleError: the bundle was changed, or is none.
    """
    conditions = [condition(one) for one in where]
    with ExitStack() as stack:
        if is_bundle(store):
            folder = stack.enter_context(unpacked(Path(store)))
            opened = open_unpacked(folder, Path(store), campaign, conditions)
        else:
            opened = _opened(named(store), "", campaign, conditions)
        yield stack.enter_context(opened)


@contextmanager
def open_unpacked(
    folder: Path, bundle: Path, campaign: str = "", conditions: Sequence[Condition] = ()
) -> Iterator[Dataset]:
    """Open the results of a bundle that was unpacked into a folder.

    Raises:
        BundleError: a file in it is damaged.
    """
    with ExitStack() as stack:
        try:
            place = f"csv:{folder / EVENTS}"
            dataset = stack.enter_context(_opened(place, str(bundle), campaign, conditions))
        except StoreError as error:
            text = str(error).removeprefix("csv:").replace(f"{folder}/", f"{bundle}: ")
            raise BundleError(text) from error
        yield dataset


@contextmanager
def _opened(place: str, name: str, campaign: str, conditions: Sequence[Condition]) -> Iterator[Dataset]:
    with tempfile.TemporaryDirectory(prefix="taskgen-") as folder, closing(open_store(place)) as found:
        reader = found if isinstance(found, SqlReader) else _copied(found, Path(folder) / "copy.db")
        reader.name = name or found.name
        with closing(reader), _named(reader.name, Path(folder)):
            runs = _in_campaign(list(_run_results(reader)), campaign, reader.name)
            check_conditions(conditions, [one.values for one in runs], reader.name)
            yield Dataset(reader.name, reader, [one for one in runs if fits(one.values, conditions)])


@contextmanager
def _named(name: str, folder: Path) -> Iterator[None]:
    """Name the store in errors of its copy in a temporary folder, which nobody will find."""
    try:
        yield
    except StoreError as error:
        if str(folder) not in str(error):
            raise
        raise StoreError(str(error).replace(f"{folder / 'copy.db'}", name)) from error


def named(store: str) -> str:
    """A store's name with its scheme, which a user may leave out for a file."""
    if store.startswith(_SCHEMES):
        return store
    return f"csv:{store}" if store.endswith(".csv") or Path(store).is_dir() else f"sqlite:{store}"


def _run_results(reader: SqlReader) -> Iterator[RunResult]:
    complete = reader.complete_runs()
    campaigns = {campaign.campaign_id: campaign for campaign in reader.campaigns()}
    variants = {variant.taskset_id: variant for variant in reader.variants()}
    tasks: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run_id, task in reader.all_tasks():
        tasks[run_id].append(task)
    results: dict[str, dict[str, Any]] = defaultdict(dict)
    for run_id, name, value in reader.results():
        results[run_id][name] = value
    binaries: dict[str, dict[str, str]] = defaultdict(dict)
    for run_id, pkg, sha256 in reader.binaries():
        binaries[run_id][pkg] = sha256
    for run in reader.runs():
        facts = variants.get(run.taskset_id) or VariantFacts(run.taskset_id, "", "", run.variant, {})
        yield RunResult(
            run,
            facts,
            campaigns.get(facts.campaign_id),
            run.run_id in complete,
            tasks[run.run_id],
            binaries[run.run_id],
            results[run.run_id],
        )


def _in_campaign(runs: list[RunResult], wanted: str, store: str) -> list[RunResult]:
    if not wanted:
        return runs
    names = {
        one.variant.campaign_id: one.campaign.name if one.campaign else ""
        for one in runs
        if one.variant.campaign_id
    }
    campaign_id = resolve_campaign(wanted, names, store)
    return [one for one in runs if one.variant.campaign_id == campaign_id]


def _copied(store: StoreReader, path: Path) -> SqliteReader:
    """A SQLite copy of a CSV store, so that everything below is the same for all stores."""
    SqliteHandler(path).close()
    try:
        with closing(sqlite3.connect(path)) as connection, connection:
            _copy(store, connection)
    except sqlite3.OperationalError as error:  # such as a full disk
        raise StoreUnavailableError(f"{path}: {error}") from error
    except (ValueError, TypeError, OverflowError, sqlite3.Error) as error:
        raise StoreError(f"{store.name}: damaged, or changed by another program: {error}") from error
    return SqliteReader(path)


def _copy(store: StoreReader, connection: sqlite3.Connection) -> None:
    files = store.paths if isinstance(store, CsvReader) else []
    for file in files:
        _import_sidecars(connection, file)
    runs: dict[str, Run] = {}
    connection.executemany(INSERT_EVENT, _stored_events(store, runs))
    if store.knows_ends:
        runs |= {run.run_id: run for run in store.runs()}
    connection.executemany(INSERT_RUN, map(run_values, runs.values()))
    connection.executemany(END_RUN, (end_values(run) for run in runs.values() if run.outcome is not None))
    connection.executemany(INSERT_QUARANTINED, map(quarantine_values, store.quarantined()))
    make_all_metrics(connection, without=_undescribed(connection, files))


def _stored_events(store: StoreReader, runs: dict[str, Run]) -> Iterator[StoredEvent]:
    """All events as rows of the table; collects their runs."""
    rows = store.lines() if isinstance(store, CsvReader) else _by_run(store)
    for run, event in rows:
        runs.setdefault(run.run_id, run)
        yield storable_event(event)


def _by_run(store: StoreReader) -> Iterator[tuple[Run, EventRow]]:
    return ((run, event) for run in store.runs() for event in store.events(run.run_id))


def _import_sidecars(connection: sqlite3.Connection, file: Path) -> None:
    for table, columns in COLUMNS_OF.items():
        names = ", ".join(f'"{name}"' for name in columns)
        marks = ", ".join("?" for _ in columns)
        # A row can be there twice: two replicas of a sink may have been given the same batch.
        statement = f"INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608 - of our own
        connection.executemany(statement, read_sidecar(file, table))


def _undescribed(connection: sqlite3.Connection, files: Iterable[Path]) -> set[str]:
    """Ids of the runs of which a row beside the events is missing, or was not written to its end."""
    found = {run_id for (run_id,) in connection.execute(_WITHOUT_VARIANT)}
    torn = [part for file in files for table in COLUMNS_OF if (part := torn_row(file, table))]
    for keys in connection.execute(_KEYS_OF_RUNS):
        if any(key.startswith(part) for key in keys if key for part in torn):
            found.add(keys[0])
    return found
