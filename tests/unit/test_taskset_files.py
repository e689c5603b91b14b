"""Task-sets are read from XML, JSON and Python, and every fault names file, task and field."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskgen.errors import SettingsError, TaskSetError
from taskgen.loading.taskset_files import read_admission_control, read_taskset


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current directory of the test's own, whose modules are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def described(*tasks: object) -> str:
    return json.dumps({"taskset": {"periodictask": list(tasks)}})


def test_a_list_in_json_makes_variants(here: Path) -> None:
    task = {"pkg": "hey", "priority": [1, 2], "config": {"arg1": [10, 20, 30]}}
    (here / "a.json").write_text(described(task))
    taskset = read_taskset("a.json")
    assert taskset.count_variants() == 6
    assert taskset.source == "a.json"


def test_json_with_one_task_needs_no_list(here: Path) -> None:
    (here / "a.json").write_text('{"taskset": {"periodictask": {"pkg": "hey"}}}')
    assert [task["pkg"] for task in read_taskset("a.json")] == ["hey"]


def test_xml_gives_what_json_of_the_same_structure_gives(here: Path) -> None:
    (here / "a.xml").write_text(
        '<?xml version="1.0"?><!-- said --><taskset><periodictask><id>7</id><pkg>hey</pkg><period>50</period>'
        "<config><arg1>1</arg1></config></periodictask><periodictask><pkg>pi</pkg></periodictask></taskset>"
    )
    (here / "a.json").write_text(
        described({"id": 7, "pkg": "hey", "period": 50, "config": {"arg1": "1"}}, {"pkg": "pi"})
    )
    assert read_taskset("a.xml").description() == read_taskset("a.json").description()


def test_what_a_task_set_writes_as_xml_can_be_read_again(here: Path) -> None:
    (here / "a.json").write_text(described({"pkg": "hey", "quota": "2M", "config": {"a": {"b": "c"}}}))
    written = read_taskset("a.json")
    (here / "a.xml").write_bytes(written.xml())
    assert read_taskset("a.xml").description() == written.description()


def test_repeated_elements_inside_config_are_one_value(here: Path) -> None:
    (here / "a.xml").write_text(
        "<taskset><periodictask><pkg>hey</pkg><config><list><item>1</item><item>2</item></list></config>"
        "</periodictask></taskset>"
    )
    taskset = read_taskset("a.xml")
    assert taskset.count_variants() == 1
    assert next(iter(taskset))["config"] == {"list": {"item": ("1", "2")}}
    assert b"<item>1</item><item>2</item>" in taskset.xml()


PYTHON = """
from taskgen.task import Task
from taskgen.taskset import TaskSet

taskset = TaskSet([Task(pkg="hey")])
tasks = [Task(pkg="hey"), Task(pkg="pi")]
task = Task(pkg="hey", priority=range(10))
number = 5
numbers = [5]

def factory():
    return TaskSet(tasks)

def generated():
    yield Task(pkg="hey")

class Own(TaskSet):
    def __init__(self):
        super().__init__([Task(pkg="pi")])

class Holder:
    inner = TaskSet([Task(pkg="hey")])

def failing():
    raise ValueError("no such\\nluck")

def described():
    return {"taskset": {}}

def broken():
    yield Task(pkg="hey")
    raise KeyError("half way")
