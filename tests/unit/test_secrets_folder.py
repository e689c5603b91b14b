"""Settings out of files: how a password reaches a service without the environment."""

from pathlib import Path

import pytest

from taskgen.errors import SettingsError
from taskgen.runtime.settings import ServiceSettings, load_settings


@pytest.fixture(autouse=True)
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TASKGEN_SECRETS_DIR", str(tmp_path))
    monkeypatch.delenv("TASKGEN_AMQP_URL", raising=False)
    return tmp_path


def test_a_file_of_the_variable_s_name_sets_it(secrets: Path) -> None:
    (secrets / "taskgen_amqp_url").write_text("amqp://me:secret@rabbitmq:5672/%2F\n")
    assert load_settings(ServiceSettings).amqp_url == "amqp://me:secret@rabbitmq:5672/%2F"


def test_the_variable_counts_for_more_than_the_file(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (secrets / "taskgen_amqp_url").write_text("amqp://file")
    monkeypatch.setenv("TASKGEN_AMQP_URL", "amqp://variable")
    assert load_settings(ServiceSettings).amqp_url == "amqp://variable"


def test_a_folder_that_is_not_there_is_named(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKGEN_SECRETS_DIR", str(secrets / "absent"))
    with pytest.raises(SettingsError, match=r"TASKGEN_SECRETS_DIR: .*absent is not a folder"):
        load_settings(ServiceSettings)
