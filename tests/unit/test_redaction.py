"""An address is shown without its password; if that cannot be identified, it is not shown at all."""

from __future__ import annotations

import pytest

from taskgen.redaction import NOT_SHOWN, without_password


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("amqp://user:hidden@host:5672/vhost", "amqp://user:***@host:5672/vhost"),
        ("amqp://user:hidden@host/%2F?ssl_options={'password':'hidden'}", "amqp://user:***@host/%2F"),
        ("postgresql://user:%40hidden@[::1]:5432/events", "postgresql://user:***@[::1]:5432/events"),
        ("postgresql://user:hidden@one:1,two:2/events", "postgresql://user:***@one:1,two:2/events"),
        ("postgresql://host/events?password=hidden", "postgresql://host/events"),
        ("amqp://:hidden@host/", "amqp://:***@host/"),
        ("amqp://hidden@host/", "amqp://***@host/"),
        ("http://host:15672", "http://host:15672"),
    ],
)
def test_everything_of_a_url_is_shown_but_the_password_and_the_options(address: str, shown: str) -> None:
    assert without_password(address) == shown


@pytest.mark.parametrize(
    "address",
    [
        "amqp//user:hidden@host",
        "amqp:/user:hidden@host",
        "amqp://user:hid@den@host/",
        "amqp://user:hid/den@host/",
        "amqp://user:hid#den@host/",
        "amqp://user:hid den@host/",
        "amqp://user:hidden",
        "amqp%3A//user%3Ahidden%40host",
        "postgresql://host/user%3Ahidden%40host",
        "user:hidden@host",
        "user:hidden%40host",
        "password=hidden",
        "host=h passwd = hidden",
        "host=h secret=hidden",
        "SSLPASSWORD=hidden",
    ],
)
def test_what_may_be_a_mistyped_url_or_dsn_is_not_shown(address: str) -> None:
    assert without_password(address) == NOT_SHOWN


@pytest.mark.parametrize("path", ["events.db", "sqllite:events.db", "/data/period=3.db", "a b@c.db", ""])
def test_a_path_stays_as_it_is(path: str) -> None:
    assert without_password(path) == path
