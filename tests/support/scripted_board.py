"""A board that follows a test's script word by word, for what no simulated board would do."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from taskgen.boards.taskloader_protocol import NAME_BYTES, WORD, Answer, Command
from tests.support.profiles import profile_document

_DEADLINE_S: Final = 30.0


class BoardConnection:
    """The board's end of one connection. Reading blocks; a client that is gone raises `ConnectionError`."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self.binaries: list[str] = []

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def send_frame(self, document: bytes) -> None:
        self.send(WORD.pack(len(document)) + document)

    def send_events(self, *events: tuple[str, int, int]) -> None:
        self.send_frame(profile_document(*events))

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self._socket.recv(size - len(data))
            if not piece:
                raise ConnectionAbortedError("the client is gone")
            data += piece
        return data

    def word(self) -> int:
        (word,) = WORD.unpack(self.read(WORD.size))
        return int(word)

    def payload(self) -> bytes:
        return self.read(self.word())

    def obey_until(self, last: Command, *, is_newer: bool = True) -> list[Command]:
        """Take what a client sends up to a command, and answer as a board does; returns the commands."""
        said: list[Command] = []
        while last not in said:
            said.append(Command(self.word()))
            if said[-1] is Command.SEND_BINARIES:
                self._take_binaries()
            elif said[-1] in {Command.SEND_DESCS, Command.OPTIMIZE}:
                self.payload()
            elif said[-1] is Command.AVAILABLE and is_newer:
                self.send(WORD.pack(Answer.AVAILABLE))
            elif said[-1] is Command.GET_LIVE:
                self.send_frame(b"<live/>")
        return said

    def wait_for_end(self) -> None:
        """Read, and throw away, until the client closes."""
        while self._socket.recv(65536):
            pass

    def _take_binaries(self) -> None:
        for _ in range(self.word()):
            self.send(WORD.pack(Answer.GO_SEND))
            self.binaries.append(self.read(NAME_BYTES).rstrip(b"\0").decode())
            self.payload()


Script = Callable[[BoardConnection], None]


def finish_run(line: BoardConnection) -> None:
    """Report the only job of the only task, and that there are no others, up to the client's next probe."""
    line.send_events(("START", 0, 1), ("EXIT", 0, 2), ("JOBS_DONE", 0, 2))
    line.obey_until(Command.AVAILABLE)


@contextmanager
def scripted_board(*scripts: Script, host: str = "127.0.0.1") -> Iterator[str]:
    """Serve one connection for each script, one after the other; the last script serves all further ones.

    What goes wrong in a script is raised at the end, except for a client that is gone.
    """
    failures: list[BaseException] = []
    with socket.create_server((host, 0)) as listening:
        address = "{}:{}".format(*listening.getsockname())
        is_over = threading.Event()

        def serve() -> None:
            number = 0
            while True:
                connection, _ = listening.accept()
                with connection:
                    if is_over.is_set():
                        return
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    connection.settimeout(_DEADLINE_S)
                    try:
                        scripts[min(number, len(scripts) - 1)](BoardConnection(connection))
                    except ConnectionError:
                        pass
                    except BaseException as error:  # noqa: BLE001 - raised again below
                        failures.append(error)
                number += 1

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield address
        finally:
            is_over.set()
            with socket.create_connection(listening.getsockname()):
                thread.join(_DEADLINE_S)
    if failures:
        raise failures[0]
