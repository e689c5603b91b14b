"""Settings come from the environment; a wrong one is one line that names its variable, without secrets."""

from __future__ import annotations

import pytest

from taskgen.errors import SettingsError
from taskgen.runtime.settings import ServiceSettings, load_settings


class OwnSettings(ServiceSettings):
    postgres_dsn: str
    names: tuple[str, ...] = ()


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKGEN_POSTGRES_DSN", "postgresql://x")


def test_a_variable_sets_its_field_and_an_empty_one_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKGEN_HTTP_PORT", "0")
    monkeypatch.setenv("TASKGEN_LOG_FORMAT", "")
    monkeypatch.setenv("TASKGEN_MANAGEMENT_URL", "")
    settings = load_settings(OwnSettings)
    assert (settings.http_port, settings.log_format, settings.management_url) == (0, "console", None)
    assert settings.postgres_dsn == "postgresql://x"


def test_what_is_given_counts_for_more_than_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKGEN_HTTP_PORT", "1")
    assert load_settings(OwnSettings, http_port=2).http_port == 2


def test_what_has_to_be_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TASKGEN_POSTGRES_DSN")
    with pytest.raises(SettingsError, match=r"^TASKGEN_POSTGRES_DSN is required"):
        load_settings(OwnSettings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTP_PORT", "many"),
        ("HTTP_PORT", "65536"),
        ("AMQP_URL", "guest:hidden@localhost"),
        ("AMQP_URL", "amqp://guest:hidden@127.0.0.1:99999/"),
        ("AMQP_URL", "amqp://guest:hidden@127.0.0.1:port/"),
        ("AMQP_URL", "amqp://guest:hidden@127.0.0.1:0/"),
        ("AMQP_URL", "amqp://guest:hidden@[::1/"),
        ("AMQP_URL", "amqp://guest:hidden@:5672/"),
        ("AMQP_URL", "amqp://guest:hidden/@127.0.0.1/"),
        ("AMQP_URL", "amqp://guest:1/hidden@127.0.0.1/"),
        ("AMQP_URL", "amqp://guest:1#hidden@127.0.0.1/"),
        ("AMQP_URL", "amqp://guest@127.0.0.1/"),
        ("AMQP_URL", "amqp://guest:hid@den@127.0.0.1/?heartbeat=x"),
        ("AMQP_URL", "amqp://guest:hidden@127.0.0.1/?hartbeat=1"),
        ("AMQP_URL", "amqp://guest:hidden@127.0.0.1/?ssl_options=("),
        ("AMQP_URL", "amqp://guest:hidden@127.0.0.1/?ssl_options=[]"),
        (
            "AMQP_URL",
            "amqps://guest:hidden@127.0.0.1/?ssl_options={'ca_certs':'no/such','password':'hidden'}",
        ),
        ("AMQP_URL", f"amqps://127.0.0.1/?ssl_options={{'ca_certs':'{__file__}'}}"),
        ("MANAGEMENT_URL", "ftp://guest:hidden@localhost"),
        ("MANAGEMENT_URL", "http://guest:hidden@127.0.0.1:port"),
        ("MANAGEMENT_URL", "http://guest:hidden@[::1"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_FORMAT", "xml"),
        ("INSTANCE", "../other"),
        ("NAMES", "one, two"),
        ("SECRETS_DIR", "no/such/folder"),
    ],
)
def test_a_wrong_value_is_one_line_that_begins_with_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"TASKGEN_{name}", value)
    with pytest.raises(SettingsError, match=f"^TASKGEN_{name}: ") as caught:
        load_settings(OwnSettings)
    assert "\n" not in str(caught.value)
    assert "hid" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "amqp://localhost",
        "amqp://user:p%2Fw%40@[::1]:5673/my%2Fown?heartbeat=5&connection_attempts=2",
        "amqps://rabbit.example/",
    ],
)
def test_a_right_url_is_taken_as_it_is(url: str) -> None:
    assert load_settings(OwnSettings, amqp_url=url).amqp_url == url
