"""Commands as bytes: what a board that does not know one of them makes of its data."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskgen.boards.taskloader_protocol import WORD, Command, padded
from taskgen.taskset import to_xml

_COMMANDS = set(Command)
_LARGEST = 2**24
"""No document is as long as the one command above it."""
_documents = st.binary(min_size=1, max_size=200).map(lambda data: bytes(byte & 0x7F or 0x20 for byte in data))


@given(_documents)
def test_padding_is_spaces_up_to_whole_words(document: bytes) -> None:
    found = padded(document)
    assert found.rstrip(b" ") == document.rstrip(b" ")
    assert len(document) <= len(found) < len(document) + WORD.size
    assert len(found) % WORD.size == 0


@given(_documents)
def test_no_word_of_a_padded_document_is_a_command(document: bytes) -> None:
    assert not _COMMANDS.intersection(word for (word,) in WORD.iter_unpack(padded(document)))


@pytest.mark.parametrize("command", [command for command in Command if command < _LARGEST])
def test_no_size_of_a_padded_document_is_a_command(command: Command) -> None:
    for size in range(max(1, command - 2 * WORD.size), command + 2 * WORD.size):
        found = len(padded(bytes(size)))
        assert found not in _COMMANDS
        assert found % WORD.size == 0
        assert size <= found < size + 2 * WORD.size


def test_admission_control_data_is_padded_behind_the_document() -> None:
    document = to_xml({"optimize": {"query_interval": 1000}})
    assert padded(document).rstrip() == document
