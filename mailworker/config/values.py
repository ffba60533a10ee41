"""Conversion of words to values, by nginx's rules. Every function returns None for an invalid word."""

from __future__ import annotations

import mmap
import re
import sys
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final, NamedTuple, TypeVar

from mailworker.config.addresses import ipv4_text, ipv6_text

V = TypeVar("V")

PAGE: Final = mmap.PAGESIZE  # bytes: nginx's default for buffers
LARGEST: Final = sys.maxsize  # the largest value of nginx's integers, as of C's long: 2**31 - 1 on 32-bit systems
LONGEST: Final = 2**63 - 1  # milliseconds, and bytes of a file, on any system


class Bounds(NamedTuple):
    """The range of a number or a size, both ends included."""

    least: int
    most: int

    def allow(self, value: int) -> bool:
        return self.least <= value <= self.most


ANY: Final = Bounds(0, LARGEST)  # for values that only this program uses
C_INT: Final = Bounds(0, 2**31 - 1)  # for ints of system calls and libraries; nginx passes the low 32 bits
BUFFER: Final = C_INT  # bytes that one connection may take

_DIGITS = re.compile(r"[0-9]+")
_SIZE = re.compile(r"([0-9]+)([kKmM]?)")
_OFFSET = re.compile(r"([0-9]+)([kKmMgG]?)")
_TIME_GROUP = re.compile(r"([0-9]*)(ms|[yMwdhms ]) *")

_SCALES = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}

# unit: (place in the order that groups must keep, milliseconds)
_UNITS = {
    "y": (1, 365 * 86_400_000),
    "M": (2, 30 * 86_400_000),
    "w": (3, 7 * 86_400_000),
    "d": (4, 86_400_000),
    "h": (5, 3_600_000),
    "m": (6, 60_000),
    "s": (7, 1000),
    "ms": (8, 1),
    " ": (7, 1000),
}
# unit: the shortest time that is spelled with it, in milliseconds
_SPELLED = {"h": 7_200_000, "m": 120_000, "s": 1000, "ms": 1}
_FIRST_OF_MILLISECONDS: Final = 3  # such times have no years and months
_LAST: Final = 9


def same_word(word: str, other: str) -> bool:
    """Whether two words are equal, ignoring the case of ASCII letters."""
    return word == other or (word.isascii() and word.lower() == other.lower())


def number(word: str) -> int | None:
    """A number of decimal digits."""
    if not _DIGITS.fullmatch(word):
        return None
    value = _decimal(word)
    return value if value <= LARGEST else None


def _decimal(digits: str) -> int:
    """The number, 0 without digits; with too many digits, some number that is too large."""
    return int(digits or "0") if len(digits) < 40 else int(digits.lstrip("0")[:40] or "0")


def size(word: str) -> int | None:
    """A size in bytes, with the suffixes "k" and "m" in either case."""
    return _scaled(_SIZE.fullmatch(word), LARGEST)


def offset(word: str) -> int | None:
    """A size of a file in bytes, with the suffix "g" as well."""
    return _scaled(_OFFSET.fullmatch(word), LONGEST)


def _scaled(match: re.Match[str] | None, largest: int) -> int | None:
    if match is None:
        return None
    value = _decimal(match[1]) * _SCALES[match[2].lower()]
    return value if value <= largest else None


def milliseconds(word: str) -> float | None:
    """Seconds, for a time with units from "w" to "ms"."""
    value = _time(word, _FIRST_OF_MILLISECONDS - 1, _UNITS["ms"][0])
    return None if value is None or value > LONGEST else value / 1000


def seconds(word: str) -> int | None:
    """Whole seconds, for a time with units from "y" to "s"."""
    value = _time(word, 0, _UNITS["s"][0])
    return None if value is None or value // 1000 > LARGEST else value // 1000


def _time(word: str, step: int, finest: int) -> int | None:
    """Milliseconds. The units must come in order, after unit `step` and not beyond `finest`."""
    total = position = 0
    digits_seen = False
    while group := _TIME_GROUP.match(word, position):
        place, scale = _UNITS[group[2]]
        if place <= step or place > finest:
            return None
        digits_seen = digits_seen or bool(group[1])
        total += _decimal(group[1]) * scale
        step = _LAST if group[2] == " " else place
        position = group.end()
    rest = word[position:]
    if not (_DIGITS.fullmatch(rest) or (digits_seen and not rest)):
        return None
    return total + _decimal(rest) * 1000


def spell_size(value: int) -> str:
    """A size in its shortest form."""
    unit = next((unit for unit in ("m", "k") if value and value % _SCALES[unit] == 0), "")
    return f"{value // _SCALES[unit]}{unit}"


def spell_time(seconds: float) -> str:
    """A time as in nginx's documentation: 60s is not written as 1m, and 86400s as 24h."""
    total = round(seconds * 1000)
    if not total:
        return "0"
    unit = next(unit for unit, least in _SPELLED.items() if total % _UNITS[unit][1] == 0 and total >= least)
    return f"{total // _UNITS[unit][1]}{unit}"


def choice(word: str, table: Mapping[str, V]) -> V | None:
    """The value of `word` in `table`, ignoring case."""
    return next((value for name, value in table.items() if same_word(word, name)), None)


def network(word: str) -> tuple[IPv4Network | IPv6Network, bool] | None:
    """An address or CIDR block, and whether it has host bits."""
    address, slash, mask = word.partition("/")
    text = ipv4_text(address) or ipv6_text(address)
    if text is None:
        return None
    longest = 128 if ":" in text else 32
    prefix = number(mask) if slash else longest
    if prefix is None or prefix > longest:
        return None
    block = ip_network(f"{text}/{prefix}", strict=False)
    return block, block.network_address != ip_network(text).network_address
