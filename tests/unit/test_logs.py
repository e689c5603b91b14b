"""Logs go to stderr, for people or for machines, with run and board as keys."""

import json
import logging
from collections.abc import Iterator

import pytest

from taskgen.errors import SettingsError
from taskgen.logs import configure_logs


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
    told = json.loads(errors)
    assert output == ""
    assert told.pop("timestamp").endswith("Z")
    assert told == {"event": "b:1: lost", "level": "warning", "board": "b:1", "run_id": "r"}


def test_a_traceback_stays_within_its_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json")
    try:
        int("mine")
    except ValueError:
        logging.getLogger("taskgen").exception("failed")
    (line,) = capsys.readouterr().err.splitlines()
    assert "ValueError: invalid literal" in json.loads(line)["exception"]


def test_people_are_not_told_twice(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("console")
    logging.getLogger("taskgen").warning("b:1: lost", extra={"board": "b:1", "run_id": None, "seq": 7})
    (line,) = capsys.readouterr().err.splitlines()
    assert line.count("b:1") == 1
    assert "run_id" not in line
    assert "seq=7" in line


def test_what_is_less_important_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
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
    with pytest.raises(SettingsError, match=r"log level: 'loud' is none of DEBUG, INFO"):
        configure_logs("console", "loud")
