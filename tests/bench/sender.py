"""A board in a process of its own that says frames as fast as it is read, or one at a time with the time."""

import argparse
import time

from taskgen.boards.taskloader_protocol import Command
from tests.support.profiles import profile_document
from tests.support.scripted_board import BoardConnection, scripted_board

TASKS = 7


def frame(events: int) -> bytes:
    """A document as boards write it."""
    return profile_document(
        *[("START" if n % 2 == 0 else "EXIT", n // 2 % TASKS, 276427 + n) for n in range(events)]
    )


def flood(line: BoardConnection, frames: int, events: int) -> None:
    """A run of so many frames, then one that ends it."""
    line.obey_until(Command.START)
    document = frame(events)
    piece = len(document).to_bytes(4, "little") + document
    for _ in range(frames // 100):
        line.send(piece * 100)
    line.send_events(("LAST", 0, 1), *[("JOBS_DONE", task, 2) for task in range(TASKS)])
    line.obey_until(Command.AVAILABLE)


def tick(line: BoardConnection, frames: int) -> None:
    """A run of frames of one event whose time stamp is this machine's clock in ns, one every 2 ms."""
    line.obey_until(Command.START)
    for _ in range(frames):
        time.sleep(0.002)
        line.send_events(("TICK", 0, time.monotonic_ns()))
    line.send_events(("LAST", 0, 1))
    line.obey_until(Command.AVAILABLE)


def main() -> None:
    """Serve until killed; the first line of output is the address."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, required=True)
    parser.add_argument("--events", type=int, help="in each frame; without it, one with the time")
    wanted = parser.parse_args()

    def script(line: BoardConnection) -> None:
        while True:
            if wanted.events is None:
                tick(line, wanted.frames)
            else:
                flood(line, wanted.frames, wanted.events)

    with scripted_board(script) as address:
        print(address, flush=True)
        time.sleep(3600)


if __name__ == "__main__":
    main()
