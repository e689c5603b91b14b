"""Where simulated boards listen: `ADDRESS`, `ADDRESS:PORT`, or a range such as `127.0.10.0/28:3001`."""

from __future__ import annotations

import ipaddress
from itertools import islice
from typing import Final

from taskgen.boards.protocol import DEFAULT_PORT
from taskgen.errors import AddressError

_LAST_PORT: Final = 65535


def places(listen: str, count: int | None = None) -> list[tuple[str, int]]:
    """The address and port of each board.

    Args:
        listen: one address: boards get successive ports (port 0: any free ones); a range: successive
            addresses with the same port.
        count: how many; None: one, or all of the range.

    Raises:
        AddressError: it cannot be understood, or has no room for so many.
    """
    host, _, port_text = listen.partition(":")
    port = _port(port_text, listen) if port_text else DEFAULT_PORT
    if count is not None and count < 1:
        raise AddressError(f"{count} boards: write 1 or more")
    if "/" in host:
        return [(address, port) for address in _hosts(host, count)]
    _address(host)
    count = count or 1
    if port and port + count - 1 > _LAST_PORT:
        raise AddressError(f"{count} boards from port {port}: ports end at {_LAST_PORT}; write a lower one")
    return [(host, port + number if port else 0) for number in range(count)]


def _port(text: str, listen: str) -> int:
    if not text.isdecimal() or int(text) > _LAST_PORT:
        raise AddressError(f"{listen!r}: {text!r} is no port; write ADDRESS:PORT with 0 to {_LAST_PORT}")
    return int(text)


def _address(host: str) -> None:
    try:
        ipaddress.IPv4Address(host)
    except ValueError as error:
        raise AddressError(f"{host!r} is no IPv4 address; write one such as 127.0.0.1") from error


def _hosts(network: str, count: int | None) -> list[str]:
    try:
        hosts = ipaddress.IPv4Network(network).hosts()
    except ValueError as error:
        raise AddressError(f"{network!r} is no range: {error}; write one such as 127.0.10.0/28") from error
    found = [str(host) for host in islice(hosts, count)]
    if count is not None and len(found) < count:
        raise AddressError(f"{network} has {len(found)} addresses, fewer than {count} boards")
    return found
