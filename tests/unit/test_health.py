"""A service is healthy when every part of it works, and says so over HTTP with its numbers."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import UTC, datetime, timedelta

import pytest

from taskgen.errors import SettingsError
from taskgen.runtime.health import Health, Metrics
from taskgen.runtime.health_server import served


async def ask(port: int, request: bytes) -> tuple[int, bytes]:
    """Status and body; 0 where nothing is answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return (int(head.split()[1]) if head else 0), body


def get(health: Health, *paths: str) -> list[tuple[int, bytes]]:
    async def work() -> list[tuple[int, bytes]]:
        async with served(health, "127.0.0.1", 0) as port:
            return [await ask(port, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()) for path in paths]

    return asyncio.run(work())


def test_a_service_of_which_nothing_is_known_yet_is_not_healthy() -> None:
    assert not Health().is_ok


def test_one_failing_part_makes_a_service_unhealthy_until_it_works_again() -> None:
    health = Health()
    health.set("broker", True)
    health.set("store", False, "the disk is full")
    assert not health.is_ok
    health.set("store", True)
    assert health.is_ok


def test_healthz_is_503_with_the_reason_and_200_when_all_is_well() -> None:
    health = Health()
    health.set("broker", False, "no connection")
    ((status, body),) = get(health, "/healthz")
    assert status == 503
    answer = json.loads(body)
    assert (answer["ok"], answer["parts"]["broker"]["reason"]) == (False, "no connection")
    health.set("broker", True)
    ((status, body),) = get(health, "/healthz")
    assert (status, json.loads(body)["ok"]) == (200, True)


def test_a_change_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    health = Health()
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            health.set("broker", False, "no connection")
        health.set("broker", True)
    assert [record.message for record in caplog.records] == ["broker: no connection", "broker: ok"]


def test_metrics_are_those_of_this_service_alone() -> None:
    one, other = Health(), Health()
    one.metrics.events.inc(3)
    one.set("consuming", True)
    ((status, body),) = get(one, "/metrics")
    assert status == 200
    assert b"\ntaskgen_events_total 3.0\n" in body
    assert b"\ntaskgen_consuming 1.0\n" in body
    ((_, body),) = get(other, "/metrics")
    assert b"\ntaskgen_events_total 0.0\n" in body


def test_the_lag_is_from_reception_to_now_and_an_invalid_time_is_ignored() -> None:
    metrics = Metrics()
    metrics.observe_lag((datetime.now(UTC) - timedelta(hours=2)).isoformat())
    metrics.observe_lag((datetime.now(UTC) + timedelta(hours=2)).isoformat())
    metrics.observe_lag("yesterday")
    answer = metrics.text().decode()
    assert 'taskgen_lag_seconds_bucket{le="0.01"} 1.0' in answer
    assert 'taskgen_lag_seconds_bucket{le="3600.0"} 1.0' in answer
    assert 'taskgen_lag_seconds_bucket{le="86400.0"} 2.0' in answer


def test_other_paths_are_404_and_a_client_without_http_is_disconnected() -> None:
    async def work() -> None:
        async with served(Health(), "127.0.0.1", 0) as port:
            assert (await ask(port, b"GET / HTTP/1.1\r\n\r\n"))[0] == 404
            assert (await ask(port, b"POST /healthz HTTP/1.1\r\n\r\n"))[0] == 404
            assert (await ask(port, b"\xff\xfe\r\n\r\n"))[0] == 0
            assert (await ask(port, b"x" * 100_000))[0] == 0
            assert (await ask(port, b"GET /metrics HTTP/1.1\r\n\r\n"))[0] == 200

    asyncio.run(work())


def test_a_port_that_is_taken_is_an_error_that_names_the_variable() -> None:
    async def work() -> None:
        async with served(Health(), "127.0.0.1", 0) as port:
            with pytest.raises(SettingsError, match="TASKGEN_HTTP_PORT"):
                async with served(Health(), "127.0.0.1", port):
                    pass

    asyncio.run(work())
