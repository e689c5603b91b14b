"""A user's event handler by its name, `module:Class`."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from taskgen.errors import HandlerError
from taskgen.event import AbstractEventHandler
from taskgen.loading.import_string import called, named_object


def load_handler(spec: str) -> AbstractEventHandler:
    """The handler that a `module:Class` names: a class or factory is called without arguments.

    Raises:
        HandlerError: it cannot be imported or built, or is not an event handler.
    """
    found = named_object(spec, HandlerError)
    if isinstance(found, AbstractEventHandler):
        return found
    if not callable(found):
        raise HandlerError(f"{spec}: {found!r} is not an event handler; {_INSTEAD}")
    if isinstance(found, type) and (absent := sorted(getattr(found, "__abstractmethods__", ()))):
        raise HandlerError(f"{spec}: {found.__name__} does not implement {', '.join(absent)}")
    if missing := _missing_argument(found):
        raise HandlerError(
            f"{spec}: {missing}; give the parameter a default, or name a function without parameters that "
            "makes the handler"
        )
    handler = called(spec, found, HandlerError)
    if not isinstance(handler, AbstractEventHandler):
        raise HandlerError(f"{spec}: it gives {type(handler).__name__}, not an event handler; {_INSTEAD}")
    return handler


def _missing_argument(make: Callable[..., object]) -> str:
    """Why it cannot be called without arguments; empty if it can, or does not say."""
    try:
        signature = inspect.signature(make)
    except (ValueError, TypeError):
        return ""
    try:
        signature.bind()
    except TypeError as error:
        return f"{getattr(make, '__name__', 'it')} is called without arguments: {error}"
    return ""


_INSTEAD = "write MODULE:CLASS with a class derived from taskgen.event.DefaultEventHandler"
