"""What holds for a state in PostgreSQL alone."""

from __future__ import annotations

import threading
from urllib.parse import urlsplit

import psycopg
import pytest

from taskgen.errors import CredentialsError, SettingsError, StoreError, StoreUnavailableError
from taskgen.state.opening import open_state
from taskgen.state.state import Changes
from tests.support.servers.server import Server
from tests.support.state_rows import run_row


def test_a_server_that_was_down_is_used_again(postgres_database: str, postgres: Server) -> None:
    run = run_row()
    state = open_state(postgres_database)
    state.claim()
    postgres.stop()
    with pytest.raises(StoreUnavailableError):
        state.write(Changes(runs={run.run_id: run}))
    with pytest.raises(StoreUnavailableError):
        state.check()
    postgres.start()
    state.write(Changes(runs={run.run_id: run}))
    assert state.run(run.run_id) == run
    state.close()


def test_controllers_that_start_at_the_same_moment_create_the_tables_once(postgres_database: str) -> None:
    ready = threading.Barrier(4)
    errors: list[BaseException] = []

    def start() -> None:
        try:
            ready.wait(timeout=30)
            state = open_state(postgres_database)
            state.claim()
            state.close()
        except Exception as error:  # noqa: BLE001 - shown by the main thread
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_wrong_password_is_refused_and_not_shown(postgres_database: str) -> None:
    parts = urlsplit(postgres_database)
    url = parts._replace(netloc=f"postgres:wr0ng@{parts.hostname}:{parts.port}").geturl()
    with pytest.raises(CredentialsError) as caught:
        open_state(url).check()
    assert "wr0ng" not in str(caught.value)


def test_an_invalid_address_is_a_settings_error() -> None:
    with pytest.raises(SettingsError, match="postgresql://user:password@host/database"):
        open_state("postgresql://h/?no_such_option=1")


def test_a_schema_of_an_older_version_is_refused_with_a_remedy(postgres_database: str) -> None:
    state = open_state(postgres_database)
    state.claim()
    state.close()
    with psycopg.connect(postgres_database) as connection:
        connection.execute("UPDATE taskgen_controller.state_schema SET version = 1")
    with pytest.raises(StoreError, match=r"older taskgen .* give another database"):
        state.check()
