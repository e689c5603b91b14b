"""Text from outside, made fit for a terminal, a log or an error: nothing in it acts, and it may be cut."""

from __future__ import annotations

from typing import Final

REASON_CHARACTERS: Final = 200
"""As long a reason may be; what a board or a message says in it could go on for megabytes."""
_MARK: Final = "…"


def printable(text: object, longest: int | None = None) -> str:
    r"""A text as one line in which every character is seen: ESC as `\x1b`, a line break as `\n`.

    That covers control characters, escape sequences, what turns the direction of writing, and surrogates.
    Doing it again changes nothing.

    Args:
        text: from a board, a message, a file or a user; anything else as its `str`.
        longest: so many characters are kept, the last of which then says that there were more.
    """
    found = _text(text)
    if longest is not None:
        found = found[: longest + 1]  # one more, so that a text that is too long stays so
    if not found.isprintable():
        found = "".join(map(_visible, found))
    if longest is not None and len(found) > longest:
        found = found[: longest - 1] + _MARK
    return found


def brief(text: object) -> str:
    """A reason, or what else is said of something from outside: printable, and cut at 200 characters."""
    return printable(text, REASON_CHARACTERS)


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - an error of a user's own, whose `__str__` fails
        return f"<a {type(value).__name__} without a text>"


def _visible(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
