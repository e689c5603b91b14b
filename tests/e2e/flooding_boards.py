"""Boards that say all events of a task-set as fast as they are read; its binary's name says what kind.

Runs where the simulated boards do, with nothing but what is installed there.
"""

from __future__ import annotations

import socket
import sys
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import suppress

from taskgen.boards.taskloader_protocol import WORD, Answer, Command

_CHILDREN = "".join(
    f'\t\t\t<task id="{number}" session="init -> taskloader -> hey" thread="hey" state="RUNNING" '
    'execution-time="1234"/>\n'
    for number in range(8)
)
SHAPES = {
    # name of the binary: events in a frame, more attributes of an event, what is inside an event
    "ordinary": (2, "", ""),
    "children": (100, "", _CHILDREN),
    "long": (100, f' note="{"x" * 1024}"', ""),
    "huge": (1, f' note="{"x" * 512 * 1024}"', ""),
}
_PIECE = 64 * 1024


def event(seq: int, more: str, inside: str) -> str:
    """An event as boards write it."""
    kind = "EXIT" if seq % 2 else "START"
    head = f'\t\t<event type="{kind}" task-id="0" time-stamp="{276427 + seq}"{more}'
    return f"{head}>\n{inside}\t\t</event>\n" if inside else f"{head}/>\n"


def frames(shape: str, events: int) -> Iterator[bytes]:
    """All frames of a run."""
    size, more, inside = SHAPES[shape]
    for first in range(0, events, size):
        lines = "".join(event(seq, more, inside) for seq in range(first, min(first + size, events)))
        document = f"<profile>\n\t<events>\n{lines}\t</events>\n</profile>\n\0".encode()
        yield WORD.pack(len(document)) + document


class Board:
    """One client's conversation."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._taskset = b""

    def serve(self) -> None:
        """Obey until the client is gone."""
        while True:
            word = self._word()
            if word == Command.SEND_DESCS:
                self._taskset = self._read(self._word())
            elif word == Command.OPTIMIZE:
                self._read(self._word())
            elif word == Command.AVAILABLE:
                self._socket.sendall(WORD.pack(Answer.AVAILABLE))
            elif word == Command.START:
                self._flood()

    def _flood(self) -> None:
        task = ET.fromstring(self._taskset)[0]
        jobs = int(task.findtext("numberofjobs") or 0)
        piece = bytearray()
        for frame in frames(task.findtext("pkg") or "", 2 * jobs):
            piece += frame
            if len(piece) > _PIECE:
                self._socket.sendall(piece)
                piece.clear()
        self._socket.sendall(piece)

    def _word(self) -> int:
        (word,) = WORD.unpack(self._read(WORD.size))
        return int(word)

    def _read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            found = self._socket.recv(size - len(data))
            if not found:
                raise ConnectionAbortedError("the client is gone")
            data += found
        return bytes(data)


def serve(port: int) -> None:
    """Serve one client after the other, for ever."""
    with socket.create_server(("0.0.0.0", port)) as listening:
        while True:
            connection, _ = listening.accept()
            with connection, suppress(ConnectionError):
                Board(connection).serve()


if __name__ == "__main__":
    first, count = int(sys.argv[1]), int(sys.argv[2])
    threads = [threading.Thread(target=serve, args=(first + number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
