"""Whatever one message or one row of the state says, no service that follows runs stops for it."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.controller.controller import Controller
from taskgen.amqp.channel import Delivery
from taskgen.amqp.topology import COMMANDS, TASKSETS, inbox
from taskgen.consumer.run_tracker import RunTracker
from taskgen.errors import MessageError
from taskgen.event import DefaultEventHandler
from taskgen.messages.codec import (
    EndedMessage,
    QuarantinedMessage,
    RefusedMessage,
    RunHead,
    StartedMessage,
    TaskSetMessage,
    read_message,
)
from taskgen.run import Outcome, now
from taskgen.state.opening import open_state
from taskgen.state.state import State
from taskgen.task import Task
from tests.support.message_factory import BOARD, events_message, run_head

DELIVERY = Delivery(1, b"", "", "", {}, is_redelivered=False)
TASKS = [
    dict(Task(id=0, pkg="hey", period=10, numberofjobs=3)),
    dict(Task(id=1, pkg="idle", period=10, numberofjobs=0)),
]
IDENTITY = {"schema", "run_id", "taskset_id", "attempt", "first_seq", "events", "outcome"}
"""Fields by which messages belong together: what they say together matters most."""

Processor = RunTracker
Make = Callable[[State], Processor]
Json = dict[str, Any]


def controller(state: State) -> Processor:
    return Controller(DefaultEventHandler(), state, "test").tracker


def handler(state: State) -> Processor:
    return RunTracker(DefaultEventHandler(), state)


kinds = pytest.mark.parametrize("make", [controller, handler])


def a_run(run: RunHead, outcome: Outcome = Outcome.FINISHED) -> list[Json]:
    """Its messages, as JSON."""
    taskset = TaskSetMessage(taskset_id=run.taskset_id, campaign_id="c", tasks=TASKS)
    messages = [
        StartedMessage(run=run, taskset=taskset),
        *(events_message(run, first_seq, 2) for first_seq in (0, 2, 4)),
        QuarantinedMessage(run=run, board=BOARD, reason="text", received_at=now(), data_base64="YQ=="),
        EndedMessage(run=run, ended_at=now(), outcome=outcome, events=6),
    ]
    return [json.loads(message.body()) for message in messages]


def two_runs() -> list[Json]:
    """One that finishes and one whose board is lost, and the refusal of the latter's task-set."""
    first, second = run_head(), run_head()
    lost = a_run(second, Outcome.BOARD_LOST)
    refused = RefusedMessage(taskset=TaskSetMessage.model_validate(lost[0]["taskset"]), reason="no")
    return [*a_run(first), *lost, json.loads(refused.body())]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to everything inside of a JSON value."""
    if path:
        yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


texts = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=300),
    st.sampled_from(["", "-1", "0", "1", "9" * 5000, "finished", "ü" * 120, "x:1-2", ":ended", BOARD]),
)
numbers = st.one_of(
    st.integers(-1, 8),
    st.integers(-(2**70), 2**70),
    st.sampled_from([2**31, 2**53 - 1, 2**53, 10**4000]),
    st.floats(),
)
anything = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


@st.composite
def changed(draw: st.DrawFn, messages: list[Json], number: int) -> Json:
    """A message in which some values are replaced: by what the same field has elsewhere, or by anything."""
    message: Json = json.loads(json.dumps(messages[number]))
    for _ in range(draw(st.integers(1, 2))):
        ways = list(places(message))
        what_it_is_of = [way for way in ways if way[-1] in IDENTITY]
        path = draw(st.sampled_from(what_it_is_of) if draw(st.booleans()) else st.sampled_from(ways))
        if draw(st.booleans()):
            same = [(one, way) for one in [message, *messages] for way in places(one) if way[-1] == path[-1]]
            value = draw(st.sampled_from([at(one, way) for one, way in same]))
        else:
            value = draw(anything)
        at(message, path[:-1])[path[-1]] = deepcopy(value)
    return message


@st.composite
def histories(draw: st.DrawFn) -> list[Json]:
    """Two runs' messages: some changed, or with a changed one beside them, some twice, in about any order."""
    whole = two_runs()
    odd = draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=4, unique=True))
    spoilt = {number: draw(changed(whole, number)) for number in odd}
    kept = [one for number, one in enumerate(whole) if number not in spoilt or draw(st.booleans())]
    twice = draw(st.lists(st.sampled_from(whole), max_size=2))
    if draw(st.booleans()):
        return draw(st.permutations([*kept, *spoilt.values(), *twice]))
    return [*spoilt.values(), *kept, *twice]


