from __future__ import annotations

import json
from fnmatch import translate
from ipaddress import ip_network
from re import IGNORECASE, compile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.wire.control_request import (
    LIMIT,
    BadControlRequest,
    ControlLines,
    Mask,
    Read,
    flag,
    mask,
    network,
    one_of,
    parse,
    take,
    text,
    whole,
)
from tests.support.cpu_time import CpuTime


def test_a_request_is_a_command_and_its_keys() -> None:
    assert parse(b'{"cmd": "kick", "user": "a", "rate": 5}') == ("kick", {"user": "a", "rate": 5})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "is not valid JSON"),
        (b"kick", "is not valid JSON"),
        (b"\xff", "is not valid JSON"),
        (b"[" * LIMIT, "is not valid JSON"),  # nested too deeply; Python 3.13 reads to the end
        (b"[]", "a request is a JSON object"),
        (b'"kick"', "a request is a JSON object"),
        (b"{}", 'names its command by "cmd"'),
        (b'{"cmd": 1}', 'names its command by "cmd"'),
        (b'{"cmd": "a", "cmd": "b"}', "a key is repeated"),
        (b'{"cmd": "a", "rate": NaN}', "NaN is not valid JSON"),
        (b'{"cmd": "a", "rate": -Infinity}', "-Infinity is not valid JSON"),
    ],
)
def test_what_is_no_request_is_told_so(line: bytes, reason: str) -> None:
    with pytest.raises(BadControlRequest, match=reason):
        parse(line)


OBJECTS = st.dictionaries(st.sampled_from(["cmd", "user"]) | st.text(max_size=5), st.text() | st.integers() | st.none())


@given(st.binary(max_size=300) | OBJECTS.map(lambda keys: json.dumps(keys).encode()))
def test_any_bytes_are_a_request_or_refused(data: bytes) -> None:
    try:
        command, keys = parse(data)
    except BadControlRequest:
        return
    assert isinstance(command, str)
    assert "cmd" not in keys


@given(st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line)), st.integers(1, 20))
def test_lines_are_the_same_however_they_come(lines: list[bytes], piece: int) -> None:
    data = b"".join(line + b"\n" for line in lines) + b"rest"
    found, cutter = [], ControlLines()
    for start in range(0, len(data), piece):
        cutter.feed(data[start : start + piece])
        while (line := cutter.next()) is not None:
            found.append(line)
    assert found == lines
    assert cutter.rest() == b"rest"


def test_a_line_has_a_bound() -> None:
    lines = ControlLines()
    lines.feed(b"x" * (LIMIT - 1))
    assert lines.next() is None
    assert lines.room == 1
    lines.feed(b"x")
    with pytest.raises(BadControlRequest, match="at most 4096 bytes"):
        lines.next()


def test_keys_that_the_command_does_not_know_are_refused() -> None:
    with pytest.raises(BadControlRequest, match='unknown key "usr"'):
        take({"usr": "x"}, {"user": text})


@pytest.mark.parametrize(
    ("read", "value", "meant"),
    [
        (flag, True, True),
        (text, "a b", "a b"),
        (whole(1, 3), 3, 3),
        (one_of({"a": 1}), "a", 1),
        (network, "192.0.2.7/24", ip_network("192.0.2.0/24")),
        (network, "::1", ip_network("::1")),
        (network, "::ffff:192.0.2.7", ip_network("192.0.2.7")),
        (network, "::ffff:192.0.2.7/120", ip_network("192.0.2.0/24")),
        (network, "::/0", ip_network("::/0")),
        (network, "unix:", "unix:"),
    ],
)
def test_values_are_read(read: Read, value: Any, meant: Any) -> None:
    assert take({"key": value}, {"key": read}) == {"key": meant}


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (flag, 1), (flag, "true"), (flag, None),
        *((text, word) for word in ("", "x" * 257, "a\nb", "\x1b[0m")), (text, 1), (text, None), (text, ["a"]),
        *((whole(1, 3), number) for number in (0, 4, 1.0, True, 10**400)), (whole(1, 3), "1"), (whole(1, 3), None),
        (one_of({"a": 1}), "b"), (one_of({"a": 1}), None), (one_of({"a": 1}), []),
        *((network, word) for word in ("nobody", "1.2.3", "")), (network, 7), (network, None),
        (mask, ""), (mask, 1), (mask, None), (mask, "\n"),
    ],
)  # fmt: skip
def test_values_of_another_kind_are_refused(read: Read, value: Any) -> None:
    with pytest.raises(BadControlRequest, match='"key" must be '):
        take({"key": value}, {"key": read})


@pytest.mark.parametrize(
    ("mask", "name", "fits"),
    [
        ("bob", "bob", True),
        ("bob", "bobby", False),
        ("bob", "BoB", True),
        ("*@example.com", "a@Example.com", True),
        ("*@example.com", "a@example.com.evil", False),
        ("*@example.com", "a@exampleXcom", False),
        ("b?b", "bib", True),
        ("b?b", "bb", False),
        ("*", "", True),
        ("a*b*c", "a1b2c", True),
        ("a*b*c", "a1c2b", False),
        ("[ab]", "a", False),
        ("[ab]", "[ab]", True),
        ("a\\b", "a\\b", True),
    ],
)
def test_a_mask_is_as_doveadms(mask: str, name: str, fits: bool) -> None:
    assert Mask(mask).fits(name) is fits
    assert str(Mask(mask)) == mask


@given(st.text("ab*?", min_size=1, max_size=12), st.text("abAB", max_size=12))
def test_masks_are_those_of_shells(mask: str, name: str) -> None:
    assert Mask(mask).fits(name) is (compile(translate(mask), IGNORECASE).match(name) is not None)


def test_no_mask_takes_long() -> None:
    with CpuTime() as took:
        assert not Mask("*a" * 127 + "*b").fits("a" * 255)
    assert took.seconds < 1


def test_a_request_may_be_as_long_as_its_line() -> None:
    line = json.dumps({"cmd": "sessions", "user": "x" * 256}).encode()
    assert len(line) < LIMIT
    assert parse(line)[0] == "sessions"
