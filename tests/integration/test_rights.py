"""Under compose's definitions each user can do on the broker what it must, and is refused everything else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker, NackError, UnroutableError

from tests.support.broker_client import broker_client
from tests.support.restricted_lab import USERS, Restricted
from tests.support.waiting import wait_until

pytestmark = pytest.mark.servers

DEFAULT = ""
EVENTS, COMMANDS, TASKSETS = "taskgen.events", "taskgen.commands", "taskgen.tasksets"
CONTROLLER, HANDLER, HANDLERS_DLX = "taskgen.controller", "taskgen.handler.yours", "taskgen.handlers.dlx"
BOARD, ACTIVE = "taskgen.board.127.0.10.1:3001", "taskgen.controller.active"
NEW, PASSING = "taskgen.handler.new", "taskgen.handler.passing"
"""A handler's, not there yet."""
ELSEWHERE, TEMPORARY = "elsewhere", "amq.gen"
"""Somebody else's; whatever name the broker gives a queue."""
SINKS = {name: f"taskgen.sink.{name}" for name in ("sqlite", "csv", "postgres")}
CONSUMED = (TASKSETS, CONTROLLER, HANDLER, *SINKS.values())
OF_RUNS = tuple(f"{kind}.board" for kind in ("started", "events", "finished", "stopped", "quarantined"))
EVENT_KEYS = (*OF_RUNS, "results.board", "refused.taskset", "status.distributor", "status.controller")

QUEUES = (*CONSUMED, *(f"{queue}.parked" for queue in CONSUMED), BOARD, ACTIVE, NEW, ELSEWHERE)
OWN_EXCHANGES = tuple(f"{queue}.{what}" for queue in CONSUMED for what in ("inbox", "dlx"))
BUILT_IN = (DEFAULT, "amq.direct", "amq.fanout", "amq.headers", "amq.match", "amq.topic")
EXCHANGES = (*BUILT_IN, EVENTS, COMMANDS, HANDLERS_DLX, *OWN_EXCHANGES, ELSEWHERE)


@dataclass(frozen=True)
class May:
    """What a user must be able to do; the broker has one right for consuming and purging."""

    consume: set[str] = field(default_factory=set)
    publish: set[tuple[str, str]] = field(default_factory=set)
    declare: set[str] = field(default_factory=set)
    """And delete: the broker has one right for both, and for queues and exchanges."""
    bind: set[tuple[str, str]] = field(default_factory=set)
    """And unbind: a queue, and an exchange."""

    def binds_exchange(self, to: str, source: str) -> bool:
        """Lets the broker a user bind an exchange to another one? Nobody has to, so it must be of no use."""
        return to in {exchange for exchange, _ in self.publish} and source in {x for _, x in self.bind}


def dead_letters(queue: str) -> tuple[str, str]:
    return f"{queue}.dlx", f"{queue}.parked"


def inbox(queue: str) -> tuple[str, str]:
    return f"{queue}.inbox", queue


ROUTES = (
    *((DEFAULT, queue) for queue in QUEUES),
    *((EVENTS, key) for key in EVENT_KEYS),
    *((exchange, "board") for exchange in (*BUILT_IN[1:], COMMANDS, HANDLERS_DLX, ELSEWHERE)),
    *(route(queue) for queue in CONSUMED for route in (dead_letters, inbox)),
)
"""To what is published, and with which key."""


def sink(name: str) -> May:
    return May(consume={SINKS[name]}, publish={dead_letters(SINKS[name])})