@contextmanager
def process(make: Make, folder: str) -> Iterator[Processor]:
    """One life of the service, up to a kill."""
    with closing(open_state(f"sqlite:{Path(folder) / 'state.db'}", "controller")) as state:
        yield make(state)


def give(processor: Processor, messages: list[Json]) -> int:
    """Handle a batch; returns how many messages are rejected."""
    rejected = 0
    for message in messages:
        try:
            processor.take(read_message(json.dumps(message).encode()), DELIVERY)
        except MessageError:
            rejected += 1
    processor.commit()
    return rejected


def look_after(processor: Processor) -> None:
    """Do what a controller does beside the messages."""
    controller = processor._observer
    if isinstance(controller, Controller):
        controller.report()
        live = dict.fromkeys(controller.live, "no reason")
        controller.end_duplicates(live)
        controller.give_up(live)
        for sending in controller.tracker.outgoing._waiting:
            assert sending.exchange in {inbox(TASKSETS), COMMANDS}


def still_works(make: Make, folder: str) -> None:
    """A run of which nobody has heard is followed from its start to its end."""
    run = run_head()
    with process(make, folder) as processor:
        assert give(processor, a_run(run)) == 0
        row = processor._state.run(run.run_id)
        assert row is not None
        assert (row.outcome, row.is_closed, row.next_seq) == ("finished", True, 6)


@kinds
@settings(max_examples=200, deadline=None)
@given(history=histories(), data=st.data())
def test_no_message_stops_it_now_or_at_a_later_start(
    make: Make, history: list[Json], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(history)))
    with tempfile.TemporaryDirectory() as folder:
        for batch in (history[:cut], history[cut:], history):
            with process(make, folder) as processor:
                give(processor, batch)
                look_after(processor)
        still_works(make, folder)


ROWS = {
    "tasksets": ("taskset_id", "campaign_id", "state", "outcome", "message"),
    "runs": (
        *("run_id", "taskset_id", "campaign_id", "board", "distributor", "attempt", "variant", "started_at"),
        *("next_seq", "done_tasks", "decision", "decided_because", "outcome", "reason", "ended_at", "events"),
        *("is_surplus", "is_settled", "is_closed"),
    ),
    "jobs": ("run_id", "task_id", "job", "start_ms", "end_ms", "exit_type"),
    "early": ("message_id", "run_id", "body"),
    "sendings": ("exchange", "routing_key", "message_id", "body"),
    "tallies": ("scope", "name", "number"),
    "campaigns": ("campaign_id", "changed"),
}
columns = st.sampled_from([(table, column) for table, names in ROWS.items() for column in names])
cells = st.one_of(
    st.none(), texts, st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.binary(max_size=5)
)


def change_state(folder: str, table: str, column: str, value: Any, number: int) -> None:
    """Put a value into one row; what the database refuses stays as it is."""
    with closing(sqlite3.connect(Path(folder) / "state.db")) as database, suppress(sqlite3.IntegrityError):
        key = ROWS[table][0]
        rows = [row for (row,) in database.execute(f"SELECT {key} FROM {table}")]
        if rows:
            chosen = rows[number % len(rows)]
            database.execute(f"UPDATE OR IGNORE {table} SET {column} = ? WHERE {key} = ?", (value, chosen))
            database.commit()


@kinds
@settings(max_examples=150, deadline=None)
@given(
    cut=st.integers(1, 13),
    order=st.randoms(use_true_random=False),
    spoilt=st.lists(st.tuples(columns, cells, st.integers(0, 9)), min_size=1, max_size=3),
)
def test_no_row_of_the_state_stops_it(
    make: Make, cut: int, order: Any, spoilt: list[tuple[tuple[str, str], Any, int]]
) -> None:
    whole = two_runs()
    order.shuffle(whole)
    with tempfile.TemporaryDirectory() as folder:
        with process(make, folder) as processor:
            give(processor, whole[:cut])
        for (table, column), value, number in spoilt:
            change_state(folder, table, column, value, number)
        for batch in (whole[cut:], [], whole):
            with process(make, folder) as processor:
                give(processor, batch)
                look_after(processor)
        still_works(make, folder)
