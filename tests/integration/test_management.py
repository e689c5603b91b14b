"""What answers where the management API should be, and is none, or breaks off, harms nobody."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from taskgen.amqp.management import Management
from taskgen.amqp.policies import policies
from taskgen.errors import BrokerUnavailableError, CredentialsError
from tests.support.command_line import run_taskgen
from tests.support.services import Service

CUT_OFF = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n[{"name":'
CUT_OFF_REFUSAL = b"HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n{"


def answer(content: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(content), content)


ANSWERS = {
    "cut off": CUT_OFF,
    "nothing": b"",
    "not HTTP": b"SSH-2.0-OpenSSH_9\r\n",
    "not JSON": answer(b"<html>"),
    "an object": answer(b"{}"),
    "another object": answer(b'{"error": "no"}'),
    "no answer": answer(b""),
    "texts": answer(b'["name"]'),
    "no names": answer(b'[{"messages": 1}]'),
    "odd names": answer(b'[{"name": [], "pattern": ""}]'),
}


@contextmanager
def answering(said: bytes) -> Iterator[str]:
    """The URL of what says this to everybody, and hangs up."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                with listening.accept()[0] as client:
                    client.recv(65536)
                    client.sendall(said)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://guest:hidden@127.0.0.1:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize("said", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_from_another_server_counts_as_no_api(said: bytes) -> None:
    with answering(said) as url:
        api = Management(url, "amqp://127.0.0.1/")
        for ask in (api.queues, lambda: api.set_policies(policies())):
            with pytest.raises(BrokerUnavailableError, match="management API") as caught:
                ask()
            assert "\n" not in str(caught.value)
            assert "hidden" not in str(caught.value)


def test_an_incomplete_refusal_is_a_refusal() -> None:
    with answering(CUT_OFF_REFUSAL) as url, pytest.raises(CredentialsError, match="401"):
        Management(url, "amqp://127.0.0.1/").queues()


def test_a_service_works_without_an_api_that_disconnects(amqp_vhost_url: str, tmp_path: Path) -> None:
    with (
        answering(CUT_OFF) as url,
        Service(
            "sqlite_sink", amqp_url=amqp_vhost_url, management_url=url, sqlite_path=tmp_path / "events.db"
        ) as service,
    ):
        service.wait_healthy()
        assert "the queues' limits were not changed" in service.log
        assert service.stop() == 0


def test_setup_reports_in_one_line_that_the_server_is_not_an_api(amqp_vhost_url: str, tmp_path: Path) -> None:
    with answering(ANSWERS["an object"]) as url:
        done = run_taskgen("setup", "--amqp-url", amqp_vhost_url, "--management-url", url, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "the server there is not a management API" in done.stderr
