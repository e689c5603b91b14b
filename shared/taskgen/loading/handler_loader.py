"""A user's event handler by its name, `module:Class`."""

from __future__ import annotations

from taskgen.errors import HandlerError
from taskgen.event import AbstractEventHandler
from taskgen.loading.import_string import called, named_object


def load_handler(spec: str) -> AbstractEventHandler:
    """The handler that a `module:Class` names: a class or factory is called without arguments.

    Raises:
        HandlerError: it cannot be imported or built, or is no event handler.
    """
    found = named_object(spec, HandlerError)
    if isinstance(found, AbstractEventHandler):
        return found
    if not callable(found):
        raise HandlerError(f"{spec}: {found!r} is no event handler; {_INSTEAD}")
    handler = called(spec, found, HandlerError)
    if not isinstance(handler, AbstractEventHandler):
        raise HandlerError(f"{spec}: it gives {type(handler).__name__}, no event handler; {_INSTEAD}")
    return handler


_INSTEAD = "write MODULE:CLASS with a class derived from taskgen.event.DefaultEventHandler"
