"""Python objects by name, `module:name`, as users write them on a command line: handlers, sessions, ..."""

from __future__ import annotations

import inspect
import pkgutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from taskgen.boards.session import AbstractSession
from taskgen.errors import HandlerError, SettingsError, TaskgenError
from taskgen.event import AbstractEventHandler

T = TypeVar("T")

DEFAULT_SESSION: Final = "taskgen.boards.taskloader:TaskloaderSession"
_HANDLER_EXPECTED: Final = (
    "is not an event handler; write MODULE:CLASS with a class derived from taskgen.event.DefaultEventHandler"
)
_SESSION_EXPECTED: Final = (
    "is not a session class; write MODULE:CLASS with a class derived from "
    "taskgen.boards.session.AbstractSession"
)


def load_handler(spec: str) -> AbstractEventHandler:
    """Return the handler that a `module:Class` names; a class or factory is called without arguments.

    Raises:
        HandlerError: it cannot be imported or created, or is not an event handler.
    """
    found = named_object(spec, HandlerError)
    if isinstance(found, AbstractEventHandler):
        return found
    if not callable(found):
        raise HandlerError(f"{spec}: {found!r} {_HANDLER_EXPECTED}")
    handler = called_without_arguments(spec, found, HandlerError)
    if not isinstance(handler, AbstractEventHandler):
        raise HandlerError(f"{spec}: its result, of class {type(handler).__name__}, {_HANDLER_EXPECTED}")
    return handler


def load_session(spec: str) -> type[AbstractSession]:
    """Return the session class that a `module:Class` names: another kind of target.

    Raises:
        SettingsError: it cannot be imported, or is not a complete session class.
    """
    found = named_object(spec, SettingsError)
    if not (isinstance(found, type) and issubclass(found, AbstractSession)):
        raise SettingsError(f"{spec}: {found!r} {_SESSION_EXPECTED}")
    _check_complete(spec, found, SettingsError)
    return found


def named_object(spec: str, error: type[TaskgenError]) -> Any:  # noqa: ANN401 - whatever the user has named
    """Return the object of a `module:name`; the current directory is importable, as with `python -m`.

    Args:
        spec: `package.module:name` or `module:name.inner`.
        error: raised for every fault; its text begins with `spec` and says what to write instead.
    """
    module_name, _, name = spec.partition(":")
    is_file = module_name.endswith(".py")
    if is_file or not (_is_dotted(module_name) and _is_dotted(name)):
        raise error(f"{spec!r} is not MODULE:NAME; write, for example, {_suggestion(spec)}")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    called(spec, lambda: pkgutil.resolve_name(f"{module_name}:"), error)
    try:
        return pkgutil.resolve_name(spec)
    except AttributeError as missing:
        public = ", ".join(one for one in vars(sys.modules[module_name]) if not one.startswith("_"))
        raise error(f"{spec}: {missing}; the module has {public or 'no names at all'}") from missing


def called_without_arguments(spec: str, found: Callable[..., T], error: type[TaskgenError]) -> T:
    """Call what a `module:name` names, if it can be called without arguments."""
    _check_complete(spec, found, error)
    try:
        required = [
            parameter.name
            for parameter in inspect.signature(found).parameters.values()
            if parameter.default is parameter.empty
            and parameter.kind not in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
        ]
    except (TypeError, ValueError):  # some built-in callables have no signature
        required = []
    if required:
        name = spec.partition(":")[2]
        raise error(
            f"{spec}: {name} requires arguments ({', '.join(required)}) but is called without any; give them "
            f"defaults, or name a function without parameters that returns {name}(...)"
        )
    return called(spec, found, error)


def called(spec: str, call: Callable[[], T], error: type[TaskgenError]) -> T:
    """Call a user's code; what it raises becomes one line with its type, text and place."""
    try:
        return call()
    except ModuleNotFoundError as missing:
        if missing.name and f"{spec.partition(':')[0]}.".startswith(f"{missing.name}."):
            raise error(
                f"{spec}: there is no module {missing.name!r} in {Path.cwd()} or among the installed modules"
            ) from missing
        raise error(_described(spec, missing)) from missing
    except (Exception, SystemExit) as raised:  # a user's code may raise anything
        raise error(_described(spec, raised)) from raised


def _check_complete(spec: str, found: object, error: type[TaskgenError]) -> None:
    missing = sorted(getattr(found, "__abstractmethods__", ()))
    if isinstance(found, type) and missing:
        raise error(f"{spec}: {found.__name__} does not implement {', '.join(missing)}")


def _described(spec: str, raised: BaseException) -> str:
    place = traceback.extract_tb(raised.__traceback__)[-1]
    where = "" if place.filename == __file__ else f" ({place.filename}:{place.lineno})"
    return f"{spec}: {type(raised).__name__}: {raised}{where}"


def _is_dotted(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _suggestion(spec: str) -> str:
    path, _, name = spec.partition(":")
    if not path.endswith(".py"):
        return "examples.control_loop:taskset"
    return f"{'.'.join(Path(path).with_suffix('').parts)}:{name or 'NAME'}"
