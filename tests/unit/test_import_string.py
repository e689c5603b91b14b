"""A handler is loaded by its name; the error for a wrong name says what to write instead."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import taskgen
from taskgen.errors import HandlerError
from taskgen.event import AbstractEventHandler
from taskgen.loading.import_string import load_handler

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

class Breaking(DefaultEventHandler):
    def __init__(self):
        self.missing.name

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
        ("own_handlers:Other", r"its result, of class Other, is not an event handler; write MODULE:CLASS"),
        ("own_handlers:number", r"5 is not an event handler; write MODULE:CLASS"),
        (
            "own_handlers:Needy",
            r"Needy requires arguments \(path\) .* name a function without parameters",
        ),
        ("own_handlers:Breaking", r"AttributeError: .*'missing' \(.*own_handlers.py:\d+\)"),
        ("own_handlers:Failing", r"OSError: no disk \(.*own_handlers.py:\d+\)"),
        ("own_handlers:Gone", r"'Gone'; the module has .*Mine"),
        ("gone:Mine", r"there is no module 'gone'"),
        ("taskgen.event:AbstractEventHandler", r"AbstractEventHandler does not implement __taskset_event__"),
        ("own_handlers", r"'own_handlers' is not MODULE:NAME; write, for example,"),
        ("own_handlers.py:Mine", r"write, for example, own_handlers:Mine"),
    ],
)
def test_the_error_for_a_wrong_name_says_what_to_write(spec: str, said: str) -> None:
    with pytest.raises(HandlerError, match=said):
        load_handler(spec)


@pytest.mark.parametrize("name", ["Other", "Needy", "Breaking", "Failing", "Gone"])
def test_no_error_blames_a_line_of_ours(name: str) -> None:
    with pytest.raises(HandlerError) as raised:
        load_handler(f"own_handlers:{name}")
    assert str(raised.value).startswith(f"own_handlers:{name}: ")
    assert str(Path(taskgen.__file__).parent) not in str(raised.value)
