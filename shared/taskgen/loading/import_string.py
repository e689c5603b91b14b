"""Python objects by name, `module:name`, as users write them on a command line."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from taskgen.errors import TaskgenError

T = TypeVar("T")


def named_object(spec: str, error: type[TaskgenError]) -> object:
    """The object of a `module:name`; the current directory is importable, as with `python -m`.

    Args:
        spec: `package.module:name` or `module:name.inner`.
        error: raised for every fault; its text begins with `spec` and says what to write instead.
    """
    module_name, _, name = spec.partition(":")
    is_file = module_name.endswith(".py")
    if is_file or not (_is_dotted(module_name) and _is_dotted(name)):
        raise error(f"{spec!r} is not of the form MODULE:NAME; write one such as {_suggestion(spec)}")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    module = called(spec, lambda: importlib.import_module(module_name), error)
    try:
        return pkgutil.resolve_name(spec)
    except AttributeError as missing:
        public = ", ".join(one for one in vars(module) if not one.startswith("_"))
        raise error(f"{spec}: {missing}; there are {public or 'no names at all'}") from missing


def called(spec: str, call: Callable[[], T], error: type[TaskgenError]) -> T:
    """What a user's code gives; what it raises instead becomes one line with its type, text and place."""
    try:
        return call()
    except ModuleNotFoundError as missing:
        if missing.name and f"{spec.partition(':')[0]}.".startswith(f"{missing.name}."):
            raise error(
                f"{spec}: no module {missing.name!r} in {Path.cwd()} or among the installed ones"
            ) from missing
        raise error(_told(spec, missing)) from missing
    except (Exception, SystemExit) as raised:  # a user's code may raise anything
        raise error(_told(spec, raised)) from raised


def _told(spec: str, raised: BaseException) -> str:
    place = traceback.extract_tb(raised.__traceback__)[-1]
    return f"{spec}: {type(raised).__name__}: {raised} ({place.filename}:{place.lineno})"


def _is_dotted(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _suggestion(spec: str) -> str:
    path, _, name = spec.partition(":")
    if not path.endswith(".py"):
        return "examples.control_loop:taskset"
    return f"{'.'.join(Path(path).with_suffix('').parts)}:{name or 'NAME'}"
