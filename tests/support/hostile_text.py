"""Text as nobody should be able to bring it onto somebody's terminal."""

from __future__ import annotations

import re

MARKUP = "[/red][bold]:skull:[link=x]"
"""What Rich would take for markup: a closing tag without its opening ends a command with a traceback."""
HOSTILE = f"{MARKUP}\x1b]0;owned\x07\x1b[31m\x9b2J\u202egpj\r\nall is well\\[red]\x7f"
SHOWN = rf"{MARKUP}\x1b]0;owned\x07\x1b[31m\x9b2J\u202egpj\r\nall is well\[red]\x7f"
IN_XML = "".join(f"&#{ord(one)};" for one in HOSTILE if one not in "\x1b\x07")
"""As an attribute's value; XML has no way to write the two."""


def assert_harmless(said: str, *, tracebacks: int = 0) -> None:
    """Everything in it can be seen, and nothing of it was taken for a line of its own or for a command."""
    assert said.count("Traceback") == tracebacks, said
    assert [line for line in said.split("\n") if not line.isprintable()] == []
    assert re.search(r"^all is well", said, re.MULTILINE) is None


def unwrapped(said: str) -> str:
    """What stood in a table's cell, where a line was not long enough for it."""
    return re.sub(r"[│┃|]?[ ]*\n[│┃|]?[ ]*", "", said)
