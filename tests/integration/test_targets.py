"""Another kind of target: the example of docs/targets.md works, in one process and as a service."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from taskgen.boards.address import Address
from taskgen.boards.session import AbstractSession, SessionSettings
from taskgen.distributor import Distributor
from taskgen.errors import ProfileError
from taskgen.loading.import_string import load_session
from taskgen.messages.codec import EventsMessage, StartedMessage
from taskgen.run import Outcome
from taskgen.task import Task
from taskgen.taskset import Profile, TaskSet
from tests.integration.test_distributor_sessions import InMemory
from tests.support.broker_client import broker_client
from tests.support.command_line import events_in_csv, run_taskgen
from tests.support.documented_target import DOCUMENT, DOCUMENTED_SESSION
from tests.support.recording_handler import RecordingHandler
from tests.support.services import Service

_EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_command_of_the_document_runs_a_task_set_on_its_target(
    documented_target: str, tmp_path: Path
) -> None:
    (command,) = re.findall(r"^taskgen (run .*)$", DOCUMENT.read_text(), re.MULTILINE)
    command = command.replace("127.0.0.1:4001", documented_target).replace("examples/", f"{_EXAMPLES}/")
    ended = run_taskgen(*command.split(), cwd=tmp_path)
    assert ended.returncode == 0, ended
    stored = events_in_csv(tmp_path / "events.csv")
    assert sum(stored.values()) == 6 * (10 + 5) * 2  # variants, jobs, START and EXIT
    assert {kind for _, kind, _ in stored} == {"START", "EXIT"}


@pytest.mark.servers
def test_the_distributor_service_speaks_the_protocol_that_its_setting_names(
    documented_target: str, tmp_path: Path, amqp_vhost_url: str
) -> None:
    settings = {"amqp_url": amqp_vhost_url, "boards": documented_target, "outbox_path": tmp_path / "outbox"}
    with (
        broker_client(amqp_vhost_url) as lab,
        Service("distributor", session=DOCUMENTED_SESSION, **settings) as service,
    ):
        service.wait_healthy()
        lab.submit(TaskSet([Task(pkg="hey", period=100)]))
        lab.wait_for(StartedMessage)
        (message, *_) = lab.wait_for(EventsMessage)
        assert message.profiles[0].events[0] == {"@type": "START", "@task-id": "0", "@time-stamp": "0"}


def test_an_event_that_is_not_valid_is_quarantined_and_the_others_are_kept(documented_target: str) -> None:
    session = load_session(DOCUMENTED_SESSION)(Address("somewhere", 1), SessionSettings())
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
        campaign = distributor.start(TaskSet([Task(pkg="hey", period=100)]))
    assert campaign.outcomes == {Outcome.TIMED_OUT: 1}
    assert {one.reason for one in log.quarantined} == {reason}
    assert log.types == []
