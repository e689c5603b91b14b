"""The words of the Taskloader's wire protocol; see docs/taskloader.md, section 1.

All words are unsigned 32-bit little-endian.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

DEFAULT_PORT: Final = 3001
NAME_BYTES: Final = 16
"""A binary's name on the wire: at most 15 ASCII characters, padded with NUL."""

WORD: Final = struct.Struct("<I")


class Command(IntEnum):
    """What a client says."""

    SEND_DESCS = 0xDE5
    CLEAR = 0xDE6
    SEND_BINARIES = 0xDE5F11E
    START = 0x514DE5
    STOP = 0x514DE6
    OPTIMIZE = 0x6F7074
    GET_PROFILE = 0x159D1
    GET_LIVE = 0x159D2
    AVAILABLE = 0xAAAAA
    REBOOT = 0x159D3


_COMMANDS: Final = frozenset(Command)


class Answer(IntEnum):
    """What a board says besides frames. Both values are legal frame sizes too: see `framing`."""

    GO_SEND = 0x90
    AVAILABLE = 0xAAAAA


def command(word: Command, *payloads: bytes) -> bytes:
    """The bytes of one command; each payload is preceded by its size."""
    return WORD.pack(word) + b"".join(WORD.pack(len(p)) + p for p in payloads)


def padded(document: bytes) -> bytes:
    """The document with spaces behind it, so that a board may read it as unknown commands.

    The newest public dom0 takes OPTIMIZE, its size and its XML for commands of four bytes each: any other
    length would leave it misaligned for good, and a length that is a command's value would be obeyed. No
    four bytes of ASCII text are a command.
    """
    length = -(-len(document) // WORD.size) * WORD.size
    while length in _COMMANDS:
        length += WORD.size
    return document.ljust(length)


def binary(name: str, content: bytes) -> bytes:
    """The bytes that follow one GO_SEND: name, size, content."""
    return name.encode("ascii").ljust(NAME_BYTES, b"\0") + WORD.pack(len(content)) + content
