"""A proxy before a broker that cuts connections during the handshake, or lets nothing through any more."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Final
from urllib.parse import urlsplit

_HEADER: Final = struct.Struct(">BHI")
"""Of a frame of AMQP: type, channel and length of what follows, before one octet that ends it."""


class HandshakeCutter:
    """Accepts connections at `url` and passes them on to a broker.

    Args:
        url: of the broker.
        cuts: the number of connections to cut.
        frames: the number of the broker's frames, with the answers to them, to pass on before a cut.
    """

    def __init__(self, url: str, cuts: int, frames: int) -> None:
        parts = urlsplit(url)
        self._broker = (parts.hostname or "", parts.port or 5672)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._frames = frames
        self.cuts_left = cuts
        self._is_flowing = threading.Event()
        self._is_flowing.set()
        port = self._listening.getsockname()[1]
        self.url = parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{port}").geturl()

    def run(self) -> None:
        """Serve until the listening socket is closed."""
        with ExitStack() as stack, suppress(OSError):
            while True:
                client = stack.enter_context(self._listening.accept()[0])
                broker = stack.enter_context(socket.create_connection(self._broker))
                if self.cuts_left:
                    self._cut(client, broker)
                else:
                    for ends in ((client, broker), (broker, client)):
                        threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def fall_silent(self) -> None:
        """Pass nothing on any more, and close nothing, as a broker that hangs."""
        self._is_flowing.clear()

    def close(self) -> None:
        """Accept no more."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _cut(self, client: socket.socket, broker: socket.socket) -> None:
        broker.sendall(client.recv(4096))
        for number in range(self._frames):
            client.sendall(_frame(broker))
            answer = client.recv(4096)
            if number < self._frames - 1:
                broker.sendall(answer)
        client.close()
        broker.close()
        self.cuts_left -= 1

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._is_flowing.wait()
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)


@contextmanager
def handshake_cutter(url: str, cuts: int = 0, frames: int = 0) -> Iterator[HandshakeCutter]:
    """A cutter that runs."""
    cutter = HandshakeCutter(url, cuts, frames)
    thread = threading.Thread(target=cutter.run)
    thread.start()
    try:
        yield cutter
    finally:
        cutter.close()
        thread.join()


def _frame(broker: socket.socket) -> bytes:
    header = broker.recv(_HEADER.size, socket.MSG_WAITALL)
    return header + broker.recv(_HEADER.unpack(header)[2] + 1, socket.MSG_WAITALL)
