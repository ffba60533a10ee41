"""DNS messages (RFC 1035): a question, and a name server's answer.

Only the answer section is read, and only records of addresses, names of addresses, and aliases. Names are in wire
format, without compression and in lower case, so equal names are equal bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from mailworker.errors import MailworkerError, Party, ProtocolError

MOST_ALIASES: Final = 50
"""CNAME records followed from one name (nginx: NGX_RESOLVER_MAX_RECURSION)."""

# Limits for one answer, so that the worst one takes some 2 ms. One datagram holds 30 records and 250 labels.
_MOST_RECORDS = 256
_MOST_LABELS = 2048

# Most bytes of a name and of a label (RFC 1035 section 2.3.4), and the first byte of a pointer (section 4.1.4).
_LONGEST_NAME = 255
_LONGEST_LABEL = 63
_POINTER = 0xC0

# ID, flags and the number of questions, answers, authorities and additional records (RFC 1035 section 4.1.1).
_HEADER = struct.Struct("!6H")
_RESPONSE = 0x8000
_OPCODE = 0x7800
_TRUNCATED = 0x0200
_RECURSION_DESIRED = 0x0100
_RCODE = 0x000F

# Type, class, TTL and length of data of a record, type and class of a question (section 4.1.3).
_RECORD = struct.Struct("!HHIH")
_TYPE_AND_CLASS = struct.Struct("!2H")

_INTERNET = 1
_CNAME = 5

# RFC 2181 section 8: a TTL with its highest bit set is treated as 0.
_LONGEST_TTL = 0x7FFFFFFF


class RecordType(IntEnum):
    """The record types of queries (RFC 1035 section 3.2.2, RFC 3596 section 2.1)."""

    A = 1
    PTR = 12
    AAAA = 28


# Length of an address in bytes.
_LENGTHS = {RecordType.A: 4, RecordType.AAAA: 16}


class Rcode(IntEnum):
    """The response codes of answers (RFC 1035 section 4.1.1)."""

    NO_ERROR = 0
    FORMAT_ERROR = 1
    SERVER_FAILURE = 2
    NAME_ERROR = 3
    NOT_IMPLEMENTED = 4
    REFUSED = 5


# nginx's texts (ngx_resolver_strerror).
_DESCRIPTIONS: dict[int, str] = {
    Rcode.FORMAT_ERROR: "Format error",
    Rcode.SERVER_FAILURE: "Server failure",
    Rcode.NAME_ERROR: "Host not found",
    Rcode.NOT_IMPLEMENTED: "Unimplemented",
    Rcode.REFUSED: "Operation refused",
}


def describe(rcode: int) -> str:
    """nginx's text for a response code."""
    return _DESCRIPTIONS.get(rcode, "Unknown error")


def to_name(text: bytes) -> bytes:
    """The wire format of the name `text`, which has no final dot; raises NoName if it is no valid DNS name."""
    labels = text.lower().split(b".")
    name = b"".join(bytes([len(label) & 0xFF]) + label for label in labels) + b"\0"
    if len(name) > _LONGEST_NAME or not all(1 <= len(label) <= _LONGEST_LABEL for label in labels):
        raise NoName
    return name


