"""Which servers the tests get, and what becomes of a test that gets none."""

import pytest

from tests.support.servers.choose import Given, NoServerError, find_broker, find_postgres, miss


@pytest.fixture(autouse=True)
def _nothing_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TEST_AMQP_URL", "TEST_MANAGEMENT_URL", "TEST_POSTGRES_DSN"):
        monkeypatch.delenv(f"TASKGEN_{name}", raising=False)


def test_a_given_broker_comes_before_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKGEN_TEST_AMQP_URL", "amqp://me:word@broker.example:5673/lab")
    management = "http://me:word@broker.example:15672"
    assert find_broker()() == Given("amqp://me:word@broker.example:5673/lab", management)


def test_a_given_management_url_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKGEN_TEST_AMQP_URL", "amqp://broker.example/")
    monkeypatch.setenv("TASKGEN_TEST_MANAGEMENT_URL", "https://broker.example/rabbit")
    assert find_broker()() == Given("amqp://broker.example/", "https://broker.example/rabbit")


def test_a_given_postgresql_comes_before_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKGEN_TEST_POSTGRES_DSN", "postgresql://db.example/lab")
    assert find_postgres()() == Given("postgresql://db.example/lab")


def test_without_a_server_a_test_is_skipped_but_on_ci_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="install it"):
        miss(NoServerError("install it"))
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="install it"):
        miss(NoServerError("install it"))
