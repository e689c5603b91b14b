"""A bundle holds a campaign, proves that it is complete and unchanged, and repeats it."""

from __future__ import annotations

import csv
import io
import json
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from rocrate.rocrate import ROCrate

from taskgen.bundle_file import MANIFEST
from taskgen.distributor import Distributor
from taskgen.errors import BundleError, TaskgenError
from taskgen.event import Quarantined
from taskgen.event_columns import EventColumns, ProfileOfRun
from taskgen.events.sql import SqliteHandler, SqliteReader
from taskgen.events.stores import open_handler
from taskgen.loading.taskset_files import read_tasksets
from taskgen.results import load
from taskgen.results.bundle import write_bundle
from taskgen.results.dataset import Dataset, open_dataset
from taskgen.results.verify_bundle import verify_bundle
from taskgen.run import Outcome, Run
from taskgen.simulation import run_boards
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.support.bundles import extras_modules, files_of, run_without, write_zip
from tests.support.command_line import environment, run_taskgen

TASKSET = {
    "taskset": {
        "periodictask": [
            {
                "pkg": "tumatmul",
                "period": 100,
                "numberofjobs": 4,
                "priority": [5, 6],
                "config": {"arg1": [20, 95, 120]},
            },
            {"pkg": "hey", "period": 50, "numberofjobs": 6},
        ]
    }
}
JOBS = 6 * (4 + 6)


class Lab(NamedTuple):
    """A campaign of six variants in SQLite and CSV, and its bundle."""

    folder: Path
    bundle: Path
    printed: str


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    folder = tmp_path_factory.mktemp("bundle")
    (folder / "edf.json").write_text(json.dumps(TASKSET))
    (folder / "bin").mkdir()
    for name in ("tumatmul", "hey"):
        (folder / "bin" / name).write_bytes(name.encode())
    stores = ("--sqlite", "events.db", "--csv", "events.csv", "--binaries", "bin")
    ran(folder, "edf.json", *stores, "--name", "first", "--note", "six variants")
    ended = run_taskgen("bundle", "events.db", "--campaign", "first", "-o", "first.zip", cwd=folder)
    assert ended.returncode == 0, ended.stderr
    return Lab(folder, folder / "first.zip", ended.stdout)


def ran(folder: Path, *arguments: str | Path) -> dict[str, Any]:
    """The summary of a `taskgen run` on two simulated boards."""
    with run_boards(2, speed=20) as addresses:
        boards = [part for address in addresses for part in ("--board", address)]
        ended = run_taskgen("run", *arguments, *boards, "--json", cwd=folder)
    assert ended.returncode == 0, ended.stderr
    summary: dict[str, Any] = json.loads(ended.stdout)
    return summary


def rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode())))


def test_a_bundle_has_task_sets_hashes_events_jobs_reports_and_provenance(lab: Lab) -> None:
    files = files_of(lab.bundle)
    assert len(files["tasksets.jsonl"].splitlines()) == 6
    assert len(rows(files["jobs.csv"])) == JOBS
    assert {row["pkg"] for row in rows(files["events.binaries.csv"])} == {"tumatmul", "hey"}
    assert b"<svg" in files["report.html"]
    assert {row["is_complete"] for row in rows(files["runs.csv"])} == {"True"}
    about = json.loads(files["bundle.json"])
    assert (about["runs"], about["jobs"], about["incomplete"]) == (6, JOBS, [])
    assert about["campaigns"][0]["note"] == "six variants"
    with closing(SqliteReader(lab.folder / "events.db")) as reader:
        stored = [row for run in reader.runs() for row in reader.events(run.run_id)]
    in_bundle = [(row["run_id"], int(row["seq"]), row["type"]) for row in rows(files["events.csv"])]
    assert in_bundle == [(row.run_id, row.seq, row.type) for row in stored]


