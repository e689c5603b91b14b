"""What a distributor writes of a run has no gap, and the run's end says how much it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.distributor.outbox import OpenRun
from taskgen.event import Quarantined
from taskgen.run import Outcome, now
from tests.support.message_factory import run_head
from tests.support.publishing import (
    LARGE,
    Lab,
    PublishedRun,
    adopted,
    assert_whole,
    merged,
    published,
    run_of,
)
from tests.support.store_events import full_disk


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.outbox.close()


def test_after_the_first_events_that_do_not_fit_nothing_more_of_their_run_is_written(lab: Lab) -> None:
    tasks = lab.begin()
    lab.give(tasks, 3)
    assert lab.is_committed()
    while lab.is_committed():
        lab.give(tasks, LARGE)
    lab.give_up()
    lab.outbox.remove(lab.outbox.first(1))  # the start: now there would be room for something small
    lab.give(tasks, 1)
    lab.give_up()
    lab.end(tasks, reason="the distributor was shut down")
    lab.give_up()
    run = lab.published(tasks)
    run.has_started = True
    given, count = run_of(tasks).events, len(run.seqs)
    assert 3 < count < given
    missing = f"shut down; the last {given - count} of its {given} events could not be written: the outbox"
    assert_whole(run, Outcome.DISTRIBUTOR_LOST, missing)


def test_a_finished_run_is_lost_with_the_written_events_if_its_last_ones_do_not_fit(lab: Lab) -> None:
    tasks = lab.begin()
    assert lab.is_committed()
    while lab.is_committed():
        lab.give(tasks, LARGE)
    lab.give(tasks, 1)
    lab.end(tasks, Outcome.FINISHED)
    lab.give_up()
    assert assert_whole(lab.published(tasks), Outcome.DISTRIBUTOR_LOST, "it ended as finished; the last") > 0


def test_a_run_of_which_all_is_written_ends_as_it_did_although_the_outbox_is_full(lab: Lab) -> None:
    over, tasks = lab.begin(), lab.begin()
    for one in (over, tasks):
        lab.give(one, 3)
    lab.end(over, Outcome.FINISHED)
    assert lab.is_committed()
    lab.fill()
    lab.end(tasks, Outcome.FINISHED)
    lab.give_up()
    for one in (over, tasks):
        assert assert_whole(lab.published(one), Outcome.FINISHED) == 3


def test_the_closing_message_names_the_parameters_of_the_variant(lab: Lab) -> None:
    tasks = lab.begin()
    run_of(tasks).parameters = {"task1.priority": 5}
    lab.end(tasks, Outcome.FINISHED)
    assert lab.is_committed()
    (end,) = lab.published(tasks).ends
    assert end.parameters == {"task1.priority": 5}


def test_the_end_of_an_adopted_run_is_published_although_the_outbox_is_full(lab: Lab) -> None:
    run = run_head()
    lab.fill()
    lab.begin()
    lab.handler.report_lost(OpenRun(run.run_id, run.model_dump_json(), 7), "it has ended")
    lab.give_up()
    (end,) = published(lab.outbox)[run.run_id].ends
    assert (end.outcome, end.events, end.reason) == (Outcome.DISTRIBUTOR_LOST, 7, "it has ended")


def test_events_that_do_not_fit_do_not_affect_other_runs(lab: Lab) -> None:
    lost, other = lab.begin(), lab.begin()
    lab.give(other, 2)
    assert lab.is_committed()
    while lab.is_committed():
        lab.give(lost, LARGE)
    lab.give_up()
    of_lost = [one for one in lab.outbox.first(99) if one.entry.message_id.startswith(run_of(lost).run_id)]
    lab.outbox.remove(of_lost)
    lab.give(other, 2)
    lab.end(other, Outcome.FINISHED)
    lab.give_up()
    assert assert_whole(lab.published(other), Outcome.FINISHED) == 4


def test_nothing_is_published_of_a_run_whose_start_does_not_fit_so_its_task_set_stays_queued(
    lab: Lab,
) -> None:
    lab.fill()
    early, late = lab.begin(), lab.begin()
    lab.give(early, 3)
    lab.end(early, Outcome.FINISHED)
    lab.give_up()
    lab.drain()
    lab.give(late, 3)
    lab.end(late)
    lab.calls.commit()
    assert lab.published(early) == lab.published(late) == PublishedRun()
    assert run_of(late).run_id not in adopted(lab)


def test_an_end_that_does_not_fit_either_is_published_by_the_next_process(lab: Lab) -> None:
    tasks, ended = lab.begin(), lab.begin()
    for one in (tasks, ended):
        lab.give(one, 3)
    assert lab.is_committed()
    with full_disk(lab.folder):
        for one in (tasks, ended):
            lab.give(one, 10 * LARGE)
        lab.give_up()
        lab.give(tasks, 1)
        lab.end(ended, Outcome.FINISHED)
        lab.give_up()
        lab.handler.close_runs("the distributor was shut down")
        lab.give_up()
    assert lab.published(tasks).ends == lab.published(ended).ends == []
    runs = adopted(lab)
    for one in (tasks, ended):
        assert assert_whole(runs[run_of(one).run_id], Outcome.DISTRIBUTOR_LOST, "has ended") == 3


def test_an_end_that_fits_later_is_published_once_and_with_one_reason(lab: Lab) -> None:
    tasks = lab.begin()
    lab.give(tasks, 3)
    assert lab.is_committed()
    with full_disk(lab.folder):
        lab.give(tasks, 10 * LARGE)
        lab.end(tasks, reason="shut down")
        lab.give_up()
        lab.begin()
        lab.give_up()
    lab.give_up()
    run = lab.published(tasks)
    assert assert_whole(run, Outcome.DISTRIBUTOR_LOST) == 3
    assert run.ends[0].reason.count("could not be written") == 1
    assert run_of(tasks).run_id in adopted(lab)


def test_a_batch_larger_than_the_whole_outbox_is_written_as_space_becomes_free(lab: Lab) -> None:
    tasks = lab.begin()
    for _ in range(50):
        lab.give(tasks, LARGE)
    lab.end(tasks, Outcome.FINISHED)
    seen = PublishedRun()
    while not lab.is_committed():
        seen = merged(seen, lab.published(tasks))
        lab.drain()
    assert assert_whole(merged(seen, lab.published(tasks)), Outcome.FINISHED) == 50 * LARGE


def test_abandoned_runs_are_closed_with_the_events_they_have(lab: Lab) -> None:
    cut_off, ended = lab.begin(), lab.begin()
    lab.give(cut_off, 3)
    lab.end(ended, Outcome.FINISHED)
    lab.handler.close_runs("the distributor was shut down")
    assert lab.is_committed()
    assert assert_whole(lab.published(cut_off), Outcome.DISTRIBUTOR_LOST, "was shut down") == 3
    assert assert_whole(lab.published(ended), Outcome.FINISHED) == 0
    lab.drain()
    assert adopted(lab) == {}


@pytest.mark.parametrize("later", [1, 0])
def test_a_profile_that_cannot_be_handled_cuts_off_its_run_and_ends_it(lab: Lab, later: int) -> None:
    tasks = lab.begin()
    assert lab.give(tasks, 3)
    run_of(tasks).events += 2  # which the handler never saw
    if later:
        assert not lab.give(tasks, later)
    lab.end(tasks, Outcome.STOPPED_BY_RULE)
    assert lab.is_committed()
    which = "an earlier profile" if later else "a profile"
    reason = (
        f"the last {2 + later} of its {5 + later} events could not be written: {which} could not be handled"
    )
    assert assert_whole(lab.published(tasks), Outcome.DISTRIBUTOR_LOST, reason) == 3


def test_lost_quarantined_bytes_are_logged(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    lab.fill()
    lab.calls.quarantine(None, Quarantined("no frame", b"?", "board:1", now()))
    lab.give_up()
    assert "lost quarantined messages that could not be written: 1" in caplog.text
