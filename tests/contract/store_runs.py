"""What holds for the runs in every store: each is known, and ends once."""

import random
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import pytest

from taskgen.errors import StoreError
from taskgen.events.base import StoringHandler
from taskgen.run import Outcome, Run
from tests.support.profiles import event
from tests.support.store_events import Store, end_run, give, run_id, stored, stored_run, taskset


class RunsContract:
    """The tests; a class that derives from it gives the store."""

    def test_runs_are_kept_apart(self, store: Store) -> None:
        first, second = taskset(), taskset()
        with store.make() as handler:
            handler.begin()
            for seq in range(20):
                give(handler, first, seq, event("X", 0, seq))
                give(handler, second, seq, event("Y", 0, seq))
            handler.commit()
        assert stored(store, first) == [event("X", 0, n) for n in range(20)]
        assert stored(store, second) == [event("Y", 0, n) for n in range(20)]
        with closing(store.read()) as reader:
            assert [run.run_id for run in reader.runs()] == sorted([run_id(first), run_id(second)])

    def test_a_run_is_known_with_all_that_it_is(self, store: Store) -> None:
        tasks = taskset(attempt=2, variant=10**9)
        with store.make() as handler:
            handler.__taskset_start__(tasks)
            give(handler, tasks, 0, event("X", 0, 1))
            end_run(handler, tasks, 1, Outcome.TIMED_OUT)
        run = stored_run(store, tasks)
        assert tasks.run is not None
        assert replace(run, started_at="", ended_at="", outcome=None, events=0) == Run(
            tasks.run.board, tasks.run.run_id, tasks.run.taskset_id, 2, 10**9, started_at=""
        )
        with closing(store.read()) as reader:
            if reader.knows_ends:
                assert (run.outcome, run.events, run.ended_at) == (
                    Outcome.TIMED_OUT,
                    1,
                    "2024-05-06T08:00:00.000000+00:00",
                )

    def test_a_run_without_any_event_is_known_where_runs_are_kept(self, store: Store) -> None:
        tasks = taskset()
        with store.make() as handler:
            handler.__taskset_start__(tasks)
            with closing(store.read()) as reader:
                assert [run.outcome for run in reader.runs()] == [None] * reader.knows_ends
            end_run(handler, tasks, 0, Outcome.BOARD_LOST)
        with closing(store.read()) as reader:
            assert [run.outcome for run in reader.runs()] == [Outcome.BOARD_LOST] * reader.knows_ends

    @pytest.mark.parametrize("seed", range(8))
    def test_any_order_of_start_events_and_end_gives_the_same_rows(self, store: Store, seed: int) -> None:
        """Also when each comes by another handler, any of them twice, in batches or not."""
        tasks = taskset()
        calls: list[Callable[[StoringHandler], object]] = [
            lambda handler: handler.__taskset_start__(tasks),
            lambda handler: give(handler, tasks, 0, event("START", 0, 1)),
            lambda handler: give(handler, tasks, 1, event("EXIT", 0, 2), event("START", 0, 3)),
            lambda handler: end_run(handler, tasks, 3),
        ]
        chance = random.Random(seed)
        order = calls + chance.choices(calls, k=3)
        chance.shuffle(order)
        for call in order:
            with store.make() as handler:
                if chance.random() < 0.5:
                    handler.begin()
                call(handler)
        assert stored(store, tasks) == [event("START", 0, 1), event("EXIT", 0, 2), event("START", 0, 3)]
        run = stored_run(store, tasks)
        assert tasks.run is not None
        with closing(store.read()) as reader:
            if reader.knows_ends:
                assert run == replace(tasks.run, first_seq=0, received_at="")

    def test_an_ended_run_stays_as_it_ended(self, store: Store) -> None:
        tasks = taskset()
        with store.make() as handler:
            give(handler, tasks, 0, event("X", 0, 1))
            end_run(handler, tasks, 1)
            handler.__taskset_start__(tasks)
            end_run(handler, tasks, 7, Outcome.DISTRIBUTOR_LOST)
        with closing(store.read()) as reader:
            if reader.knows_ends:
                assert stored_run(store, tasks).outcome is Outcome.FINISHED
                assert stored_run(store, tasks).events == 1

    def test_a_handler_called_by_hand_gives_an_end_all_the_same(self, store: Store) -> None:
        """Without a distributor nobody has set outcome and time."""
        tasks = taskset()
        with store.make() as handler:
            give(handler, tasks, 0, event("X", 0, 1))
            handler.__taskset_stop__(tasks)
        with closing(store.read()) as reader:
            if reader.knows_ends:
                run = stored_run(store, tasks)
                assert run.outcome is Outcome.STOPPED_BY_USER
                assert run.ended_at

    def test_a_task_set_that_is_not_being_run_is_an_error_that_says_so(self, store: Store) -> None:
        tasks = taskset()
        tasks.run = None
        with store.make() as handler, pytest.raises(StoreError, match=r"taskset\.run"):
            handler.__taskset_start__(tasks)
