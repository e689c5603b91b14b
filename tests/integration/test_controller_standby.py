"""A controller that stands by looks at its database, so that it is known to work before it is needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.services import Service
from tests.support.waiting import wait_until

pytestmark = pytest.mark.servers


@pytest.fixture
def controller(amqp_vhost_url: str, tmp_path: Path) -> Iterator[Service]:
    state_url = f"sqlite:{tmp_path / 'state.db'}"
    with Service("controller", amqp_url=amqp_vhost_url, state_url=state_url) as service:
        yield service.wait_healthy()


@pytest.mark.usefixtures("controller")
def test_a_standby_whose_database_refuses_it_ends_at_once_with_one_line(
    amqp_vhost_url: str, postgres_database: str
) -> None:
    refused = urlsplit(postgres_database)
    url = refused._replace(netloc=f"nobody:wrong@{refused.hostname}:{refused.port}").geturl()
    with Service("controller", amqp_url=amqp_vhost_url, state_url=url) as standby:
        assert standby.process.wait(timeout=30) == 1
        (line,) = [text for text in standby.log.splitlines() if text.startswith("controller: ")]
        assert "nobody" in line
        assert "wrong" not in line


@pytest.mark.usefixtures("controller")
def test_a_standby_reports_whether_it_can_reach_its_database(amqp_vhost_url: str) -> None:
    absent = "postgresql://nobody@127.0.0.1:1/state"
    with Service("controller", amqp_url=amqp_vhost_url, state_url=absent) as standby:
        wait_until(lambda: "store" in standby.health().get("parts", {}), 30, "the standby to look")
        parts = standby.health()["parts"]
        assert (parts["standby"]["reason"], parts["store"]["ok"]) == ("another controller is active", False)


def test_a_standby_is_healthy_and_does_not_count_as_consuming(
    controller: Service, amqp_vhost_url: str, tmp_path: Path
) -> None:
    state_url = f"sqlite:{tmp_path / 'state.db'}"
    with Service("controller", amqp_url=amqp_vhost_url, state_url=state_url) as standby:
        wait_until(lambda: "standby" in standby.health().get("parts", {}), 30, "the standby to look")
        standby.wait_healthy()
        assert "taskgen_consuming 0.0" in standby.get("/metrics")[1]
        assert "taskgen_consuming 1.0" in controller.get("/metrics")[1]
