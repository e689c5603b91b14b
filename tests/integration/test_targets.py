"""Another kind of target: the example of docs/targets.md works, in one process and as a service."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskgen.boards.address import Address
from taskgen.boards.session import AbstractSession, SessionSettings
from taskgen.distributor import Distributor
from taskgen.errors import ProfileError
from taskgen.loading.session_loader import load_session
from taskgen.messages.codec import EventsMessage, StartedMessage
from taskgen.run import Outcome
from taskgen.task import Task
from taskgen.taskset import Profile, TaskSet
from tests.integration.test_distributor_sessions import InMemory
from tests.support.broker_client import broker_client
from tests.support.command_line import events_in_csv, run_taskgen
from tests.support.recording_handler import RecordingHandler
from tests.support.services import Service

_ROOT = Path(__file__).parents[2]
_DOCUMENT = _ROOT / "docs" / "targets.md"
_SPEC = "json_lines:JsonLinesSession"


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The document's target while it runs; its session is importable."""
    target, session = re.findall(r"```python\n(.*?)```", _DOCUMENT.read_text(), re.DOTALL)
    program = target.replace('print("listening"', "print(server.server_address[1]")
    (tmp_path / "json_target.py").write_text(program)
    (tmp_path / "json_lines.py").write_text(session)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    command = [sys.executable, str(tmp_path / "json_target.py"), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()
    sys.modules.pop("json_lines", None)


def test_the_command_of_the_document_runs_a_task_set_on_its_target(target: str, tmp_path: Path) -> None:
    (command,) = re.findall(r"^taskgen (run .*)$", _DOCUMENT.read_text(), re.MULTILINE)
    command = command.replace("127.0.0.1:4001", target).replace("examples/", f"{_ROOT}/examples/")
    ended = run_taskgen(*command.split(), cwd=tmp_path)
    assert ended.returncode == 0, ended
    stored = events_in_csv(tmp_path / "events.csv")
    assert sum(stored.values()) == 6 * (10 + 5) * 2  # variants, jobs, START and EXIT
    assert {kind for _, kind, _ in stored} == {"START", "EXIT"}


@pytest.mark.servers
def test_the_distributor_service_speaks_the_protocol_that_its_setting_names(
    target: str, tmp_path: Path, amqp_vhost_url: str
) -> None:
    settings = {"amqp_url": amqp_vhost_url, "boards": target, "outbox_path": tmp_path / "outbox"}
    with broker_client(amqp_vhost_url) as lab, Service("distributor", session=_SPEC, **settings) as service:
        service.wait_healthy()
        lab.submit(TaskSet([Task(pkg="hey")]))
        lab.wait_for(StartedMessage)
        (message, *_) = lab.wait_for(EventsMessage)
        assert message.profiles[0].events[0] == {"@type": "START", "@task-id": "0", "@time-stamp": "0"}


def test_an_event_that_is_not_valid_is_quarantined_and_the_others_are_kept(target: str) -> None:
    session = load_session(_SPEC)(Address("somewhere", 1), SessionSettings())
    profile, rejected = session.decode(b'{"event": "EXIT", "task": 1, "ms": 5}')
    assert profile["profile"]["events"]["event"] == [{"@type": "EXIT", "@task-id": "1", "@time-stamp": "5"}]
    assert rejected == []
    profile, rejected = session.decode(b'{"event": "EXIT", "task": 1, "ms": -5}')
    assert profile["profile"]["events"]["event"] == []
    assert rejected[0].reason.startswith("time-stamp")
    with pytest.raises(ProfileError, match="not an event"):
        session.decode(b"hello")


class Raising(InMemory):
    """Cannot read its own frames."""

    def decode(self, frame: bytes) -> tuple[Profile, list]:  # type: ignore[type-arg]
        raise KeyError("ms")


class Careless(InMemory):
    """Leaves the time stamps out."""

    def decode(self, frame: bytes) -> tuple[Profile, list]:  # type: ignore[type-arg]
        return {"profile": {"events": {"event": [{"@type": "START", "@task-id": "0"}]}}}, []


@pytest.mark.parametrize(
    ("session", "reason"),
    [
        (Raising, "Raising.decode raised KeyError: 'ms'"),
        (Careless, "Careless.decode returned invalid events; build them with profile_of"),
    ],
)
def test_a_session_that_decodes_wrongly_is_named_in_the_quarantine(
    session: type[AbstractSession], reason: str
) -> None:
    log = RecordingHandler()
    with Distributor("anywhere", session=session, event_handler=log, run_timeout_s=0.5) as distributor:
        campaign = distributor.start(TaskSet([Task(pkg="hey")]))
    assert campaign.outcomes == {Outcome.TIMED_OUT: 1}
    assert {one.reason for one in log.quarantined} == {reason}
    assert log.types == []