def test_the_description_is_an_ro_crate_that_names_every_file_with_its_hash(lab: Lab, tmp_path: Path) -> None:
    with zipfile.ZipFile(lab.bundle) as archive:
        archive.extractall(tmp_path)
    crate = ROCrate(tmp_path)
    listed = dict(line.split("  ")[::-1] for line in (tmp_path / MANIFEST).read_text().splitlines())
    described = {entity.id: entity.get("sha256") for entity in crate.data_entities}
    assert set(described) == {*listed, MANIFEST} - {"ro-crate-metadata.json"}
    assert all(described[name] in {listed.get(name), None} for name in described)
    assert crate.name == "first"
    action = crate.dereference(crate.root_dataset["mentions"].id)
    assert action["instrument"]["name"] == "taskgen"


def test_the_manifest_is_one_that_sha256sum_checks(lab: Lab, tmp_path: Path) -> None:
    with zipfile.ZipFile(lab.bundle) as archive:
        archive.extractall(tmp_path)
    ended = subprocess.run(
        ["sha256sum", "--check", "--strict", MANIFEST], cwd=tmp_path, capture_output=True, check=False
    )
    assert ended.returncode == 0, ended.stdout


def test_authors_and_license_are_in_the_description(lab: Lab, tmp_path: Path) -> None:
    authors = ("--author", "A. Uthor", "--author", "C. Oauthor", "--license", "CC-BY-4.0")
    ended = run_taskgen("bundle", lab.folder / "events.db", "-o", "b.zip", *authors, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    graph = json.loads(files_of(tmp_path / "b.zip")["ro-crate-metadata.json"])["@graph"]
    root = next(entity for entity in graph if entity["@id"] == "./")
    assert root["license"]["@id"].endswith("/CC-BY-4.0")
    names = [entity["name"] for entity in graph if entity["@id"].startswith("#author")]
    assert (names, len(root["author"])) == (["A. Uthor", "C. Oauthor"], 2)


def test_verify_needs_nothing_that_an_extra_installs(lab: Lab, tmp_path: Path) -> None:
    extras = extras_modules()
    assert {"rocrate", "pandas", "matplotlib", "jinja2", "requests"} <= extras
    ended = run_without(extras, "verify", lab.bundle, cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[-1] == "clean"
    sha256 = next(line for line in lab.printed.splitlines() if line.startswith("sha256"))
    assert sha256.split() in [line.split() for line in ended.stdout.splitlines()]


def test_a_bundle_without_the_extras_says_what_to_install(lab: Lab, tmp_path: Path) -> None:
    bundle = ("bundle", lab.folder / "events.db", "-o")
    ended = run_without(extras_modules(), *bundle, "b.zip", cwd=tmp_path)
    assert (ended.returncode, list(tmp_path.iterdir())) == (2, [])
    assert ended.stderr == "taskgen: for bundles, install taskgen-events[bundle]\n"
    ended = run_without({"matplotlib"}, *bundle, "c.zip", cwd=tmp_path)
    assert ended.returncode == 0
    assert "without report.html: for figures, install taskgen-events[report]" in ended.stderr
    assert "report.html" not in files_of(tmp_path / "c.zip")
    assert verify_bundle(tmp_path / "c.zip").is_clean


def test_a_bundle_is_run_again_with_the_names_and_numbers_of_its_variants(lab: Lab) -> None:
    summary = ran(lab.folder, "first.zip", "--sqlite", "again.db", "--name", "again")
    assert (summary["variants"], summary["outcomes"], summary["jobs"]) == (6, {"finished": 6}, JOBS)
    with (
        open_dataset(str(lab.folder / "events.db")) as first,
        open_dataset(str(lab.folder / "again.db")) as again,
    ):
        ours, theirs = (
            {
                (one.variant.source, one.variant.variant, one.name, json.dumps(one.tasks))
                for one in dataset.runs
            }
            for dataset in (first, again)
        )
    assert ours == theirs
    assert len(ours) == 6
    ended = run_taskgen("compare", "first.zip", "again.db", cwd=lab.folder)
    assert ended.returncode == 0, ended.stderr


def test_a_repeated_element_of_a_config_is_still_one_value_when_it_is_run_again(tmp_path: Path) -> None:
    tasks = TaskSet([Task(pkg="hey", period=100, config={"arg1": ("a", "b")})])
    with (
        run_boards(1, speed=20) as boards,
        SqliteHandler(tmp_path / "events.db") as handler,
        Distributor(boards, event_handler=handler) as distributor,
    ):
        distributor.start(tasks)
    with open_dataset(str(tmp_path / "events.db")) as dataset:
        write_bundle(dataset, tmp_path / "b.zip")
    assert ran(tmp_path, "b.zip", "--sqlite", "again.db")["variants"] == 1
    with open_dataset(str(tmp_path / "again.db")) as dataset:
        assert dataset.runs[0].tasks[0]["config"] == {"arg1": ["a", "b"]}


def test_every_command_that_reads_results_reads_a_bundle(lab: Lab, tmp_path: Path) -> None:
    ended = run_taskgen("report", lab.bundle, "--csv", "t.csv", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "t.csv").read_bytes() == files_of(lab.bundle)["report.csv"]
    ended = run_taskgen("export", lab.bundle, "-o", "jobs.csv", cwd=tmp_path)
    assert (tmp_path / "jobs.csv").read_bytes() == files_of(lab.bundle)["jobs.csv"]
    assert len(load(str(lab.bundle), "first").jobs) == JOBS
    again = tmp_path / "again.zip"
    with open_dataset(str(lab.bundle)) as dataset:
        write_bundle(dataset, again)
    dated = {MANIFEST, "ro-crate-metadata.json", "report.html"}
    first, second = files_of(lab.bundle), files_of(again)
    assert {name for name in first if first[name] != second[name]} <= dated


@pytest.mark.servers
def test_bundles_of_all_stores_have_the_same_events_and_metrics(
    tmp_path: Path, postgres_database: str
) -> None:
    tasks = TaskSet([Task(pkg="tumatmul", period=100, numberofjobs=4, config={"arg1": [20, 95, 120]})])
    specs = [f"sqlite:{tmp_path}/events.db", f"csv:{tmp_path}/events.csv", postgres_database]
    with ExitStack() as stack:
        stores = [stack.enter_context(open_handler(spec)) for spec in specs]
        addresses = stack.enter_context(run_boards(2, speed=10))
        distributor = stack.enter_context(Distributor(addresses, event_handler=stores))
        distributor.start(tasks, name="same")
    bundles = []
    for number, spec in enumerate(specs):
        path = tmp_path / f"{number}.zip"
        with open_dataset(spec, "same") as dataset:
            write_bundle(dataset, path)
        assert verify_bundle(path).is_clean
        bundles.append(files_of(path))
    dated = {MANIFEST, "ro-crate-metadata.json", "report.html"}
    for name in bundles[0].keys() - dated:
        assert bundles[0][name] == bundles[1][name] == bundles[2][name], name
    assert len(rows(bundles[0]["jobs.csv"])) == 12


Change = Callable[[dict[str, bytes]], dict[str, bytes]]


def changed_byte(files: dict[str, bytes]) -> dict[str, bytes]:
    data = bytearray(files["events.csv"])
    data[-20] ^= 1
    return files | {"events.csv": bytes(data)}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (changed_byte, "events.csv was changed"),
        (lambda files: files | {"report.csv": files["report.csv"] + b" "}, "report.csv was changed"),
        (lambda files: {k: v for k, v in files.items() if k != "jobs.csv"}, "jobs.csv is missing"),
        (lambda files: files | {"more.txt": b""}, "more.txt was added"),
        (lambda files: files | {"folder/more\x1b.txt": b""}, "folder/more\\x1b.txt was added"),
    ],
)
def test_a_changed_missing_or_added_file_is_found(
    lab: Lab, tmp_path: Path, change: Change, line: str
) -> None:
    bundle = write_zip(tmp_path / "b.zip", change(files_of(lab.bundle)))
    ended = run_taskgen("verify", bundle, cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert ended.stdout.splitlines()[-3:] == [
        line,
        "therefore nothing else was checked",
        "1 problem",
    ]
    ended = run_taskgen("run", bundle, "--board", "127.0.0.1:9", "--sqlite", "events.db", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (2, f"taskgen: {bundle}: {line}; get an unchanged copy\n")
    assert list(tmp_path.iterdir()) == [bundle]


def without_line(name: str, number: int) -> Change:
    def change(files: dict[str, bytes]) -> dict[str, bytes]:
        lines = files[name].splitlines(keepends=True)
        return files | {name: b"".join(lines[:number] + lines[number + 1 :])}

    return change


def doubled_event(files: dict[str, bytes]) -> dict[str, bytes]:
    last = files["events.csv"].splitlines(keepends=True)[-1]
    return files | {"events.csv": files["events.csv"] + last}


def other_response(files: dict[str, bytes]) -> dict[str, bytes]:
    lines = files["jobs.csv"].splitlines(keepends=True)
    values = lines[1].split(b",")
    values[6] = b"7"
    return files | {"jobs.csv": b"".join([lines[0], b",".join(values), *lines[2:]])}


def other_priority(files: dict[str, bytes]) -> dict[str, bytes]:
    return files | {"tasksets.jsonl": files["tasksets.jsonl"].replace(b'"priority": 6', b'"priority": 60', 1)}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (without_line("events.csv", 3), "1 events missing: 2"),
        (doubled_event, "events of its runs"),
        (without_line("jobs.csv", JOBS), "is missing"),
        (without_line("jobs.csv", 0), "jobs.csv has other columns: "),
        (other_response, "response_ms is '7'; the events give"),
        (other_priority, ": is not the task-set that ran"),
        (without_line("events.runs.csv", 1), "end is absent"),
        (without_line("events.tasks.csv", 1), "events of unknown tasks: 0, "),
    ],
)
def test_what_a_forger_with_a_new_manifest_changes_is_found_by_the_events(
    lab: Lab, tmp_path: Path, change: Change, line: str
) -> None:
    bundle = write_zip(tmp_path / "b.zip", change(files_of(lab.bundle)), with_manifest=True)
    ended = run_taskgen("verify", bundle, cwd=tmp_path)
    assert ended.returncode == 1, ended.stderr
    assert line in ended.stdout


