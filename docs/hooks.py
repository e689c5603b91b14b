"""What MkDocs does not do by itself: pages from outside docs/, a warning for each undocumented name."""

from __future__ import annotations

import logging
import posixpath
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).parents[1]
OUTSIDE: Final = {
    # page outside docs/: its place in the site
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
} | {
    f"services/{name.parent.name}/README.md": f"services/{name.parent.name}.md"
    for name in ROOT.glob("services/*/README.md")
}
SOURCES: Final = {in_site: source for source, in_site in OUTSIDE.items()}

_DIRECTIVE: Final = re.compile(r"^::: ([\w.]+)", re.MULTILINE)
_LINK: Final = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<target>[^)\s:#]+)(?P<anchor>#[^)\s]*)?\)")
_log: Final = logging.getLogger("mkdocs.hooks.taskgen")
"""MkDocs counts what is logged below `mkdocs`; with `strict`, one warning fails the build."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that live outside docs/."""
    for source, in_site in OUTSIDE.items():
        files.append(File.generated(config, in_site, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Check the names that a page documents, and make links work that are written for the repository."""
    for name in _DIRECTIVE.findall(markdown):
        for undocumented in undocumented_names(_package()[name.removeprefix("taskgen.")]):
            _log.warning("%s: %s has no docstring", page.file.src_uri, undocumented)
    return _LINK.sub(lambda link: link_in_site(link, page.file.src_uri), markdown)


def link_in_site(link: re.Match[str], page: str) -> str:
    """A link as the site needs it: to a page, or just its text where a file has none in the site."""
    source = Path(SOURCES.get(page, f"docs/{page}"))
    meant = Path(posixpath.normpath(source.parent / link["target"]))
    if (ROOT / meant).is_dir():
        meant /= "index.md"
    if meant.as_posix() in OUTSIDE:
        place = Path(OUTSIDE[meant.as_posix()])
    elif meant.is_relative_to("docs"):
        place = meant.relative_to("docs")
    else:
        return link["text"] if (ROOT / meant).exists() else link[0]
    target = posixpath.relpath(place, Path(page).parent)
    return f"[{link['text']}]({target}{link['anchor'] or ''})"


@cache
def _package() -> griffe.Object | griffe.Alias:
    return griffe.load("taskgen", search_paths=[ROOT / "shared"])


def undocumented_names(parent: griffe.Object | griffe.Alias) -> Iterator[str]:
    """The public names in a module or class, however deep, that nothing is said of.

    A constructor's `Args:` also document the attributes of the same names.
    """
    if not parent.has_docstring:
        yield parent.path
    arguments = _documented_arguments(parent)
    for name, member in parent.members.items():
        is_private = name.startswith("_") and not name.startswith("__taskset_")
        if is_private or member.is_alias or member.is_module:
            continue
        if member.is_class:
            yield from undocumented_names(member)
        elif not member.has_docstring and name not in arguments:
            yield member.path


def _documented_arguments(parent: griffe.Object | griffe.Alias) -> set[str]:
    constructor = parent.members.get("__init__")
    docstrings = [found.docstring for found in (parent, constructor) if found and found.docstring]
    return {
        argument.name
        for docstring in docstrings
        for section in docstring.parse("google", warnings=False)
        if section.kind is griffe.DocstringSectionKind.parameters
        for argument in section.value
    }
