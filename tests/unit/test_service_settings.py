"""A wrong setting of a service is one line that names its variable, before anything is touched."""

from __future__ import annotations

import pytest

from services.controller.settings import ControllerSettings
from services.distributor.settings import DistributorSettings
from services.postgres_sink.settings import PostgresSinkSettings
from taskgen.errors import SettingsError
from taskgen.runtime.settings import ServiceSettings, load_settings


@pytest.fixture(autouse=True)
def _needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKGEN_BOARDS", "127.0.10.1, 127.0.10.8/29:3002")


@pytest.mark.parametrize(
    ("cls", "name", "value"),
    [
        (DistributorSettings, "BOARDS", "127.0.0.300"),
        (DistributorSettings, "BOARDS", "127.0.10.1 127.0.10.2:port"),
        (DistributorSettings, "PORT", "0"),
        (DistributorSettings, "BINARIES", "no/such/folder"),
        (DistributorSettings, "POWER_CYCLE_COMMAND", "cycle {bord}"),
        (DistributorSettings, "SESSION", "gone:Session"),
        (DistributorSettings, "SESSION", "taskgen.boards.session:AbstractSession"),
        (DistributorSettings, "POWER_ON_COMMAND", " "),
        (ControllerSettings, "STATE_URL", "mysql://host/database"),
        (ControllerSettings, "STATE_URL", "postgresql://host/database?no_such=1"),
        (ControllerSettings, "LOST_AFTER_S", "4.9"),
        (PostgresSinkSettings, "POSTGRES_DSN", "events"),
    ],
)
def test_a_wrong_value_is_one_line_that_begins_with_the_variable(
    monkeypatch: pytest.MonkeyPatch, cls: type[ServiceSettings], name: str, value: str
) -> None:
    monkeypatch.setenv(f"TASKGEN_{name}", value)
    with pytest.raises(SettingsError, match=f"^TASKGEN_{name}: ") as caught:
        load_settings(cls)
    assert "\n" not in str(caught.value)


def test_boards_without_a_port_have_the_one_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKGEN_PORT", "4000")
    addresses = [str(address) for address in load_settings(DistributorSettings).addresses()]
    assert addresses[:2] == ["127.0.10.1:4000", "127.0.10.9:3002"]
