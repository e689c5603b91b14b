"""A handler is loaded by its name, and a wrong name is told with what to write instead."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskgen.errors import HandlerError
from taskgen.event import AbstractEventHandler
from taskgen.loading.handler_loader import load_handler

MODULE = """
from taskgen.event import AbstractEventHandler, DefaultEventHandler

class Mine(DefaultEventHandler):
    pass

class Needy(DefaultEventHandler):
    def __init__(self, path):
        super().__init__()

class Failing(DefaultEventHandler):
    def __init__(self):
        raise OSError("no disk")

class Other:
    pass

def factory():
    return Mine()

instance = Mine()
number = 5
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A current directory with a module of handlers, which is forgotten afterwards."""
    (tmp_path / "own_handlers.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("own_handlers", None)


@pytest.mark.parametrize("name", ["Mine", "factory", "instance"])
def test_a_class_a_factory_or_an_object_gives_a_handler(name: str) -> None:
    assert isinstance(load_handler(f"own_handlers:{name}"), AbstractEventHandler)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("own_handlers:Other", r"it gives Other, not an event handler; write MODULE:CLASS"),
        ("own_handlers:number", r"5 is not an event handler; write MODULE:CLASS"),
        (
            "own_handlers:Needy",
            r"Needy is called without arguments: missing .* 'path'; give",
        ),
        ("own_handlers:Failing", r"OSError: no disk \(.*own_handlers.py:\d+\)"),
        ("own_handlers:Gone", r"'Gone'; there are .*Mine"),
        ("gone:Mine", r"no module 'gone' in "),
        ("taskgen.event:AbstractEventHandler", r"does not implement __taskset_event__"),
        ("own_handlers", r"'own_handlers' is not of the form MODULE:NAME; write one such as"),
        ("own_handlers.py:Mine", r"write one such as own_handlers:Mine"),
    ],
)
def test_a_wrong_name_is_told_with_what_to_write(spec: str, said: str) -> None:
    with pytest.raises(HandlerError, match=said):
        load_handler(spec)
