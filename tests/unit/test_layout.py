"""The rules of CONTRIBUTING.md that can be checked in the source."""

import ast
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[2]
LIBRARY = sorted((ROOT / "shared").rglob("*.py"))
SERVICES = sorted((ROOT / "services").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

PIKA_LIVES_IN = ("shared/taskgen/amqp/*",)
PSYCOPG_LIVES_IN = (
    "shared/taskgen/events/postgres.py",
    "shared/taskgen/events/postgres_server.py",
    "shared/taskgen/state/postgres.py",
)

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def place(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), place(path))


def imports(path: Path) -> set[str]:
    """Full dotted names of what a module imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{place(path)}:{node.lineno}: a relative import"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def users_of(package: str, modules: list[Path]) -> set[str]:
    return {place(path) for path in modules if any(name.split(".")[0] == package for name in imports(path))}


def run_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that are evaluated when a module is imported: all but the bodies of functions."""
    yield node
    if isinstance(node, Function):
        decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
        children = [*decorators, node.args]
    else:
        children = list(ast.iter_child_nodes(node))
    for child in children:
        yield from run_at_import(child)


def reads_environment(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv", "getenvb"}
    ) or (isinstance(node, ast.Name) and node.id in {"environ", "getenv"})


def outside(users: set[str], allowed: tuple[str, ...]) -> set[str]:
    return {user for user in users if not any(PurePosixPath(user).match(pattern) for pattern in allowed)}


def test_there_is_something_to_judge() -> None:
    assert len(LIBRARY) > 5
    assert "shared/taskgen/taskset.py" in users_of("xmltodict", LIBRARY)


def test_the_library_never_imports_a_service_or_a_test() -> None:
    assert users_of("services", LIBRARY) == set()
    assert users_of("tests", LIBRARY + SERVICES) == set()


def test_services_never_import_each_other() -> None:
    for path in SERVICES:
        own = path.relative_to(ROOT / "services").parts[0]
        others = {
            name for name in imports(path) if name.startswith("services.") and name.split(".")[1] != own
        }
        assert not others, place(path)


def test_pika_is_imported_in_one_package() -> None:
    assert outside(users_of("pika", LIBRARY + SERVICES), PIKA_LIVES_IN) == set()


def test_psycopg_is_imported_only_where_postgresql_is_used() -> None:
    assert outside(users_of("psycopg", LIBRARY + SERVICES), PSYCOPG_LIVES_IN) == set()


def test_a_layer_of_tests_imports_nothing_but_itself_and_what_all_share() -> None:
    offenders = [
        f"{place(path)}: {name}"
        for path in TESTS
        for name in imports(path)
        if name.startswith("tests.")
        and name.split(".")[1] not in {"support", path.relative_to(ROOT / "tests").parts[0]}
    ]
    assert offenders == []


def test_no_command_writes_markup_which_untrusted_text_could_contain() -> None:
    """A style comes with `taskgen.cli.terminal.styled`; a tag within a text would be printed as it is."""
    assert {place(path) for path in LIBRARY if "rich.markup" in " ".join(imports(path))} == set()
    assert {
        place(path) for path in (ROOT / "shared/taskgen/cli").glob("*.py") if "[/" in path.read_text()
    } == set()


def test_every_module_begins_with_a_sentence_that_says_what_it_is() -> None:
    def first_line(path: Path) -> str:
        return (ast.get_docstring(tree(path)) or "").partition("\n")[0]

    assert [
        place(path) for path in LIBRARY + SERVICES if not first_line(path).endswith((".", ":", "?"))
    ] == []


def test_no_module_reads_the_environment_when_it_is_imported() -> None:
    reads = [
        f"{place(path)}:{getattr(node, 'lineno', 0)}"
        for path in LIBRARY + SERVICES
        for node in run_at_import(tree(path))
        if reads_environment(node)
    ]
    assert reads == []


@pytest.mark.parametrize(
    ("source", "is_read"),
    [
        ("import os\nX = os.environ['A']", True),
        ("import os\nclass C:\n    x = os.getenv('A')", True),
        ("import os\ndef f(x=os.getenv('A')): ...", True),
        ("import os\ndef f():\n    return os.environ['A']", False),
    ],
)
def test_the_check_of_environment_reads_distinguishes_import_from_call(source: str, is_read: bool) -> None:
    assert any(reads_environment(node) for node in run_at_import(ast.parse(source))) is is_read
