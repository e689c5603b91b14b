"""A user's session class by its name, `module:Class`: another kind of target."""

from __future__ import annotations

import inspect
from typing import Final

from taskgen.boards.session import AbstractSession
from taskgen.errors import SettingsError
from taskgen.loading.import_string import named_object

DEFAULT_SESSION: Final = "taskgen.boards.taskloader:TaskloaderSession"
_INSTEAD: Final = "write MODULE:CLASS with a class derived from taskgen.boards.session.AbstractSession"


def load_session(spec: str) -> type[AbstractSession]:
    """Import the class that a `module:Class` names.

    Raises:
        SettingsError: it cannot be imported, or is not a complete session class.
    """
    found = named_object(spec, SettingsError)
    if not (isinstance(found, type) and issubclass(found, AbstractSession)):
        raise SettingsError(f"{spec}: {found!r} is not a session class; {_INSTEAD}")
    if inspect.isabstract(found):
        missing = ", ".join(sorted(found.__abstractmethods__))
        raise SettingsError(f"{spec}: {found.__name__} does not implement {missing}")
    return found
