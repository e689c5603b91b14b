"""The documentation: every page is found, the site holds together, and its pictures can be made again."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docs.pictures.make import shown

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SOURCES = ("mkdocs.yml", "CONTRIBUTING.md", "CHANGELOG.md", "docs", "shared", "services")

WORDS = {
    *(
        "task-set",
        "variant",
        "run",
        "attempt",
        "job",
        "release",
        "response time",
        "miss",
        "campaign",
        "board",
    ),
    *("outcome", "decision", "lease", "outbox", "quarantine", "dead letter"),
    *("sink", "controller", "distributor", "handler", "profile", "event"),
}


def build(root: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build the site as `make docs` does (with `--quiet`, MkDocs would count no warnings)."""
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", site],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def linked(page: Path) -> set[Path]:
    """The files that a page links to; an index stands for its folder."""
    targets = re.findall(r"\]\(([^)#\s:]+)", page.read_text())
    found = {(page.parent / target).resolve() for target in targets}
    return {path / "index.md" if path.is_dir() else path for path in found}


def test_every_page_and_schema_is_reachable_from_the_index() -> None:
    reached, waiting = set[Path](), [DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        waiting += [path for path in linked(page) - reached if path.suffix == ".md" and path.exists()]
    files = {file for page in reached for file in linked(page)}
    assert {page for page in DOCS.rglob("*.md") if page not in reached} == set()
    assert {schema for schema in DOCS.rglob("*.json") if schema not in files} == set()


def test_the_site_is_built_without_a_warning_and_fetches_nothing(tmp_path: Path) -> None:
    built = build(ROOT, tmp_path)
    assert built.returncode == 0, built.stderr
    assert {path.name for path in (tmp_path / "messages").glob("*.json")} == {
        path.name for path in (DOCS / "messages").glob("*.json")
    }
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > len(list(DOCS.rglob("*.md")))
    loaded = re.compile(
        r"<(?:script|img|iframe)\b[^>]*\bsrc=\"?(?:https?:)?//|<link\b[^>]*\bhref=\"?(?:https?:)?//"
    )
    assert {page.name for page in pages if loaded.search(page.read_text())} == set()


def test_a_broken_link_a_lost_page_and_an_undocumented_name_fail_the_build(tmp_path: Path) -> None:
    for name in SOURCES:
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, tmp_path / name)
    with (tmp_path / "docs" / "glossary.md").open("a") as glossary:
        glossary.write("\n[a](nowhere.md) [b](index.md#nowhere) [c](../nowhere.py)\n")
    (tmp_path / "docs" / "lost.md").write_text("# Nobody links to this\n")
    with (tmp_path / "shared" / "taskgen" / "errors.py").open("a") as errors:
        errors.write("\n\nclass Mute(TaskgenError):\n    loud = 1\n\n    def shout(self) -> None: ...\n")
    built = build(tmp_path, tmp_path / "site")
    assert built.returncode == 1
    for fault in (
        "'nowhere.md'",
        "'#nowhere'",
        "'../nowhere.py'",
        "lost.md",
        "taskgen.errors.Mute has no docstring",
        "taskgen.errors.Mute.loud has no docstring",
        "taskgen.errors.Mute.shout has no docstring",
    ):
        assert fault in built.stdout + built.stderr, built.stdout + built.stderr


def test_the_glossary_has_every_word_that_the_commands_use() -> None:
    defined = re.findall(r"^\| \*\*(.+?)\*\* \|", (DOCS / "glossary.md").read_text(), re.MULTILINE)
    assert WORDS - set(defined) == set()
    assert len(defined) == len(set(defined))


@pytest.mark.parametrize(
    ("output", "lines"),
    [
        ("a\r\nb\r\n", ["a", "b"]),
        ("1 of 2\r\x1b[2K2 of 2", ["2 of 2"]),
        ("a\r\nb\r\n\r\x1b[1A\x1b[2K\x1b[1A\x1b[2Kc\r\n", ["c"]),
        ("\x1b[?25l\x1b[31mred\x1b[0m\x1b[?25h", ["\x1b[31mred\x1b[0m"]),
    ],
)
def test_a_picture_shows_what_a_terminal_would(output: str, lines: list[str]) -> None:
    assert shown(output) == lines


def test_the_pictures_can_be_made_again_and_need_no_network(tmp_path: Path) -> None:
    made = subprocess.run(
        [sys.executable, DOCS / "pictures" / "make.py", tmp_path],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (made.returncode, made.stderr) == (0, "")
    live, result = (
        (tmp_path / name).read_text().replace("&#160;", " ") for name in ("live.svg", "result.svg")
    )
    assert "of 384 runs" in live
    assert "127.0.10.14:3001" in live
    assert "EXIT_CRITICAL" in result
    for svg in (live, result, *(path.read_text() for path in (DOCS / "pictures").glob("*.svg"))):
        assert not re.search(r"@font-face|@import|url\(['\"]?http|href=[\"'](?!#)", svg)