_HANDLER = {HANDLER, f"{HANDLER}.parked"}
_HANDLER_X = {f"{HANDLER}.inbox", f"{HANDLER}.dlx"}
TABLE = {
    "distributor": May(
        consume={TASKSETS, BOARD},
        publish={*((EVENTS, key) for key in EVENT_KEYS), dead_letters(TASKSETS)},
        declare={BOARD},
        bind={(BOARD, COMMANDS)},
    ),
    "controller": May(
        consume={CONTROLLER, TEMPORARY},
        publish={
            (EVENTS, "status.controller"),
            (EVENTS, "results.board"),
            (COMMANDS, "board"),
            inbox(TASKSETS),
            dead_letters(CONTROLLER),
        },
        declare={ACTIVE, TEMPORARY},
        bind={(TEMPORARY, EVENTS)},
    ),
    "sqlite_sink": sink("sqlite"),
    "csv_sink": sink("csv"),
    "postgres_sink": sink("postgres"),
    "handler": May(
        consume={*_HANDLER, NEW},
        publish={dead_letters(HANDLER), inbox(HANDLER)},
        declare={*_HANDLER, *_HANDLER_X, NEW},
        bind=set(product((*_HANDLER, NEW), (EVENTS, HANDLERS_DLX, *_HANDLER_X))),
    ),
    "cli": May(
        consume={TASKSETS, *(f"{queue}.parked" for queue in CONSUMED), TEMPORARY},
        publish={(EVENTS, "refused.taskset"), (COMMANDS, "board"), *map(inbox, CONSUMED)},
        declare={TEMPORARY},
        bind={(TEMPORARY, EVENTS)},
    ),
}


class Tries:
    """What one user tries, each on a channel of its own, as a refusal closes it."""

    def __init__(self, opened: pika.BlockingConnection) -> None:
        self._connection = opened
        self.allowed: set[tuple[str, ...]] = set()
        self.refused: set[tuple[str, ...]] = set()

    def __call__(self, what: tuple[str, ...], call: str | Callable[..., object], *arguments: Any) -> None:
        """Try it, and note whether the broker lets this user; that it fails otherwise is no refusal.

        Args:
            what: under what it is noted.
            call: a method of a channel, or what is called with one.
            arguments: for it.
        """
        channel = self._connection.channel()
        try:
            if isinstance(call, str):
                getattr(channel, call)(*arguments)
            else:
                call(channel, *arguments)
        except ChannelClosedByBroker as closed:
            is_refused = closed.reply_code == 403
            (self.refused if is_refused else self.allowed).add(what)
        else:
            self.allowed.add(what)
            channel.close()


@contextmanager
def trying(url: str) -> Iterator[Tries]:
    parameters = pika.URLParameters(url)
    parameters.heartbeat = 0
    opened = pika.BlockingConnection(parameters)
    try:
        yield Tries(opened)
    finally:
        opened.close()


def publish(channel: BlockingChannel, exchange: str, key: str) -> None:
    channel.confirm_delivery()
    with suppress(NackError, UnroutableError):
        channel.basic_publish(exchange, key, b"forged", mandatory=True)


def temporary(channel: BlockingChannel) -> str:
    return str(channel.queue_declare("", exclusive=True).method.queue)


def listen(channel: BlockingChannel, exchange: str) -> None:
    channel.queue_bind(temporary(channel), exchange, "k")


def dead_letter_into(channel: BlockingChannel, queue: str, exchange: str) -> None:
    """Declare a queue whose messages come out of an exchange."""
    arguments = {"x-dead-letter-exchange": exchange, "x-message-ttl": 0}
    name = channel.queue_declare(queue, exclusive=True, arguments=arguments).method.queue
    channel.queue_delete(name)


def pass_on_to(channel: BlockingChannel, exchange: str) -> None:
    """Declare an exchange whose messages come out of another one."""
    channel.exchange_declare(PASSING, "fanout", arguments={"alternate-exchange": exchange})
    channel.exchange_delete(PASSING)