"""


@pytest.mark.parametrize("name", ["taskset", "tasks", "task", "factory", "generated", "Own", "Holder.inner"])
def test_python_names_an_object_a_class_or_a_function(here: Path, name: str) -> None:
    (here / "mine.py").write_text(PYTHON)
    taskset = read_taskset(f"mine:{name}")
    assert taskset.binaries() <= {"hey", "pi"}
    assert taskset.source == f"mine:{name}"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("mine:number", r"mine:number: 5 is neither"),
        ("mine:numbers", r"mine:numbers: task 0: 5 is not a task; write TaskSet\(\[Task\("),
        ("mine:described", r"mine:described: .* is neither"),
        ("mine:nothing", r"mine:nothing: .*'nothing'; the module has .*taskset"),
        ("mine:failing", r"mine:failing: ValueError: no such\sluck \(.*mine.py:\d+\)"),
        ("mine:broken", r"mine:broken: KeyError: 'half way' \(.*mine.py:\d+\)"),
        ("nowhere:taskset", r"nowhere:taskset: there is no module 'nowhere'"),
        ("mine.inner:taskset", r"mine.inner:taskset: "),
        ("importing:taskset", r"importing:taskset: ModuleNotFoundError: .*'not_there'"),
        ("unfinished:taskset", r"unfinished:taskset: SyntaxError: .*unfinished.py, line 1"),
        ("leaving:taskset", r"leaving:taskset: SystemExit: 0"),
        ("folder/mine.py:taskset", r"write, for example, folder\.mine:taskset"),
        ("mine:", r"'mine:' is not MODULE:NAME"),
        ("mine", r"mine: is not a task-set; give a \.xml or \.json file, or a Python MODULE:NAME"),
    ],
)
def test_a_python_error_is_reported_with_its_own_text(here: Path, spec: str, said: str) -> None:
    (here / "mine.py").write_text(PYTHON)
    (here / "importing.py").write_text("import not_there")
    (here / "unfinished.py").write_text("taskset = (")
    (here / "leaving.py").write_text("import sys; sys.exit(0)")
    with pytest.raises(TaskSetError, match=said):
        read_taskset(spec)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", r"a\.json: not JSON: line 1, column 2: "),
        ('{"a":\n 1,}', r"a\.json: not JSON: line 2"),
        ("[" * 100_000, r"a\.json: nested too deep"),
        ("[]", r"expected only 'taskset' at the root, not \[\]"),
        ('{"tasks": []}', r"expected only 'taskset' at the root, not tasks"),
        (
            '{"taskset": {"task": []}}',
            r"expected only 'periodictask' in taskset, not task",
        ),
        ('{"taskset": {}}', r"not nothing"),
        ('{"taskset": {"periodictask": []}}', r"a\.json: has no task"),
        (described({"pkg": "hey"}, 5), r"a\.json: task 1: has to be an object of parameters, not 5"),
        (
            described({"pkg": "hey", "prio": 1}),
            r"a\.json: task 0: prio: unknown parameter; valid ones are .*priority",
        ),
        (described({"pkg": "hey", "period": "x"}), r"a\.json: task 0 \(id 0\): period: .*'x'"),
        (described({"pkg": "hey", "period": [1, -1]}), r"a\.json: task 0 \(id 0\): period: .*-1"),
        (described({"pkg": "hey", "quota": "1T"}), r"quota: '1T' is not an amount of memory"),
        (described({"pkg": "../hey"}), r"pkg: .*'\.\./hey'"),
        (described({"pkg": "a-name-of-sixteen"}), r"pkg: .*at most 15"),
        (described({}), r"pkg: missing"),
        (described({"pkg": "a", "id": 1}, {"pkg": "a", "id": 1}), r"task 1: id: 1 is already in use"),
        (described({"pkg": "a", "id": "x"}, {"pkg": "a"}), r"task 0: id: has to be one number, not 'x'"),
        (described({"pkg": "a", "id": [1, 2]}), r"task 0: id: has to be one number"),
        ('{"taskset": {"periodictask": {"pkg": "a", "pkg": "b"}}}', r"'pkg' occurs twice"),
        ("\ufeff" + described({"pkg": 5}), r"pkg: "),
        ('{"taskset": ' + "9" * 5000 + "}", r"a\.json: contains a number with too many digits"),
    ],
)
def test_a_fault_in_json_names_file_task_and_field(here: Path, text: str, said: str) -> None:
    (here / "a.json").write_text(text)
    with pytest.raises(TaskSetError, match=said) as caught:
        read_taskset("a.json")
    assert str(caught.value).startswith("a.json: ")


def xml(*parameters: str) -> str:
    return f"<taskset><periodictask>{''.join(parameters)}</periodictask></taskset>"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<taskset>", r"a\.xml: not XML: .*line 1"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]>" + xml("<pkg>hey</pkg>"), r"declaration .*DOCTYPE"),
        ("<tasks/>", r"expected only 'taskset' at the root, not tasks"),
        ("<taskset/>", r"expected only 'periodictask' in taskset"),
        (
            '<taskset a="1"><periodictask><pkg>hey</pkg></periodictask></taskset>',
            r"expected only 'periodictask' in taskset, not @a",
        ),
        (
            xml("<pkg>a</pkg><pkg>b</pkg>"),
            r"a\.xml: task 0: pkg: occurs 2 times; write variants in JSON",
        ),
        (xml("<pkg>a</pkg><prio>1</prio>"), r"task 0: prio: unknown parameter"),
        (xml("<pkg>a</pkg><period/>"), r"period: .*None"),
        (xml("<pkg>a</pkg><config>" + "<a>" * 100 + "</a>" * 100 + "</config>"), r"config: nested more than"),
        ("<taskset><periodictask/></taskset>", r"task 0: has to be an object of parameters, not None"),
    ],
)
def test_a_fault_in_xml_names_file_task_and_field(here: Path, text: str, said: str) -> None:
    (here / "a.xml").write_text(text)
    with pytest.raises(TaskSetError, match=said) as caught:
        read_taskset("a.xml")
    assert str(caught.value).startswith("a.xml: ")


def test_a_file_that_cannot_be_read_is_named(here: Path) -> None:
    (here / "folder.json").mkdir()
    (here / "latin.xml").write_bytes(b"<a>\xe4</a>")
    for spec, said in [
        ("gone.json", "gone.json: cannot be read: No such file or directory"),
        ("folder.json", "folder.json: cannot be read: Is a directory"),
        ("latin.xml", "latin.xml: is not UTF-8 text: invalid continuation byte at byte 3"),
    ]:
        with pytest.raises(TaskSetError, match=re.escape(said)):
            read_taskset(spec)


def test_admission_control_is_any_nested_dictionary(here: Path) -> None:
    data = {"optimize": {"goal": {"fairness": {"apply": "1"}}, "query_interval": "1000"}}
    (here / "a.json").write_text(json.dumps(data))
    (here / "a.xml").write_text(
        "<optimize><goal><fairness><apply>1</apply></fairness></goal><query_interval>1000</query_interval></optimize>"
    )
    assert read_admission_control(Path("a.json")) == data
    assert read_admission_control(Path("a.xml")) == data


@pytest.mark.parametrize("text", ["[]", "{", '{"a": "ä"}', '{"a": ' + "9" * 5000 + "}"])
def test_admission_control_that_no_board_could_read_is_refused(here: Path, text: str) -> None:
    (here / "a.json").write_text(text)
    with pytest.raises(SettingsError, match=r"^a\.json: "):
        read_admission_control(Path("a.json"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"taskset": {"periodictask": [{"pkg": "hey"}]}}', "<taskset> is a task-set, not admission control"),
        ('{"periodictask": {"pkg": "hey"}}', "<periodictask> is a task, not admission control"),
        ('{"id": 1, "pkg": "hey"}', "<pkg> is a parameter of a task, not admission control"),
        ('{"profile": null}', "<profile> is a profile, not admission control"),
    ],
)
def test_another_document_in_place_of_admission_control_is_refused(here: Path, text: str, said: str) -> None:
    (here / "a.json").write_text(text)
    with pytest.raises(SettingsError, match=re.escape(f"a.json: {said}")):
        read_admission_control(Path("a.json"))


def test_admission_control_in_another_kind_of_file_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"give a \.json or \.xml file"):
        read_admission_control(Path("a.yaml"))
