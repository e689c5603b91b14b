"""What a store said to have committed is there exactly once, whenever its process is killed."""

import random
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from taskgen.events.stores import open_store
from taskgen.events.verify import verify
from tests.support.store_events import end_run, give, taskset
from tests.support.store_writer import STORES, numbered_event

_ROOT = Path(__file__).parents[2]
_KILLS = 6
_SLOWEST_S = 60


@contextmanager
def writer(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """The process, which is gone at the end."""
    command = [sys.executable, "-m", "tests.support.store_writer", *map(str, arguments)]
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def killed_in_the_middle(chance: random.Random, *arguments: object) -> int:
    """Kill a writer some time after its first commits; returns the last event that it said it has."""
    with writer(*arguments) as process:
        assert process.stdout is not None
        first = int(process.stdout.readline())
        time.sleep(chance.uniform(0, 0.05))  # not a wait for something: any moment will do
        process.kill()
        rest = [line for line in process.stdout if line.endswith("\n")]
    return max([first, *map(int, rest)])


def spec(kind: str, place: str) -> str:
    return place if kind == "postgres" else f"{'csv' if kind == 'parts' else kind}:{place}"


def seqs_of(kind: str, place: str, run: str) -> list[int]:
    with closing(open_store(spec(kind, place))) as reader:
        rows = list(reader.events(run))
    assert [row.event() for row in rows] == [numbered_event(row.seq) for row in rows]
    return [row.seq for row in rows]


class KilledStoreContract:
    kind: str

    @pytest.fixture
    def place(self, tmp_path: Path) -> str:
        return str(tmp_path / "store")

    def test_a_killed_store_has_what_it_reported_as_stored_and_continues(self, place: str) -> None:
        """Each life is given the last events of the one before again, as a queue does."""
        run = uuid.uuid4().hex
        chance = random.Random(11)
        said = -1
        for seed in range(_KILLS):
            first = max(0, said + 1 - chance.randint(0, 40))
            said = max(said, killed_in_the_middle(chance, self.kind, place, run, first, seed))
            stored = seqs_of(self.kind, place, run)
            assert stored == list(range(len(stored)))
            assert len(stored) > said
        tasks = taskset(run_id=run, taskset_id=f"of {run}")
        with STORES[self.kind](place) as handler:
            for seq in range(len(stored) + 5):
                give(handler, tasks, seq, numbered_event(seq))
            end_run(handler, tasks, len(stored) + 5)
        report = verify([spec(self.kind, place)])
        assert report.findings == []
        assert list(report.events.values()) == [len(stored) + 5]


class SharedStoreContract(KilledStoreContract):
    def test_processes_that_store_the_same_events_at_once_store_each_once(self, place: str) -> None:
        """Three replicas, each given all events of two runs, while a fourth is killed."""
        runs = [uuid.uuid4().hex for _ in range(2)]
        commands = [(self.kind, place, run, 0, seed, 400) for seed in range(3) for run in runs]
        with writer(self.kind, place, runs[0], 0, 99) as victim:
            processes = [
                subprocess.Popen(
                    [sys.executable, "-m", "tests.support.store_writer", *map(str, command)],
                    cwd=_ROOT,
                    stdout=subprocess.DEVNULL,
                )
                for command in commands
            ]
            assert victim.stdout is not None
            said = int(victim.stdout.readline())
            victim.kill()
            assert [process.wait(timeout=_SLOWEST_S) for process in processes] == [0] * len(commands)
        for run in runs:
            stored = seqs_of(self.kind, place, run)
            assert stored == list(range(len(stored)))
            assert len(stored) >= max(400, said)


class TestSqliteKilled(SharedStoreContract):
    kind = "sqlite"


class TestCsvKilled(KilledStoreContract):
    kind = "csv"


class TestCsvPartsKilled(SharedStoreContract):
    kind = "parts"


class TestPostgresKilled(SharedStoreContract):
    kind = "postgres"

    @pytest.fixture
    def place(self, postgres_database: str) -> str:
        return postgres_database
