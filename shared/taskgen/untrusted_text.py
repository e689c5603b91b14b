"""Makes untrusted text safe for a terminal, a log or an error: escapes it, and shortens it if necessary."""

from __future__ import annotations

from typing import Final

REASON_CHARACTERS: Final = 200
"""The maximum length of a reason; what a board or a message puts in it could be megabytes long."""
_MARK: Final = "…"


def printable(text: object, longest: int | None = None) -> str:
    r"""Return a text as one line in which every character is visible: ESC as `\x1b`, a line break as `\n`.

    That covers control characters, escape sequences, changes of the writing direction, and surrogates. The
    function is idempotent.

    Args:
        text: from a board, a message, a file or a user; of anything else, its `str`.
        longest: the maximum length; the last character of a text that was cut is an ellipsis.
    """
    found = _text(text)
    if longest is not None:
        found = found[: longest + 1]  # one more, so that a text that is too long remains too long
    if not found.isprintable():
        found = "".join(map(_visible, found))
    if longest is not None and len(found) > longest:
        found = found[: longest - 1] + _MARK
    return found


def brief(text: object) -> str:
    """Return a reason, or another text from outside, printable and cut at 200 characters."""
    return printable(text, REASON_CHARACTERS)


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - the `__str__` of a user's own error may fail
        return f"<a {type(value).__name__} without a text>"


def _visible(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
