"""What the base of the storing handlers does, whatever the store."""

import json

import pytest

from taskgen.errors import StoreError, StoreUnavailableError
from taskgen.event_columns import EventColumns, ProfileOfRun
from taskgen.events.base import Batch, EventRow, StoringHandler, event_rows
from taskgen.run import Outcome, Run
from tests.support.profiles import event, profile_of
from tests.support.store_events import end_run, give, run_id, taskset


class Memory(StoringHandler):
    """Keeps batches in a list, and fails as often as it is asked to."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[Batch] = []
        self.failures: list[StoreError] = []
        self.releases = 0

    def _write(self, batch: Batch) -> None:
        if self.failures:
            raise self.failures.pop()
        self.batches.append(batch)

    def _release(self) -> None:
        self.releases += 1


def test_events_that_were_not_stored_go_with_the_next_call() -> None:
    handler, tasks = Memory(), taskset()
    handler.failures = [StoreUnavailableError("full")]
    with pytest.raises(StoreUnavailableError):
        give(handler, tasks, 0, event("X", 0, 0))
    give(handler, tasks, 1, event("X", 0, 1))
    (batch,) = handler.batches
    assert [events.first_seq for _, events in batch.events] == [0, 1]


def test_a_failed_commit_leaves_the_batch_open() -> None:
    handler, tasks = Memory(), taskset()
    handler.begin()
    give(handler, tasks, 0, event("X", 0, 0))
    handler.failures = [StoreUnavailableError("full")]
    with pytest.raises(StoreUnavailableError):
        handler.commit()
    give(handler, tasks, 1, event("X", 0, 1))
    assert handler.batches == []
    handler.commit()
    assert len(handler.batches) == 1


def test_closing_releases_once_even_if_it_cannot_commit() -> None:
    handler = Memory()
    handler.begin()
    give(handler, taskset(), 0, event("X", 0, 0))
    handler.failures = [StoreError("never")]
    with pytest.raises(StoreError, match="never"):
        handler.close()
    handler.close()
    assert handler.releases == 1


def test_an_empty_profile_writes_nothing() -> None:
    handler = Memory()
    assert handler.__taskset_event__(taskset(), profile_of())
    assert handler.batches == []


def test_collected_data_does_not_change_with_the_run() -> None:
    handler, tasks = Memory(), taskset()
    assert tasks.run is not None
    handler.begin()
    handler.__taskset_start__(tasks)
    handler.__taskset_stop__(tasks)
    tasks.run.reason = "changed later"
    handler.commit()
    (batch,) = handler.batches
    assert batch.ended[0].reason == ""


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (event("X", 7, 1), None),
        ({"@type": "X", "@task-id": "007", "@time-stamp": "1"}, {"@task-id": "007"}),
        ({"@type": "A\nB", "@task-id": "7", "@time-stamp": "01"}, {"@type": "A\nB", "@time-stamp": "01"}),
        (event("X", 7, 1, task={"@id": "1"}), {"task": {"@id": "1"}}),
        (event("X", 7, 1, **{"#text": "?"}), {"#text": "?"}),
    ],
)
def test_attributes_hold_what_the_columns_do_not(given: dict[str, object], kept: object) -> None:
    (stored,) = event_rows(Run("board"), EventColumns.of([ProfileOfRun(3, "now", profile_of(given))]))
    row = EventRow(*stored)
    assert row.seq == 3
    assert (row.attributes and json.loads(row.attributes)) == kept
    assert row.event() == given


def kept(handler: Memory) -> dict[str, list[int]]:
    """The numbers of the events that were stored, by run."""
    seqs: dict[str, list[int]] = {}
    for batch in handler.batches:
        for run, events in batch.events:
            seqs.setdefault(run.run_id, []).extend(range(events.first_seq, events.next_seq))
    return seqs


def test_start_and_end_of_a_run_that_is_given_up_are_kept_if_possible() -> None:
    handler, tasks = Memory(), taskset()
    handler.begin()
    handler.__taskset_start__(tasks)
    give(handler, tasks, 0, event("X", 0, 0))
    end_run(handler, tasks, 1)
    handler.give_up("damaged")
    (batch,) = handler.batches
    assert (len(batch.started), batch.events) == (1, [])
    assert (batch.ended[0].events, batch.ended[0].outcome) == (0, Outcome.FINISHED)
    assert "the last 1 of its 1 events could not be stored: damaged" in batch.ended[0].reason


@pytest.mark.parametrize("failures", [0, 1])
def test_a_run_whose_first_events_were_given_up_has_none_of_the_later_ones(failures: int) -> None:
    handler, tasks, other = Memory(), taskset(), taskset()
    handler.begin()
    handler.__taskset_start__(tasks)
    if not failures:
        give(handler, tasks, 0, event("X", 0, 0))
    handler.failures = [StoreError("again")] * failures
    handler.give_up("damaged")
    for run in (tasks, other):
        give(handler, run, 1, event("X", 0, 1))
        end_run(handler, run, 2)
    assert kept(handler) == {run_id(other): [1]}
    ended = {run.run_id: run.events for batch in handler.batches for run in batch.ended}
    assert ended == {run_id(tasks): 0, run_id(other): 2}
