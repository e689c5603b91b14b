"""What holds for PostgreSQL alone."""

import threading
from contextlib import closing
from urllib.parse import urlsplit

import port_for
import psycopg
import pytest

from taskgen.errors import CredentialsError, StoreError, StoreUnavailableError
from taskgen.events.postgres import PostgresHandler, PostgresReader
from taskgen.events.postgres_server import PostgresServer
from tests.support.profiles import event
from tests.support.servers.server import Server
from tests.support.store_events import give, run_id, taskset


def seqs(dsn: str, run: str) -> list[int]:
    with closing(PostgresReader(dsn)) as reader:
        return [row.seq for row in reader.events(run)]


def leave_in_a_pipeline(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    connection.pgconn.enter_pipeline_mode()
    connection.pgconn.send_query_params(b"SELECT 1", None)
    connection.execute("SELECT 1")


def test_handlers_that_start_at_the_same_moment_create_the_tables_once(postgres_database: str) -> None:
    tasks = taskset()
    ready = threading.Barrier(6)
    errors: list[BaseException] = []

    def start() -> None:
        try:
            ready.wait(timeout=30)
            with PostgresHandler(postgres_database) as handler:
                handler.__taskset_start__(tasks)
        except Exception as error:  # noqa: BLE001 - shown by the main thread
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with closing(PostgresReader(postgres_database)) as reader:
        assert len(list(reader.runs())) == 1


@pytest.mark.parametrize(
    "change", [{"user": "nobody_of_that_name"}, {"dbname": "no_such_database"}], ids=["user", "database"]
)
def test_a_refused_user_gets_one_line_and_no_retry(postgres_database: str, change: dict[str, str]) -> None:
    dsn = psycopg.conninfo.make_conninfo(postgres_database, **change)
    with pytest.raises(CredentialsError) as caught:
        PostgresHandler(dsn)
    assert "\n" not in str(caught.value)


def test_a_wrong_password_is_refused_and_not_shown_in_the_error(postgres_database: str) -> None:
    dsn = psycopg.conninfo.make_conninfo(postgres_database, password="wr0ng-secret")
    with pytest.raises(CredentialsError) as caught:
        PostgresHandler(dsn)
    assert "wr0ng-secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unavailable_server_may_be_available_later(postgres_database: str) -> None:
    parts = urlsplit(postgres_database)
    dsn = parts._replace(netloc=f"somebody@127.0.0.1:{port_for.select_random()}", query="").geturl()
    with pytest.raises(StoreUnavailableError):
        PostgresHandler(dsn)


@pytest.mark.parametrize("dsn", ["127.0.0.1/events", "postgresql://h/?no_such_option=1"])
def test_an_invalid_address_says_what_to_write(dsn: str) -> None:
    with pytest.raises(StoreError) as caught:
        PostgresHandler(dsn)
    assert "postgresql://user:password@host/database" in str(caught.value)


def test_a_server_that_stops_keeps_the_batch_and_the_next_commit_connects_again(
    postgres_database: str, postgres: Server
) -> None:
    tasks = taskset()
    handler = PostgresHandler(postgres_database)
    give(handler, tasks, 0, event("X", 0, 0))
    postgres.stop()
    for _ in range(2):
        with pytest.raises(StoreUnavailableError):
            give(handler, tasks, 1, event("X", 0, 1))
    postgres.start()
    give(handler, tasks, 2, event("X", 0, 2))
    handler.close()
    assert seqs(postgres_database, run_id(tasks)) == [0, 1, 2]


def test_a_connection_cut_by_the_server_loses_nothing(postgres_database: str) -> None:
    tasks = taskset()
    with PostgresHandler(postgres_database) as handler:
        give(handler, tasks, 0, event("X", 0, 0))
        with psycopg.connect(postgres_database, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
        with pytest.raises(StoreUnavailableError):
            give(handler, tasks, 1, event("X", 0, 1))
        handler.commit()
        assert seqs(postgres_database, run_id(tasks)) == [0, 1]


def test_a_failed_transaction_closes_its_connection(postgres_database: str) -> None:
    """A server's death can leave the driver in a pipeline: open, and of no use ever again."""
    server = PostgresServer(postgres_database)
    connection = server.connect()
    with pytest.raises(StoreError), server.transaction(connection):
        leave_in_a_pipeline(connection)
    assert connection.closed


def test_a_nul_character_is_a_store_error(postgres_database: str) -> None:
    handler = PostgresHandler(postgres_database)
    with pytest.raises(StoreError, match="NUL") as caught:
        give(handler, taskset(), 0, event("a\0b", 0, 0))
    assert not isinstance(caught.value, StoreUnavailableError)
    handler.abandon()
    handler.close()


def test_tables_of_another_program_are_left_alone(postgres_database: str) -> None:
    with psycopg.connect(postgres_database) as connection:
        connection.execute("CREATE TABLE events (mine text)")
    with pytest.raises(StoreError, match="events"):
        PostgresHandler(postgres_database)
    with pytest.raises(StoreError, match="no events of taskgen"):
        PostgresReader(postgres_database)


def test_tables_of_a_newer_version_are_refused_with_a_remedy(postgres_database: str) -> None:
    PostgresHandler(postgres_database).close()
    with psycopg.connect(postgres_database) as connection:
        connection.execute("UPDATE taskgen_schema SET version = 99")
    with pytest.raises(StoreError, match="upgrade taskgen"):
        PostgresHandler(postgres_database)


def test_handlers_may_live_in_a_schema_of_their_own(postgres_database: str) -> None:
    with psycopg.connect(postgres_database) as connection:
        connection.execute("CREATE SCHEMA lab")
    dsn = psycopg.conninfo.make_conninfo(postgres_database, options="-c search_path=lab")
    tasks = taskset()
    with PostgresHandler(dsn) as handler:
        give(handler, tasks, 0, event("X", 0, 0))
    assert seqs(dsn, run_id(tasks)) == [0]
    with pytest.raises(StoreError):
        PostgresReader(postgres_database)


@pytest.mark.parametrize(
    ("dsn", "name"),
    [
        ("postgresql://", "postgresql:///"),
        ("postgresql:///events", "postgresql:///events"),
        ("dbname=events port=6000", "postgresql://:6000/events"),
        ("postgresql://me:secret@db/events", "postgresql://db/events"),
    ],
)
def test_a_database_is_named_exactly_as_it_was_given(dsn: str, name: str) -> None:
    assert PostgresServer(dsn).name == name