def without_manifest(bundle: Path) -> None:
    files = files_of(bundle)
    del files[MANIFEST]
    write_zip(bundle, files)


def traversing(bundle: Path) -> None:
    write_zip(bundle, files_of(bundle) | {"../outside.txt": b"x"}, with_manifest=True)


def absolute(bundle: Path) -> None:
    write_zip(bundle, files_of(bundle) | {f"{bundle.parent}/outside.txt": b"x"})


def linked(bundle: Path) -> None:
    with zipfile.ZipFile(bundle, "a") as archive:
        link = zipfile.ZipInfo("link.csv")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")


def bomb(bundle: Path) -> None:
    with zipfile.ZipFile(bundle, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.csv", bytes(100 * 2**20))


def doubled(bundle: Path) -> None:
    with zipfile.ZipFile(bundle, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("events.csv", b"")


def crowded(bundle: Path) -> None:
    write_zip(bundle, files_of(bundle) | {f"{number}.txt": b"" for number in range(1_001)})


def overcrowded(bundle: Path) -> None:
    write_zip(bundle, {f"{number:0100}.txt": b"" for number in range(8_000)})


def overcrowded_zip64(bundle: Path) -> None:
    write_zip(bundle, {str(number): b"" for number in range(70_000)})


def of_the_future(bundle: Path) -> None:
    files = files_of(bundle)
    about = json.loads(files["bundle.json"]) | {"format": 2}
    write_zip(bundle, files | {"bundle.json": json.dumps(about).encode()}, with_manifest=True)


def without_jobs(bundle: Path) -> None:
    files = files_of(bundle)
    del files["jobs.csv"]
    write_zip(bundle, files, with_manifest=True)


def escaping_manifest(bundle: Path) -> None:
    files = files_of(bundle)
    write_zip(bundle, files | {MANIFEST: files[MANIFEST] + b"0" * 64 + b"  ../outside.txt\n"})


def broken_store(bundle: Path) -> None:
    files = files_of(bundle)
    broken = files["events.csv"].replace(b",START,", b",START", 1)
    write_zip(bundle, files | {"events.csv": broken}, with_manifest=True)


def broken_table(bundle: Path) -> None:
    files = files_of(bundle)
    write_zip(bundle, files | {"events.tasks.csv": b"a,b\xff\r\n"}, with_manifest=True)


@pytest.mark.parametrize(
    ("harm", "text"),
    [
        (lambda bundle: bundle.write_bytes(bundle.read_bytes()[:-100]), "is not a zip file, or is damaged"),
        (lambda bundle: bundle.write_bytes(b""), "is not a zip file, or is damaged"),
        (lambda bundle: bundle.write_bytes(b"PK" * 1000), "is not a zip file, or is damaged"),
        (lambda bundle: bundle.unlink(), "No such file or directory"),
        (without_manifest, f"is not a taskgen bundle: it has no {MANIFEST}"),
        (without_jobs, f"is not a taskgen bundle: its {MANIFEST} lists no jobs.csv"),
        (traversing, "has a file '../outside.txt', which would be unpacked outside of it"),
        (absolute, "which would be unpacked outside of it"),
        (linked, "link.csv is a symbolic link"),
        (bomb, "would unpack to 105,"),
        (doubled, "has two files of the same name"),
        (crowded, "no bundle has more than 1,000"),
        (overcrowded, "has too many files"),
        (overcrowded_zip64, "has too many files"),
        (of_the_future, "was created by a newer taskgen (format 2, this one supports 1); upgrade taskgen"),
        (escaping_manifest, "has an invalid line"),
        (broken_store, "events.csv: line"),
        (broken_table, "events.tasks.csv: has a different header"),
    ],
)
def test_a_zip_that_is_damaged_or_does_harm_gets_one_line(
    lab: Lab, tmp_path: Path, harm: Callable[[Path], object], text: str
) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    bundle = folder / "b.zip"
    bundle.write_bytes(lab.bundle.read_bytes())
    harm(bundle)
    ended = run_taskgen("verify", "b.zip", cwd=folder)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert text in ended.stderr
    assert ended.stderr.startswith("taskgen: b.zip: ")
    assert {path.name for path in tmp_path.rglob("*")} <= {"inside", "b.zip"}


def test_a_bundle_with_bytes_changed_at_random_is_refused_or_found_or_the_same(
    lab: Lab, tmp_path: Path
) -> None:
    whole, numbers = lab.bundle.read_bytes(), random.Random(7)
    content, verdicts = files_of(lab.bundle), []
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(numbers.choice((1, 1, 8))):
            data[numbers.randrange(len(data))] = numbers.randrange(256)
        path = tmp_path / "b.zip"
        path.write_bytes(data)
        try:
            is_clean = verify_bundle(path).is_clean
        except BundleError:
            is_clean = False
        if is_clean:  # a time or an attribute of a file
            assert files_of(path) == content
        verdicts.append(is_clean)
    assert verdicts.count(False) > 100


def test_a_line_changed_at_random_is_refused_or_found_or_proves_nothing(lab: Lab, tmp_path: Path) -> None:
    """Nothing but an error of the tree, whatever a forger with a new manifest has written."""
    numbers, content = random.Random(11), files_of(lab.bundle)
    verdicts: set[bool | str] = set()
    names = [name for name in content if name.endswith((".csv", ".jsonl"))]
    for _ in range(100):
        name = numbers.choice(names)
        values = content[name].split(b",")
        values[numbers.randrange(len(values))] = numbers.choice(ODD_VALUES)
        path = write_zip(tmp_path / "b.zip", content | {name: b",".join(values)}, with_manifest=True)
        try:
            verdicts.add(verify_bundle(path).is_clean)
            read_tasksets(str(path))
        except TaskgenError as error:
            verdicts.add(type(error).__name__)
    assert verdicts >= {True, False, "BundleError"}


ODD_VALUES = [b"", b"-1", b"9" * 30, b"1e5", b"null", b"{", b"\0", b"\xff", b'"', b"\r\n", b"x" * 200_000]


def test_an_incomplete_run_is_marked_and_verify_says_so(lab: Lab, tmp_path: Path) -> None:
    store = tmp_path / "damaged.db"
    store.write_bytes((lab.folder / "events.db").read_bytes())
    with closing(sqlite3.connect(store, isolation_level=None)) as connection:
        missing, endless = (
            run_id
            for (run_id,) in connection.execute("SELECT run_id FROM runs ORDER BY run_id LIMIT 2").fetchall()
        )
        for table in ("jobs", "run_metrics"):
            connection.execute(f"DELETE FROM {table} WHERE run_id IN (?, ?)", (missing, endless))
        connection.execute("DELETE FROM events WHERE run_id = ? AND seq = 5", (missing,))
        connection.execute("UPDATE runs SET outcome = NULL, ended_at = NULL WHERE run_id = ?", (endless,))
    ended = run_taskgen("bundle", "damaged.db", "-o", "b.zip", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert f"run {missing} is incomplete, and marked so" in ended.stdout
    files = files_of(tmp_path / "b.zip")
    assert json.loads(files["bundle.json"])["incomplete"] == [missing, endless]
    marked = {row["run_id"] for row in rows(files["runs.csv"]) if row["is_complete"] == "False"}
    assert marked == {missing, endless}
    assert not {row["run_id"] for row in rows(files["jobs.csv"])} & marked
    ended = run_taskgen("verify", "b.zip", cwd=tmp_path)
    assert ended.returncode == 1
    assert ended.stdout.splitlines()[-3:] == [
        f"run {missing}: b.zip: 1 events missing: 5",
        f"run {endless}: b.zip: end is absent",
        "2 problems",
    ]


def test_runs_without_an_event_are_as_complete_in_csv_and_in_a_bundle_as_in_sqlite(tmp_path: Path) -> None:
    run = Run("127.0.0.1:3001", outcome=Outcome.BOARD_LOST, reason="silent", ended_at="2026-01-01T00:00:00")
    for spec in (f"sqlite:{tmp_path}/events.db", f"csv:{tmp_path}/events.csv"):
        with open_handler(spec) as handler:
            handler.take_start(run, [dict(Task(pkg="hey", id=0))])
            handler.take_end(run)
            if spec.startswith("csv"):
                other = Run("127.0.0.1:3001", run_id="z")
                handler.take_start(other, [dict(Task(pkg="hey", id=0))])
        with open_dataset(spec) as dataset:
            assert [one.is_complete for one in dataset.runs if one.run.run_id == run.run_id] == [True]
            write_bundle(dataset, tmp_path / f"{spec[:3]}.zip")
        assert verify_bundle(tmp_path / f"{spec[:3]}.zip").events.events


def test_odd_events_results_and_what_is_no_event_come_back_as_they_were(tmp_path: Path) -> None:
    run = Run("127.0.0.1:3001", source='ä, "b".json', parameters={"task0.config.arg1": '\u2028,"x"'})
    run.binaries = {"hey": "ab" * 32}
    odd = [
        {"@type": "START", "@task-id": "0", "@time-stamp": str(2**64 - 10)},
        {"@type": 'NEW, "ONE"', "@task-id": "-1", "@time-stamp": "0", "@note": 'a\r\n"b", ☃'},
        {"@type": "EXIT", "@task-id": "0", "@time-stamp": "20", "task": {"@id": "0", "@execution-time": "7"}},
    ]
    profile = ProfileOfRun(0, "2026-01-01T00:00:00+00:00", {"profile": {"events": {"event": odd}}})
    noise = Quarantined("not\na profile", b"\0\xff\r\n", run.board, "2026-01-01T00:00:01+00:00", run.run_id)
    with SqliteHandler(tmp_path / "events.db") as handler:
        handler.take_start(run, [dict(Task(pkg="hey", id=0, period=10))])
        handler.take_events(run, EventColumns.of([profile]))
        run.outcome, run.ended_at, run.events, run.reason = Outcome.FINISHED, "2026-01-01", 3, 'said "x, y"'
        handler.take_end(run)
        handler.__taskset_quarantine__(None, noise)
        taskset = TaskSet([Task(pkg="hey")])
        taskset.run = run
        run.record(value=[1, {"a": None}], text="\n")
        handler.take_results(taskset)
    with open_dataset(str(tmp_path / "events.db")) as dataset:
        write_bundle(dataset, tmp_path / "b.zip")
        first = told(dataset)
    assert verify_bundle(tmp_path / "b.zip").is_clean
    with open_dataset(str(tmp_path / "b.zip")) as dataset:
        assert told(dataset) == first
    assert first[1][0].response_ms == 30
    assert len(first[2]) == 1


def told(dataset: Dataset) -> tuple[Any, ...]:
    """All that is known of the only run of a store."""
    (one,) = dataset.runs
    about = (one.variant, one.campaign, one.is_complete, one.tasks, one.binaries, one.results, one.run.reason)
    return list(dataset.events(one)), list(dataset.jobs(one)), list(dataset.quarantined()), about


def test_an_existing_file_is_kept_unless_it_is_to_be_replaced(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "b.zip").write_text("mine")
    bundle = ("bundle", lab.folder / "events.db", "-o", "b.zip")
    ended = run_taskgen(*bundle, cwd=tmp_path)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert (tmp_path / "b.zip").read_text() == "mine"
    assert run_taskgen(*bundle, "--overwrite", cwd=tmp_path).returncode == 0
    assert verify_bundle(tmp_path / "b.zip").is_clean
    assert [path.name for path in tmp_path.iterdir()] == ["b.zip"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--campaign", "nope", "-o", "b.zip"), "no campaign 'nope'; its campaigns: first ("),
        (("-o", "b.tar"), "ends with .zip"),
        (("-o", "nowhere/b.zip"), "cannot write nowhere/b.zip"),
        (("-o", "/"), "ends with .zip"),
    ],
)
def test_wrong_use_gets_one_line_and_leaves_nothing(
    lab: Lab, tmp_path: Path, arguments: tuple[str, ...], text: str
) -> None:
    ended = run_taskgen("bundle", lab.folder / "events.db", *arguments, cwd=tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert text in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_campaign_can_be_named_by_its_id(lab: Lab, tmp_path: Path) -> None:
    campaign = json.loads(files_of(lab.bundle)["bundle.json"])["campaigns"][0]["campaign_id"]
    store = lab.folder / "events.csv"
    ended = run_taskgen("bundle", store, "--campaign", campaign, "-o", "b.zip", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert files_of(tmp_path / "b.zip")["events.csv"] == files_of(lab.bundle)["events.csv"]


def test_of_two_campaigns_in_a_store_a_bundle_holds_the_one_that_was_named_or_both(
    lab: Lab, tmp_path: Path
) -> None:
    (tmp_path / "edf.json").write_bytes((lab.folder / "edf.json").read_bytes())
    (tmp_path / "events.db").write_bytes((lab.folder / "events.db").read_bytes())
    ran(tmp_path, "edf.json", "--sqlite", "events.db", "--name", "second")
    run_ids = {}
    for campaign in ("first", "second", ""):
        path = tmp_path / f"{campaign}.zip"
        with open_dataset(str(tmp_path / "events.db"), campaign) as dataset:
            write_bundle(dataset, path)
        assert verify_bundle(path).is_clean
        files = files_of(path)
        run_ids[campaign] = {row["run_id"] for row in rows(files["events.csv"])}
        names = [campaign["name"] for campaign in json.loads(files["bundle.json"])["campaigns"]]
        assert names == ([campaign] if campaign else ["first", "second"])
    assert not run_ids["first"] & run_ids["second"]
    assert run_ids[""] == run_ids["first"] | run_ids["second"]
    assert len(run_ids[""]) == 12


def test_verify_takes_one_bundle_and_nothing_beside_it(lab: Lab) -> None:
    ended = run_taskgen("verify", "first.zip", "sqlite:events.db", cwd=lab.folder)
    assert (ended.returncode, ended.stderr) == (2, "taskgen: give one bundle alone\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_bundle_leaves_no_half_file(lab: Lab, tmp_path: Path, number: signal.Signals) -> None:
    """It is interrupted in the middle of a file that never ends."""
    script = (
        "import signal, sys, taskgen.results.bundle as bundle\n"
        "from taskgen.cli import main\n"
        "from time import sleep\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it\n"
        "def endless(*_):\n"
        "    print('begun', flush=True)\n"
        "    while True:\n"
        "        yield b'x'\n"
        "        sleep(0.01)\n"
        "bundle._run_lines = endless\n"
        "main()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, "bundle", str(lab.folder / "events.db"), "-o", "b.zip"],
        cwd=tmp_path,
        env=environment(TMPDIR=str(tmp_path)),
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        assert list(tmp_path.iterdir()) != []
        process.send_signal(number)
        assert process.wait(30) == 130
    assert list(tmp_path.iterdir()) == []
