"""Reads task-sets from where users keep them: Taskloader XML, JSON of the same structure, Python objects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final
from xml.parsers.expat import ExpatError

import xmltodict
from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError

from taskgen.boards.taskloader import TaskloaderSession
from taskgen.bundle_file import TASKSETS, BundleFile, is_bundle
from taskgen.errors import BundleError, SettingsError, TaskgenError, TaskSetError
from taskgen.loading.import_string import called, called_without_arguments, named_object
from taskgen.task import ADAPTERS, Task
from taskgen.taskset import TaskSet

_MAX_FILE_BYTES: Final = 64 * 1024 * 1024
_MAX_DEPTH: Final = 32
_MAX_SHOWN: Final = 60
_DECLARATION: Final = re.compile(r"<!(?!--|\[CDATA\[)")


def read_tasksets(spec: str) -> list[TaskSet]:
    """Read the task-set of a file, or all variants that a bundle holds, each a task-set of its own.

    Args:
        spec: path of a bundle (`.zip`), or as `read_taskset` takes it.

    Raises:
        BundleError: the bundle is damaged, was changed, or is none.
        TaskSetError: as `read_taskset` does.
    """
    if not is_bundle(spec):
        return [read_taskset(spec)]
    with BundleFile(Path(spec)) as bundle:
        bundle.check()
        data = b"".join(bundle.pieces(TASKSETS))
    tasksets = [_stored(f"{spec}: {TASKSETS}, line {at}", one) for at, one in enumerate(data.splitlines(), 1)]
    if not tasksets:
        raise TaskSetError(f"{spec}: no variant was started, so there is nothing to repeat")
    return tasksets


def _stored(where: str, line: bytes) -> TaskSet:
    """Build the variant that a line of a bundle describes: as it was run, with its name and number."""
    try:
        one = StoredVariant.model_validate_json(line)
    except ValidationError as error:
        detail = error.errors()[0]
        raise BundleError(
            f"{where}: damaged: {'.'.join(map(str, detail['loc']))}: {detail['msg']}"
        ) from error
    taskset = _described(where, {"taskset": {"periodictask": one.tasks}}, makes_variants=False).checked()
    taskset.source, taskset.parameters, taskset.first_variant = one.source, one.parameters, one.variant
    return taskset


class StoredVariant(BaseModel):
    """A variant as a bundle holds it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    """Source of the task-set: file or module."""
    variant: NonNegativeInt
    """Number of the variant in that task-set, from 0."""
    parameters: dict[str, Any]
    """Those that vary, and their values."""
    tasks: list[dict[str, Any]]
    """Without choices: a list in a `config` is one value, a repeated element."""


def read_taskset(spec: str) -> TaskSet:
    """Read and validate a task-set.

    Args:
        spec: path of a `.xml` or `.json` file of the structure in docs/taskloader.md, section 2, or
            `module:name` of a `TaskSet`, an iterable of `Task`s, or a function that returns one.
            In JSON, a list as a value makes variants. In XML, repeated elements inside `<config>` are one
            value, a tuple.

    Raises:
        TaskSetError: it cannot be read; the text names file, task and field.
    """
    kind = Path(spec).suffix.lower()
    if kind == ".json":
        taskset = _described(spec, _read_json(Path(spec), TaskSetError), makes_variants=True)
    elif kind == ".xml":
        taskset = _described(spec, _read_xml(Path(spec), TaskSetError), makes_variants=False)
    elif ":" in spec:
        taskset = _of_python(spec)
    else:
        raise TaskSetError(f"{spec}: is not a task-set; give a .xml or .json file, or a Python MODULE:NAME")
    taskset.source = spec
    return taskset.checked()


def read_admission_control(path: Path) -> dict[str, Any]:
    """Read the data for a board's admission control, nested elements, from a `.json` or `.xml` file.

    Raises:
        SettingsError: it cannot be read, or is something else, such as a task-set.
    """
    kind = path.suffix.lower()
    if kind not in {".json", ".xml"}:
        raise SettingsError(f"{path}: give a .json or .xml file")
    data = (_read_json if kind == ".json" else _read_xml)(path, SettingsError)
    if not isinstance(data, dict):
        raise SettingsError(f"{path}: has to be an object of nested elements, not {_shown(data)}")
    try:
        TaskloaderSession.check(data)
    except TaskSetError as error:
        raise SettingsError(f"{path}: {error}") from error
    return data


def _read_json(path: Path, error: type[TaskgenError]) -> Any:  # noqa: ANN401 - whatever the file holds
    text = _read_text(path, error)
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as fault:
        raise error(f"{path}: not JSON: line {fault.lineno}, column {fault.colno}: {fault.msg}") from fault
    except _RepeatedError as fault:
        raise error(f"{path}: {fault}") from fault
    except ValueError as fault:  # Python refuses integers of more than 4,300 digits
        raise error(f"{path}: contains a number with too many digits") from fault
    except RecursionError as fault:
        raise error(f"{path}: nested too deeply") from fault


