from __future__ import annotations

import subprocess
import sys
from ipaddress import ip_network

import pytest

from mailworker.config import values
from tests.support.patience import PATIENCE


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("0", 0),
        ("007", 7),
        (str(sys.maxsize), sys.maxsize),
        (str(sys.maxsize + 1), None),
        ("0" * 50 + "5", 5),
        ("9" * 4000, None),
        ("", None),
        ("-1", None),
        ("+1", None),
        ("1k", None),
        ("\u0663", None),
    ],
)
def test_number(word: str, value: int | None) -> None:
    assert values.number(word) == value


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("1", 1),
        ("2k", 2048),
        ("2K", 2048),
        ("3m", 3 * 2**20),
        ("3M", 3 * 2**20),
        (f"{sys.maxsize >> 10}k", sys.maxsize >> 10 << 10),
        (f"{(sys.maxsize >> 10) + 1}k", None),
        ("1g", None),
        ("k", None),
        ("", None),
        ("1kk", None),
    ],
)
def test_size(word: str, value: int | None) -> None:
    assert values.size(word) == value


def test_offset_knows_gigabytes() -> None:
    assert (values.offset("1g"), values.offset("1G"), values.offset("1t")) == (2**30, 2**30, None)


def test_numbers_and_sizes_are_as_wide_as_addresses_but_offsets_and_milliseconds_have_64_bits() -> None:
    """As on a system of 32 bits, where the C of a worker takes no more."""
    text = "import sys; sys.maxsize = 2**31 - 1; from mailworker.config import values as v; print("
    text += "v.number('2147483647'), v.number('2147483648'), v.size('2047m'), v.size('2048m'), v.seconds('2147483648'),"
    text += "v.offset('4g'), v.milliseconds('30d'), v.milliseconds('2592000000ms'))"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout == f"2147483647 None {2047 << 20} None None {4 << 30} 2592000.0 2592000.0\n"


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("0", 0.0),
        ("5", 5.0),
        ("1500ms", 1.5),
        ("1m30s", 90.0),
        ("1m 30s", 90.0),
        ("1m  30", 90.0),
        ("1w2d3h4m5s6ms", 788645.006),
        ("10 5", 15.0),
        (" 10", 10.0),
        ("1hm", 3600.0),
        ("500ms3", 3.5),
        ("", None),
        (" ", None),
        ("s", None),
        ("1y", None),
        ("1M", None),
        ("30s1m", None),
        ("1s1s", None),
        ("5s 5s", None),
        ("1.5s", None),
        ("-1s", None),
        ("9223372036854775807", None),
    ],
)
def test_milliseconds_gives_seconds(word: str, value: float | None) -> None:
    assert values.milliseconds(word) == value


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("5", 5),
        ("1y", 31_536_000),
        ("1M", 2_592_000),
        ("1y1M1w1d1h1m1s", 34_822_861),
        ("1ms", None),
        ("1M1y", None),
    ],
)
def test_seconds_knows_years_but_no_milliseconds(word: str, value: int | None) -> None:
    assert values.seconds(word) == value


@pytest.mark.parametrize(("word", "value"), [("on", True), ("OFF", False), ("On", True), ("1", None), ("", None)])
def test_flag(word: str, value: bool | None) -> None:
    assert values.choice(word, {"on": True, "off": False}) is value


def test_only_ascii_letters_have_a_case() -> None:
    assert values.choice("\u212a", {"k": 1}) is None


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("10.0.0.0/8", ("10.0.0.0/8", False)),
        ("10.0.0.1/8", ("10.0.0.0/8", True)),
        ("10.0.0.1", ("10.0.0.1/32", False)),
        ("::1", ("::1/128", False)),
        ("::1/64", ("::/64", True)),
        ("0.0.0.0/0", ("0.0.0.0/0", False)),
        ("1.2.3.4/33", None),
        ("1.2.3.4/", None),
        ("1.2.3/8", None),
        ("255.255.255.255", None),
        ("name", None),
    ],
)
def test_network(word: str, value: tuple[str, bool] | None) -> None:
    expected = None if value is None else (ip_network(value[0]), value[1])
    assert values.network(word) == expected


@pytest.mark.parametrize(
    ("value", "word"),
    [(0, "0"), (1, "1"), (1023, "1023"), (1024, "1k"), (4096, "4k"), (2**20, "1m"), (2**20 + 1024, "1025k")],
)
def test_a_size_is_spelled_as_short_as_it_can_be(value: int, word: str) -> None:
    assert values.spell_size(value) == word
    assert values.size(word) == value


@pytest.mark.parametrize(
    ("value", "word"),
    [
        *((0.0, "0"), (0.001, "1ms"), (0.5, "500ms"), (1.0, "1s"), (1.5, "1500ms"), (60.0, "60s"), (90.0, "90s")),
        *((300.0, "5m"), (3600.0, "60m"), (7200.0, "2h"), (86400.0, "24h")),
    ],
)
def test_a_time_is_spelled_as_in_nginx_s_documentation(value: float, word: str) -> None:
    assert values.spell_time(value) == word
    assert values.milliseconds(word) == value
