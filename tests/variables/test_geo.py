"""`geo`: what nginx does as well is held against it in tests/oracle."""

from __future__ import annotations

import pytest

from mailworker.variables.geo import NOWHERE, Geo, GeoRanges, read_address
from mailworker.variables.template import parse
from mailworker.variables.variables import Variables
from tests.variables.facts import Session


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (b"1.2.3.4", (0x01020304, False)),
        (b"::1", (1, True)),
        (b"::ffff:1.2.3.4", (0x01020304, False)),
        (b"256.1.1.1", (NOWHERE, False)),
        (b"unix:", (NOWHERE, False)),
        (b"", (NOWHERE, False)),
        (b"::1%lo", (NOWHERE, False)),
        (b"1.2.3." + b"9" * 10_000, (NOWHERE, False)),
        (b"\xff", (NOWHERE, False)),
    ],
)
def test_addresses_are_read_and_all_else_is_nowhere(text: bytes, address: tuple[int, bool]) -> None:
    assert read_address(text) == address


def test_the_longest_prefix_decides() -> None:
    geo = Geo(parse(b"$remote_addr"), {0: {0: b"any"}, 24: {0xC63364: b"net"}}, {0: {0: b"six"}})
    assert Variables({"g": geo}).find("g")(Session()) == b"net"
    assert set(geo.outcomes()) == {b"", b"any", b"net", b"six"}


def test_a_range_ends_where_it_ends() -> None:
    ranges = GeoRanges(parse(b"$remote_user"), (5, 9), (6, 9), (b"a", b"b"), b"-")
    find = Variables({"g": ranges}).find("g")
    texts = [b"0.0.0.4", b"0.0.0.5", b"0.0.0.6", b"0.0.0.7", b"0.0.0.9", b"::5"]
    assert [find(Session(remote_user=text)) for text in texts] == [b"-", b"a", b"a", b"-", b"b", b"-"]
    assert set(ranges.outcomes()) == {b"a", b"b", b"-"}
