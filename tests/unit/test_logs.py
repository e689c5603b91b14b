"""Logs go to stderr, for people or for machines, with run and board as keys."""

import json
import logging
from collections.abc import Iterator
from typing import Literal

import pytest

from taskgen.errors import SettingsError, StoreError
from taskgen.event import CommittingHandler
from taskgen.execution.handler_chain import HandlerChain
from taskgen.runtime.logs import configure_logs


@pytest.fixture(autouse=True)
def root_as_before() -> Iterator[None]:
    """What a test configures is undone."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)


def test_json_lines_carry_what_was_given_as_extra(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json")
    logging.getLogger("taskgen.board").warning("%s: lost", "b:1", extra={"board": "b:1", "run_id": "r"})
    output, errors = capsys.readouterr()
    logged = json.loads(errors)
    assert output == ""
    assert logged.pop("timestamp").endswith("Z")
    assert logged == {"event": "b:1: lost", "level": "warning", "board": "b:1", "run_id": "r"}


def test_a_traceback_stays_within_its_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json")
    try:
        int("mine")
    except ValueError:
        logging.getLogger("taskgen").exception("failed")
    (line,) = capsys.readouterr().err.splitlines()
    assert "ValueError: invalid literal" in json.loads(line)["exception"]


HOSTILE = "[/red]\x1b]0;owned\x07\x1b[31m\x9b2J\u202e\ud800\r\n12:00:00 [info] all is well"


@pytest.mark.parametrize("kind", ["console", "json"])
def test_text_from_a_board_neither_acts_nor_begins_a_line(
    capsys: pytest.CaptureFixture[str], kind: Literal["console", "json"]
) -> None:
    configure_logs(kind)
    logging.getLogger("taskgen").error("%s", HOSTILE, extra={"board": HOSTILE})
    failure = ExceptionGroup(HOSTILE, [RuntimeError(HOSTILE)])
    failure.__cause__ = ValueError(HOSTILE)
    logging.getLogger("taskgen").error("failed", exc_info=failure)
    lines = capsys.readouterr().err.splitlines()
    assert all(line.isprintable() for line in lines)
    assert not any(line.startswith("12:00:00 [info] all is well") for line in lines)
    assert sum(line.count("[/red]") for line in lines) == (4 if kind == "console" else 5)


@pytest.mark.parametrize("kind", ["console", "json"])
def test_a_line_and_the_text_of_an_error_have_an_end(
    capsys: pytest.CaptureFixture[str], kind: Literal["console", "json"]
) -> None:
    configure_logs(kind)
    failure = ValueError("a\n" * 500_000)
    logging.getLogger("taskgen").error("b" * 1_000_000, extra={"board": "c" * 1_000_000}, exc_info=failure)
    logged = capsys.readouterr().err
    assert len(logged) < 10_000
    assert "ValueError: a" in logged
    assert logged.count("…" if kind == "console" else r"\u2026") == 3


def test_a_store_error_that_quotes_a_board_does_not_fill_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    class Failing(CommittingHandler):
        def begin(self) -> None: ...

        def commit(self) -> None:
            raise StoreError("x" * 1_000_000)

        def abandon(self) -> None: ...

        def give_up(self, reason: str) -> None: ...

        def close(self) -> None: ...

    configure_logs("console")
    HandlerChain([Failing()]).commit()
    assert len(capsys.readouterr().err) < 5_000


def test_people_do_not_see_keys_twice(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("console")
    logging.getLogger("taskgen").warning("b:1: lost", extra={"board": "b:1", "run_id": None, "seq": 7})
    (line,) = capsys.readouterr().err.splitlines()
    assert line.count("b:1") == 1
    assert "run_id" not in line
    assert "seq=7" in line


def test_less_important_messages_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json", "warning")
    logging.getLogger("taskgen").info("one")
    logging.getLogger("taskgen").error("two")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["two"]


def test_configuring_again_replaces(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("console")
    configure_logs("json")
    logging.getLogger("taskgen").info("one")
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"log level: 'loud' is not one of DEBUG, INFO"):
        configure_logs("console", "loud")
