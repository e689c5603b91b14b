"""Assembles the controller; of several, one is active and the others stand by."""

from __future__ import annotations

import asyncio
from functools import partial

from services.controller.controller import Controller
from services.controller.settings import ControllerSettings
from services.controller.standby import become_active
from services.controller.supervisor import Supervisor
from taskgen.amqp.connection import Connection
from taskgen.amqp.reconnect import stay_connected
from taskgen.amqp.topology import controller_queue, declare, tasksets_queue
from taskgen.consumer.consumer import Consumer, consume
from taskgen.errors import StoreUnavailableError
from taskgen.events.base import StoringHandler
from taskgen.loading.import_string import load_handler
from taskgen.retry_policy import RetryOn
from taskgen.runtime.health import Health
from taskgen.runtime.settings import naming
from taskgen.state.opening import open_state
from taskgen.state.state import State


async def serve(settings: ControllerSettings, health: Health) -> None:
    """Run the controller until cancelled."""
    health.set("consuming", False, "starting")
    with naming("handler"):
        handler = load_handler(settings.handler)
    state = open_state(settings.state_url)
    controller = Controller(handler, state, settings.instance, RetryOn.read(settings.retry_on))
    try:
        lead = partial(_lead, settings, health, controller, state)
        await stay_connected(settings.amqp_url, f"controller {settings.instance}", lead, health.set_broker)
    finally:
        state.close()
        if isinstance(handler, StoringHandler):
            handler.close()


async def _lead(
    settings: ControllerSettings,
    health: Health,
    controller: Controller,
    state: State,
    connection: Connection,
) -> None:
    """Stand by until no other controller is active, then be active until the connection is lost."""
    await become_active(connection, health, partial(_check, state, health))
    async with asyncio.TaskGroup() as group:
        group.create_task(_until_lost(connection))
        supervise = partial(_supervise, controller, settings.lost_after_s, health)
        group.create_task(consume(settings, controller_queue(), controller.tracker, health, beside=supervise))


async def _check(state: State, health: Health) -> None:
    """Report whether the state can be reached, before the standby is needed."""
    try:
        await asyncio.to_thread(state.check)
    except StoreUnavailableError as error:
        health.set("store", False, str(error))
    else:
        health.set("store", True)


async def _until_lost(connection: Connection) -> None:
    await connection.lost


async def _supervise(controller: Controller, lost_after_s: float, health: Health, consumer: Consumer) -> None:
    await declare(consumer.publishing, [tasksets_queue()])  # for requeued task-sets
    await Supervisor(controller, consumer, lost_after_s, health).serve()
