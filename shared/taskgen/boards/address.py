"""Addresses of boards: `host`, `host:port`, `[IPv6]:port`, and CIDR ranges with an optional port."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from taskgen.errors import AddressError

DEFAULT_PORT: Final = 3001

_MAX_BOARDS: Final = 65_536
_LABEL: Final = "[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_HOST: Final = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_ONLY_NUMBERS: Final = re.compile(r"[0-9.*-]+")
"""Never a host name: an incomplete address, or a range such as `127.0.61.1-4`."""
_EXAMPLES: Final = (
    "write '172.25.1.2', '172.25.1.2:3001', 'board-7:3001', '[::1]:3001' or a range such as '10.200.33.0/28'"
)
_RANGE_EXAMPLE: Final = "write a range as CIDR, such as '127.0.61.0/29', or give each address"


class Address(NamedTuple):
    """A board's address; its text, `host:port`, is also the board's name."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_addresses(addresses: str | Iterable[str], default_port: int = DEFAULT_PORT) -> list[Address]:
    """Return all boards that one or several addresses and ranges name, each once, in the given order.

    Raises:
        AddressError: an address is not valid, or a range is too large.
    """
    are_several = isinstance(addresses, Iterable) and not isinstance(addresses, str)
    texts = list(addresses) if are_several else [addresses]
    found = dict.fromkeys(address for text in texts for address in _parse(text, default_port))
    if not found:
        raise AddressError(f"no board given; {_EXAMPLES}")
    return list(found)


def _parse(text: object, default_port: int) -> Iterator[Address]:
    if not isinstance(text, str):
        raise AddressError(f"{text!r} is not an address of a board; {_EXAMPLES}")
    host, port = _split_port(text.strip(), default_port)
    if "/" in host:
        yield from (Address(str(member), port) for member in _members(host, text))
    elif _is_ip(host) or (_HOST.fullmatch(host) and not _ONLY_NUMBERS.fullmatch(host)):
        yield Address(host, port)
    else:
        is_range = re.fullmatch(r"[0-9a-fA-F.:]+[*-][0-9a-fA-F.:]*", host)
        raise AddressError(
            f"{text!r} is not an address of a board; {_RANGE_EXAMPLE if is_range else _EXAMPLES}"
        )


def _split_port(text: str, default_port: int) -> tuple[str, int]:
    match = re.fullmatch(r"\[([^\]]+)\](?::([^:]*))?|([^:]*)(?::([^:]*))?", text)
    if match is None:  # more than one colon, and no brackets
        return text, _port(default_port, text)
    host, port = (match[1], match[2]) if match[1] else (match[3], match[4])
    return host, _port(default_port if port is None else port, text)


def _port(port: str | int, text: str) -> int:
    if not str(port).isdecimal() or not 0 < int(port) < 2**16:
        raise AddressError(f"{text!r}: {port!r} is not a port; write a number from 1 to 65535")
    return int(port)


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _members(network: str, text: str) -> Iterator[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    try:
        parsed = ipaddress.ip_network(network, strict=False)
    except ValueError as error:
        raise AddressError(f"{text!r} is not a range of addresses; {_EXAMPLES}") from error
    if parsed.num_addresses > _MAX_BOARDS:
        raise AddressError(f"{text!r} names {parsed.num_addresses} boards; the maximum is {_MAX_BOARDS}")
    return iter(list(parsed.hosts()))