class NoName(MailworkerError):
    """The text is no valid DNS name."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question; its `name` is from `to_name`, or from an answer."""

    name: bytes
    type: RecordType

    def to_wire(self) -> bytes:
        """The question section, in the Internet class."""
        return self.name + _TYPE_AND_CLASS.pack(self.type, _INTERNET)


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's answer.

    `records` are addresses in wire format, or a name in lower case without its final dot. `aliases` is the number of
    CNAME records that lead to `canonical`. `ttl` is the seconds for which the answer may be cached.
    """

    rcode: int
    truncated: bool
    canonical: bytes
    aliases: int = 0
    records: tuple[bytes, ...] = ()
    ttl: int = 0


@dataclass(frozen=True, slots=True)
class Query:
    """A question that is sent once to one server; `id`, of 16 bits, must not be predictable."""

    id: int
    question: Question

    def to_wire(self) -> bytes:
        """The message."""
        return _HEADER.pack(self.id, _RECURSION_DESIRED, 1, 0, 0, 0) + self.question.to_wire()

    def read(self, message: bytes) -> Answer | None:
        """The answer in `message`; None if it does not answer this query, or is broken."""
        try:
            return self._read(message)
        except ProtocolError:
            return None

    def _read(self, message: bytes) -> Answer | None:
        if len(message) < _HEADER.size:
            return None
        number, flags, questions, answers, _, _ = _HEADER.unpack_from(message)
        if number != self.id or not flags & _RESPONSE or flags & _OPCODE:
            return None
        rcode = flags & _RCODE
        question = self.question
        if rcode == Rcode.FORMAT_ERROR or rcode > Rcode.REFUSED:
            return Answer(rcode, False, question.name)  # the server may not have understood the question
        repeated = question.to_wire()
        start = _HEADER.size + len(repeated)
        if questions != 1 or message[_HEADER.size : start].lower() != repeated.lower():
            return None
        if rcode or flags & _TRUNCATED:
            return Answer(rcode, bool(flags & _TRUNCATED), question.name)
        return _Section(message, start, question.type, answers).answer(question.name)


def id_of(message: bytes) -> int:
    """The query ID in `message`; -1 if it is too short to have one."""
    return int.from_bytes(message[:2], "big") if len(message) >= _HEADER.size else -1


class _Section:
    """An answer section: the records of the queried type and the aliases, by their owners.

    Only the first name of an address and the first alias of a name are read.
    """

    __slots__ = ("_aliases", "_names", "_records")

    def __init__(self, message: bytes, start: int, type_: RecordType, count: int) -> None:
        self._names = _Names(message)
        self._aliases: dict[bytes, tuple[bytes, int]] = {}
        self._records: dict[bytes, list[tuple[bytes, int]]] = {}
        for owner, record_type, ttl, place, end in self._headers(message, start, min(count, _MOST_RECORDS)):
            if record_type == _CNAME:
                if owner not in self._aliases:
                    self._aliases[owner] = self._name(place, end), ttl
            elif record_type == type_ is RecordType.PTR:
                if owner not in self._records:
                    self._records[owner] = [(_text(self._name(place, end)), ttl)]
            elif record_type == type_:
                if end - place != _LENGTHS[type_]:
                    raise _broken()
                self._records.setdefault(owner, []).append((message[place:end], ttl))

    def answer(self, name: bytes) -> Answer:
        """The answer for `name`."""
        aliases, ttl = 0, _LONGEST_TTL
        while name not in self._records and name in self._aliases and aliases < MOST_ALIASES:
            name, alias_ttl = self._aliases[name]
            ttl = min(ttl, alias_ttl)
            aliases += 1
        records = self._records.get(name, [])
        values = tuple(value for value, _ in records)
        ttl = min((ttl, *(record_ttl for _, record_ttl in records)))
        return Answer(Rcode.NO_ERROR, False, name, aliases, values, ttl)

    def _headers(self, message: bytes, place: int, count: int) -> Iterator[tuple[bytes, int, int, int, int]]:
        """Owner, type, TTL, and start and end of the data of each record. Records of other classes have type 0."""
        for _ in range(count):
            if self._names.exhausted:
                return
            owner, place = self._names.read(place)
            if place + _RECORD.size > len(message):
                raise _broken()
            type_, class_, ttl, length = _RECORD.unpack_from(message, place)
            place += _RECORD.size
            end = place + length
            if end > len(message):
                raise _broken()
            yield owner, type_ if class_ == _INTERNET else 0, ttl if ttl <= _LONGEST_TTL else 0, place, end
            place = end

    def _name(self, place: int, end: int) -> bytes:
        """The name that fills a record's data."""
        name, after = self._names.read(place)
        if after != end:
            raise _broken()
        return name


class _Names:
    """The names of one message: each label is read once, however many pointers lead to it."""

    __slots__ = ("_known", "_labels", "_message")

    def __init__(self, message: bytes) -> None:
        self._message = message
        self._known: dict[int, tuple[bytes, int]] = {}
        self._labels = 0

    @property
    def exhausted(self) -> bool:
        """Whether the limit of labels and pointers is reached, so that the rest is not read."""
        return self._labels >= _MOST_LABELS

    def read(self, start: int) -> tuple[bytes, int]:
        """The name that begins at `start`, and the end of its bytes there."""
        known, message = self._known, self._message
        places = self._way(start)
        self._labels += len(places)
        for place in reversed(places):
            length = message[place]
            if length >= _POINTER:
                known[place] = known[_target(message, place)][0], place + 2
            elif length:
                rest, end = known[place + 1 + length]
                name = message[place : place + 1 + length].lower() + rest
                if len(name) > _LONGEST_NAME:
                    raise _broken()
                known[place] = name, end
            else:
                known[place] = b"\0", place + 1
        return known[start]

    def _way(self, start: int) -> list[int]:
        """The places of a name's labels and pointers, up to its end or to a known one; pointers must go back."""
        known, message = self._known, self._message
        places: list[int] = []
        place = earliest = start
        while place not in known:
            if place >= len(message) or len(places) > _LONGEST_NAME:
                raise _broken()
            places.append(place)
            length = message[place]
            if not length:
                break
            if length <= _LONGEST_LABEL:
                place += 1 + length
                continue
            place = _target(message, place)
            if place >= earliest:
                raise _broken()
            earliest = place
        return places


def _target(message: bytes, place: int) -> int:
    """The target of the pointer at `place`."""
    if message[place] < _POINTER or place + 2 > len(message):
        raise _broken()
    return (message[place] & ~_POINTER) << 8 | message[place + 1]


def _text(name: bytes) -> bytes:
    """The text of a name: its labels with dots between them."""
    labels, place = [], 0
    while length := name[place]:
        labels.append(name[place + 1 : place + 1 + length])
        place += 1 + length
    return b".".join(labels)


def _broken() -> ProtocolError:
    return ProtocolError(Party.RESOLVER, "broken DNS message")