def _read_xml(path: Path, error: type[TaskgenError]) -> Any:  # noqa: ANN401 - whatever the file holds
    text = _read_text(path, error)
    if _DECLARATION.search(text):
        raise error(f"{path}: has a declaration (<!...), such as a DOCTYPE or an entity; remove it")
    try:
        return xmltodict.parse(text)
    except (ExpatError, ValueError) as fault:
        raise error(f"{path}: not XML: {fault}") from fault


def _read_text(path: Path, error: type[TaskgenError]) -> str:
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise error(f"{path}: larger than {_MAX_FILE_BYTES // 2**20} MiB")
        return path.read_text(encoding="utf-8-sig")
    except OSError as fault:
        raise error(f"{path}: cannot be read: {fault.strerror or fault}") from fault
    except UnicodeDecodeError as fault:
        raise error(f"{path}: is not UTF-8 text: {fault.reason} at byte {fault.start}") from fault


class _RepeatedError(ValueError):
    """A JSON object contains a name twice, so one of the values would be lost."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _RepeatedError(f"{name!r} occurs twice in one object; a list of values makes variants")
        found[name] = value
    return found


def _described(
    spec: str,
    description: Any,  # noqa: ANN401 - whatever the file holds
    *,
    makes_variants: bool,
) -> TaskSet:
    """Build the task-set that a file of any kind describes; `makes_variants` says whether a list does."""
    tasks = _only_child(
        spec, _only_child(spec, description, "at the root", "taskset"), "in taskset", "periodictask"
    )
    taskset = TaskSet(source=spec)
    for number, parameters in enumerate(tasks if isinstance(tasks, list) else [tasks]):
        where = f"{spec}: task {number}"
        if not isinstance(parameters, Mapping):
            raise TaskSetError(f"{where}: has to be an object of parameters, not {_shown(parameters)}")
        _check_parameters(parameters, where)
        taskset.append(Task(parameters if makes_variants else _from_xml(parameters, where)))
    return taskset


def _only_child(spec: str, parent: Any, place: str, name: str) -> Any:  # noqa: ANN401 - as above
    """Return the only child of an element."""
    if not isinstance(parent, Mapping) or set(parent) != {name}:
        found = ", ".join(parent) if isinstance(parent, Mapping) else _shown(parent)
        raise TaskSetError(f"{spec}: expected only {name!r} {place}, not {found or 'nothing'}")
    return parent[name]


def _check_parameters(parameters: Mapping[str, Any], where: str) -> None:
    """Check the names, and the id, because `TaskSet` numbers the tasks without one after it."""
    for name in parameters:
        if name not in ADAPTERS:
            raise TaskSetError(
                f"{where}: {name}: unknown parameter; valid ones are {', '.join(sorted(ADAPTERS))}"
            )
    try:
        ADAPTERS["id"].validate_python(parameters.get("id") or 0)
    except ValidationError as error:
        raise TaskSetError(f"{where}: id: has to be one number, not {_shown(parameters['id'])}") from error


def _from_xml(parameters: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return one task's parameters; in XML, repeating an element does not make variants."""
    for name, value in parameters.items():
        if isinstance(value, list):
            raise TaskSetError(f"{where}: {name}: occurs {len(value)} times; write variants in JSON")
    config = parameters.get("config") or {}
    return {**parameters, "config": _one_value(config, where, _MAX_DEPTH)}


def _one_value(value: Any, where: str, depth: int) -> Any:  # noqa: ANN401 - any value of a config
    """Turn repeated elements into a tuple, which is one value, at every depth."""
    if not depth:
        raise TaskSetError(f"{where}: config: nested more than {_MAX_DEPTH} levels deep")
    if isinstance(value, Mapping):
        return {name: _one_value(inner, where, depth - 1) for name, inner in value.items()}
    if isinstance(value, list):
        return tuple(_one_value(inner, where, depth) for inner in value)
    return value


def _of_python(spec: str) -> TaskSet:
    found = named_object(spec, TaskSetError)
    if callable(found):
        found = called_without_arguments(spec, found, TaskSetError)
    if isinstance(found, TaskSet):
        return found
    if isinstance(found, Task):
        return TaskSet([found])
    if isinstance(found, Iterable) and not isinstance(found, str | bytes | Mapping):
        return TaskSet(called(spec, lambda: list(found), TaskSetError), spec)
    raise TaskSetError(f"{spec}: {_shown(found)} is neither a TaskSet nor an iterable of Tasks")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
