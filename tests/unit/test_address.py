"""Addresses of boards: every form that is understood, and one line for the others."""

import pytest

from taskgen.boards.address import Address, parse_addresses
from taskgen.errors import AddressError


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("172.25.1.2", ["172.25.1.2:3001"]),
        (" 172.25.1.2 ", ["172.25.1.2:3001"]),
        ("172.25.1.2:4000", ["172.25.1.2:4000"]),
        ("board-7", ["board-7:3001"]),
        ("board-7.lab_2.example:1", ["board-7.lab_2.example:1"]),
        ("[::1]:65535", ["[::1]:65535"]),
        ("[::1]", ["[::1]:3001"]),
        ("::1", ["[::1]:3001"]),
        ("127.0.10.0/30", ["127.0.10.1:3001", "127.0.10.2:3001"]),
        ("127.0.10.3/30:5", ["127.0.10.1:5", "127.0.10.2:5"]),
        ("127.0.10.4/32", ["127.0.10.4:3001"]),
        ("127.0.10.4/31", ["127.0.10.4:3001", "127.0.10.5:3001"]),
        ("fd00::/127", ["[fd00::]:3001", "[fd00::1]:3001"]),
        ("[fd00::/127]:7", ["[fd00::]:7", "[fd00::1]:7"]),
    ],
)
def test_an_address_names_its_boards(text: str, addresses: list[str]) -> None:
    assert [str(address) for address in parse_addresses(text)] == addresses


def test_boards_named_twice_are_there_once_in_the_order_they_were_given() -> None:
    found = parse_addresses(["b", "127.0.10.0/30", "127.0.10.1", "b:3001", "b:3002"])
    assert [str(address) for address in found] == [
        "b:3001",
        "127.0.10.1:3001",
        "127.0.10.2:3001",
        "b:3002",
    ]


def test_an_address_without_a_port_gets_the_one_given_beside_it() -> None:
    assert parse_addresses(["a", "b:1"], 9) == [Address("a", 9), Address("b", 1)]


def test_a_range_of_28_bits_has_14_boards() -> None:
    assert len(parse_addresses("127.0.10.0/28")) == 14


@pytest.mark.parametrize("address", [Address("board", 3), Address("::1", 4), Address("127.0.0.1", 5)])
def test_a_boards_name_leads_back_to_its_address(address: Address) -> None:
    assert parse_addresses(str(address)) == [address]


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", ":", ":3001", "a:", "a:0", "a:65536", "a:-1", "a:x", "a:1:2", "-a", "a-", "a b", "a..b"),
        *(".a", "a.", "x" * 64, "ä", "http://a", "[::1", "::1]", "[a]:b", "1.2.3", "999.1.1.1", "1.2.3.4.5"),
        *("a/b", "1.2.3.4/33", "1.2.3.4/", "1.2.3.4/24/24", "0.0.0.0/0", "10.0.0.0/8", "fd00::/64"),
    ],
)
def test_an_invalid_address_is_named_with_a_valid_example(text: str) -> None:
    with pytest.raises(AddressError) as raised:
        parse_addresses(text)
    assert repr(text)[1:-1].strip() in str(raised.value) or "no board" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    ["127.0.61.1-4", "127.0.61.1-127.0.61.4", "127.0.61.1-4:3001", "10-20", "127.0.61.*", "[fd00::1-4]"],
)
def test_a_range_that_is_not_cidr_is_not_a_host_name_and_the_error_says_how_to_write_it(text: str) -> None:
    with pytest.raises(AddressError, match=r"write a range as CIDR, such as '127.0.61.0/29'"):
        parse_addresses(text)


def test_no_board_at_all_is_an_error() -> None:
    with pytest.raises(AddressError, match="no board given"):
        parse_addresses([])
