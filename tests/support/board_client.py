"""A client of a simulated board that sends and reads one thing at a time, for tests of the board."""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import xmltodict

from taskgen.boards.taskloader_protocol import Answer, Command, command
from taskgen.simulation import run_boards
from taskgen.task import Task
from taskgen.taskset import TaskSet

FAST = 1000.0
GO_SEND = struct.pack("<I", Answer.GO_SEND)
AVAILABLE = struct.pack("<I", Answer.AVAILABLE)


class BoardClient:
    """What a person with a socket could send to a board; every read has a deadline."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def say(self, word: Command, *payloads: bytes) -> None:
        """Send a command."""
        self._socket.sendall(command(word, *payloads))

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def read(self, count: int) -> bytes:
        """Exactly that many bytes.

        Raises:
            EOFError: the board closed the connection before; carries what came.
        """
        data = b""
        while len(data) < count:
            piece = self._socket.recv(count - len(data))
            if not piece:
                raise EOFError(data)
            data += piece
        return data

    def frame(self) -> bytes:
        """The document of the next frame."""
        (size,) = struct.unpack("<I", self.read(4))
        return self.read(size)

    def events(self) -> list[tuple[str, str, int]]:
        """Type, task id and time stamp of the events of the next frame."""
        document = self.frame().split(b"</profile>")[0] + b"</profile>"
        parsed = xmltodict.parse(document, force_list=("event",))
        return [
            (event["@type"], event["@task-id"], int(event["@time-stamp"]))
            for event in parsed["profile"]["events"]["event"]
        ]

    def until(self, *last: tuple[str, str]) -> list[tuple[str, str, int]]:
        """The events up to the frame by which all of these (type, task id) have come."""
        read: list[tuple[str, str, int]] = []
        while not set(last) <= {(kind, task_id) for kind, task_id, _ in read}:
            read += self.events()
        return read

    def until_available(self) -> list[bytes]:
        """The documents of the frames that come before the answer AVAILABLE."""
        documents: list[bytes] = []
        while (size := struct.unpack("<I", self.read(4))[0]) != Answer.AVAILABLE:
            documents.append(self.read(size))
        return documents

    def start(self, *tasks: Task) -> None:
        """Have the board run these tasks, and no others."""
        self.say(Command.CLEAR)
        self.say(Command.SEND_DESCS, TaskSet(tasks).xml())
        self.say(Command.START)

    def is_silent(self) -> bool:
        """Whether the board sends nothing for a while (it would have within milliseconds)."""
        self._socket.settimeout(0.3)
        try:
            self._socket.recv(1)
        except TimeoutError:
            return True
        else:
            return False
        finally:
            self._socket.settimeout(10)


@contextmanager
def board_client(address: str) -> Iterator[BoardClient]:
    """A connection to a board."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        yield BoardClient(connection)


@contextmanager
def client_of_new_board(**settings: Any) -> Iterator[BoardClient]:
    """A connection to a simulated board of its own, which is fast unless the settings say otherwise."""
    with run_boards(**({"speed": FAST} | settings)) as (address,), board_client(address) as client:
        yield client


def without_time_stamps(events: list[tuple[str, str, int]]) -> list[tuple[str, str]]:
    """Type and task id of each event."""
    return [(kind, task_id) for kind, task_id, _ in events]
