"""A text from outside, once it is printable, acts on no terminal, stays on its line and has an end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskgen.untrusted_text import REASON_CHARACTERS, brief, printable

any_text = st.text(st.characters(), max_size=400)
"""Surrogates and control characters too."""


@given(any_text)
def test_every_character_can_be_seen(text: str) -> None:
    assert printable(text).isprintable()


@given(any_text)
def test_doing_it_again_changes_nothing(text: str) -> None:
    assert printable(printable(text)) == printable(text)
    assert brief(brief(text)) == brief(text)


@given(any_text.filter(str.isprintable))
def test_visible_text_stays_unchanged(text: str) -> None:
    assert printable(text) == text


@given(any_text, st.integers(1, 300))
def test_text_that_is_too_long_is_cut_with_an_ellipsis(text: str, longest: int) -> None:
    whole, cut = printable(text), printable(text, longest)
    assert cut == (whole if len(whole) <= longest else f"{whole[: longest - 1]}…")


def test_a_reason_has_limited_length() -> None:
    assert brief("a" * REASON_CHARACTERS) == "a" * REASON_CHARACTERS
    assert brief("a" * 20_000_000) == f"{'a' * (REASON_CHARACTERS - 1)}…"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x9b31m\x7f\x00", r"\x9b31m\x7f\x00"),
        ("one\r\n\ttwo", r"one\r\n\ttwo"),
        ("\u202egpj.exe\u2066", r"\u202egpj.exe\u2066"),
        ("\ud800", r"\ud800"),
        ("\u2028\u200b\U000e0041", r"\u2028\u200b\U000e0041"),
        (r"\x1b", r"\x1b"),
        ("[/red] Grüße 日本", "[/red] Grüße 日本"),
    ],
)
def test_characters_that_would_act_are_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_an_error_that_has_no_text_is_named() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise ValueError("no text")

    assert brief(MuteError()) == "<a MuteError without a text>"
