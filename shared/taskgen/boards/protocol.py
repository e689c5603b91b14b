"""The words of the Taskloader's wire protocol: docs/taskloader.md, section 1.

All words are unsigned 32-bit little-endian integers.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

DEFAULT_PORT: Final = 3001
NAME_BYTES: Final = 16
"""The size of a binary's name on the wire: at most 15 ASCII characters, padded with NULs."""

WORD: Final = struct.Struct("<I")


class Command(IntEnum):
    """What a client sends."""

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
    """What a board sends besides frames. Both values are also valid frame sizes (`taskloader_protocol`)."""

    GO_SEND = 0x90
    AVAILABLE = 0xAAAAA


def command(word: Command, *payloads: bytes) -> bytes:
    """Encode a command; each payload is preceded by its size."""
    return WORD.pack(word) + b"".join(WORD.pack(len(p)) + p for p in payloads)


def padded(document: bytes) -> bytes:
    """Append spaces to a document, so that a board can safely read it as unknown commands.

    The newest public dom0 reads OPTIMIZE, its size and its XML as commands of four bytes each. A length that
    is not a multiple of four would misalign it permanently, and a length that equals a command would be
    executed. Four bytes of ASCII text are never a command.
    """
    length = -(-len(document) // WORD.size) * WORD.size
    while length in _COMMANDS:
        length += WORD.size
    return document.ljust(length)


def binary(name: str, content: bytes) -> bytes:
    """Encode what follows a GO_SEND: name, size, content."""
    return name.encode("ascii").ljust(NAME_BYTES, b"\0") + WORD.pack(len(content)) + content
