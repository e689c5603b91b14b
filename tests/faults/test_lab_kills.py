"""A lab in which services are killed in the middle of a campaign: it ends, and every event is stored once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from taskgen.events.verify import verify
from taskgen.run import Outcome
from taskgen.simulation import run_boards
from taskgen.task import Task
from taskgen.taskset import TaskSet
from tests.support.broker_client import broker_client
from tests.support.lab import lab, results, stored_runs
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

CAMPAIGN = TaskSet([Task(pkg="hey", period=100, numberofjobs=20, priority=list(range(24)))])


def test_a_second_distributor_and_controller_continue_after_the_first_were_killed(
    amqp_vhost_url: str, tmp_path: Path
) -> None:
    with (
        run_boards(4, speed=2) as boards,
        broker_client(amqp_vhost_url) as ear,
        lab(amqp_vhost_url, tmp_path, boards) as services,
    ):
        sinks = [services.sqlite_sink(), services.sqlite_sink(), services.csv_sink()]
        first_controller = services.controller()
        services.controller()
        first = services.distributor()
        submitted = {message.taskset_id for message in ear.submit(CAMPAIGN)}

        wait_until(lambda: len(results(ear)) >= 4, 60, "a few results")
        first_controller.kill()
        wait_until(lambda: len(results(ear)) >= 8, 60, "results with the second controller")
        services.distributor()
        first.kill()
        wait_until(lambda: len(results(ear)) >= 12, 90, "results with the second distributor")
        sinks[0].kill()
        services.distributor()  # adopts what the killed one left, and reports its runs

        wait_until(lambda: len(results(ear)) >= len(submitted), 150, "every task-set to have a result")
        ended = results(ear)
        assert {message.outcome for message in ended} == {Outcome.FINISHED}
        tasksets = Counter(message.run.taskset_id for message in ended)
        assert set(tasksets) == submitted
        assert set(tasksets.values()) == {1}

        stores = [f"sqlite:{services.events_db}", f"csv:{services.parts}"]
        wait_until(
            lambda: not verify(stores).not_ended and verify(stores).is_clean, 60, "the stores to agree"
        )
        runs = stored_runs(services.events_db)
        lost = [run for run in runs if run.outcome is Outcome.DISTRIBUTOR_LOST]
        assert len(runs) == len(submitted) + len(lost)
        assert lost