def try_everything(tries: Tries) -> None:
    for queue in QUEUES:
        tries(("consume", queue), "basic_get", queue)
        tries(("consume", queue), "basic_consume", queue, print)
        tries(("consume", queue), "queue_purge", queue)
    for queue, exchange in product(QUEUES, EXCHANGES):
        tries(("bind", queue, exchange), "queue_bind", queue, exchange, "k")
        tries(("bind", queue, exchange), "queue_unbind", queue, exchange, "k")
    for to, source in product(EXCHANGES, EXCHANGES):
        tries(("bind exchange", to, source), "exchange_bind", to, source, "k")
        tries(("bind exchange", to, source), "exchange_unbind", to, source, "k")
    for exchange in EXCHANGES:
        tries(("bind", TEMPORARY, exchange), listen, exchange)
        tries(("pass on", exchange), pass_on_to, exchange)
        for queue in (NEW, BOARD, ACTIVE, ""):
            tries(("dead-letter", queue or TEMPORARY, exchange), dead_letter_into, queue, exchange)
    for exchange, key in ROUTES:
        tries(("publish", exchange, key), publish, exchange, key)
    tries(("declare", TEMPORARY), temporary)
    # Last, as what may be deleted is gone then.
    for queue in QUEUES:
        tries(("declare", queue), "queue_declare", queue)
        tries(("declare", queue), "queue_delete", queue)
    for exchange in EXCHANGES:
        tries(("declare exchange", exchange), "exchange_declare", exchange, "fanout")
        tries(("declare exchange", exchange), "exchange_delete", exchange)


def expected(may: May) -> set[tuple[str, ...]]:
    """What the table allows, as `Tries` notes it."""
    writes, declared = {exchange for exchange, _ in may.publish}, may.declare
    consumed = {queue for queue in (NEW, BOARD, ACTIVE, TEMPORARY) if queue in declared & may.consume}
    return {
        *(("consume", queue) for queue in may.consume - {TEMPORARY}),
        *(("publish", *one) for one in may.publish),
        *(("bind", *one) for one in may.bind),
        *(("bind exchange", *one) for one in product(EXCHANGES, EXCHANGES) if may.binds_exchange(*one)),
        *(("declare", name) for name in declared & {*QUEUES, TEMPORARY}),
        *(("declare exchange", name) for name in declared & set(EXCHANGES)),
        *(("dead-letter", *one) for one in product(consumed, writes)),
        *(("pass on", exchange) for exchange in writes if NEW in declared),
    }


@pytest.fixture
def lab(restricted: Restricted) -> Restricted:
    """Also with a handler's queue, declared by the handler, and with something that is not taskgen's."""
    restricted.load()
    restricted.declare_handler("yours")
    with broker_client(restricted.amqp_url) as administrator:
        administrator.declare_elsewhere(ELSEWHERE)
    return restricted


@pytest.mark.parametrize("user", USERS)
def test_a_user_can_do_what_it_must_and_nothing_else(lab: Restricted, user: str) -> None:
    with trying(lab.url(user)) as tries:
        try_everything(tries)
    assert tries.allowed == expected(TABLE[user])
    assert not tries.allowed & tries.refused, "one of several ways to do the same was refused"
    assert len(tries.refused) > 500


@pytest.mark.parametrize("user", ["distributor", "controller", "cli"])
def test_exchanges_that_a_user_can_bind_to_each_other_route_nothing(lab: Restricted, user: str) -> None:
    bound = {one for one in product(EXCHANGES, EXCHANGES) if TABLE[user].binds_exchange(*one)}
    assert bound
    with trying(lab.url(user)) as tries:
        for (to, source), key in product(bound, ("#", "board", *EVENT_KEYS)):
            tries(("bind exchange", to, source), "exchange_bind", to, source, key)
    assert tries.allowed == {("bind exchange", *one) for one in bound}
    heard = {HANDLER: len(OF_RUNS), **{queue: len({*OF_RUNS, "results.board"}) for queue in SINKS.values()}}
    heard[CONTROLLER] = len({"started", "events", "finished", "stopped", "refused"})
    with broker_client(lab.amqp_url) as administrator:
        for key in EVENT_KEYS:
            administrator.publish(EVENTS, key, b"an event")
        with suppress(UnroutableError):
            administrator.publish(COMMANDS, "board", b"a command")
        there = {*CONSUMED, *(f"{queue}.parked" for queue in CONSUMED), ELSEWHERE}

        def depths() -> dict[str, int]:
            return {queue: depth for queue in there if (depth := administrator.depth(queue))}

        wait_until(lambda: depths() == heard, 30, "every queue to have what it is bound to, and no more")
