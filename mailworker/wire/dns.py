"""DNS messages (RFC 1035): a question, and what a name server says to it.

Only the answer section is read, and of it only what a name's addresses and an address's name are made of; dnspython
reads the names, whose compression may point backwards only.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from dns.exception import DNSException, FormError
from dns.name import Name, from_wire_parser
from dns.wire import Parser

MOST_ALIASES: Final = 50
"""CNAME records followed from one name (nginx: NGX_RESOLVER_MAX_RECURSION)."""

# Records read of one answer, so that the worst one takes a tenth of a second; one datagram holds some 30.
_MOST_RECORDS = 256

# ID, flags and the number of questions, answers, authorities and additional records (RFC 1035 section 4.1.1).
_HEADER = struct.Struct("!6H")
_RESPONSE = 0x8000
_OPCODE = 0x7800
_TRUNCATED = 0x0200
_RECURSION_DESIRED = 0x0100
_RCODE = 0x000F

_INTERNET = 1
_CNAME = 5

# RFC 2181 section 8: a TTL with its highest bit set is to be taken for 0.
_LONGEST_TTL = 0x7FFFFFFF


class RecordType(IntEnum):
    """What can be asked for (RFC 1035 section 3.2.2, RFC 3596 section 2.1)."""

    A = 1
    PTR = 12
    AAAA = 28


# Bytes of an address.
_LENGTHS = {RecordType.A: 4, RecordType.AAAA: 16}


class Rcode(IntEnum):
    """How a server answers (RFC 1035 section 4.1.1)."""

    NO_ERROR = 0
    FORMAT_ERROR = 1
    SERVER_FAILURE = 2
    NAME_ERROR = 3
    NOT_IMPLEMENTED = 4
    REFUSED = 5


# nginx's words (ngx_resolver_strerror).
_DESCRIPTIONS: dict[int, str] = {
    Rcode.FORMAT_ERROR: "Format error",
    Rcode.SERVER_FAILURE: "Server failure",
    Rcode.NAME_ERROR: "Host not found",
    Rcode.NOT_IMPLEMENTED: "Unimplemented",
    Rcode.REFUSED: "Operation refused",
}


def describe(rcode: int) -> str:
    """What nginx logs for an answer's code."""
    return _DESCRIPTIONS.get(rcode, "Unknown error")


def to_name(text: bytes) -> Name:
    """The absolute name that `text` spells, without its last dot; raises DNSException where DNS has no such name."""
    return Name([*text.split(b"."), b""])


@dataclass(frozen=True, slots=True)
class Question:
    """Equal whatever the letters' case."""

    name: Name
    type: RecordType

    def to_wire(self) -> bytes:
        """The question section, in the Internet class."""
        return self.name.to_digestable() + struct.pack("!2H", self.type, _INTERNET)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server says.

    `records` are addresses as they go over the wire, or a name in lower case without its last dot. `aliases` CNAME
    records were followed, to `canonical`. `ttl` is the seconds that all of it may be kept.
    """

    rcode: int
    truncated: bool
    canonical: Name
    aliases: int = 0
    records: tuple[bytes, ...] = ()
    ttl: int = 0


@dataclass(frozen=True, slots=True)
class Query:
    """A question as it is put to one server once; `id`, of 16 bits, should be one that nobody can guess."""

    id: int
    question: Question

    def to_wire(self) -> bytes:
        """The message."""
        return _HEADER.pack(self.id, _RECURSION_DESIRED, 1, 0, 0, 0) + self.question.to_wire()

    def read(self, message: bytes) -> Answer | None:
        """The answer in `message`; None for whatever is no answer to this query, or is broken."""
        try:
            return self._read(Parser(message))
        except DNSException:
            return None

    def _read(self, parser: Parser) -> Answer | None:
        number, flags, questions, answers, _, _ = _HEADER.unpack(parser.get_bytes(_HEADER.size))
        if number != self.id or not flags & _RESPONSE or flags & _OPCODE:
            return None
        rcode = flags & _RCODE
        question = self.question
        if rcode == Rcode.FORMAT_ERROR or rcode > Rcode.REFUSED:
            return Answer(rcode, False, question.name)  # the server may not have understood the question
        if questions != 1 or not _repeats(parser, question):
            return None
        if rcode or flags & _TRUNCATED:
            return Answer(rcode, bool(flags & _TRUNCATED), question.name)
        return _Section(parser, question.type, answers).answer(question.name)


def _repeats(parser: Parser, question: Question) -> bool:
    name = from_wire_parser(parser)
    return name == question.name and parser.get_struct("!2H") == (question.type, _INTERNET)


class _Section:
    """An answer section: the records of the type that was asked for and the aliases, by their owners.

    An address has one name, the first: the others are not worth the time to read them.
    """

    __slots__ = ("_aliases", "_records")

    def __init__(self, parser: Parser, type_: RecordType, count: int) -> None:
        self._aliases: dict[Name, tuple[Name, int]] = {}
        self._records: dict[Name, list[tuple[bytes, int]]] = {}
        for owner, record_type, ttl, length in _headers(parser, min(count, _MOST_RECORDS)):
            if record_type == _CNAME:
                self._aliases.setdefault(owner, (_read_name(parser, length), ttl))
            elif record_type == type_ and not (type_ is RecordType.PTR and owner in self._records):
                self._records.setdefault(owner, []).append((_read_value(parser, type_, length), ttl))
            else:
                parser.get_bytes(length)

    def answer(self, name: Name) -> Answer:
        """What is said about `name`."""
        aliases, ttl = 0, _LONGEST_TTL
        while name not in self._records and name in self._aliases and aliases < MOST_ALIASES:
            name, alias_ttl = self._aliases[name]
            ttl = min(ttl, alias_ttl)
            aliases += 1
        records = self._records.get(name, [])
        values = tuple(value for value, _ in records)
        ttl = min((ttl, *(record_ttl for _, record_ttl in records)))
        return Answer(Rcode.NO_ERROR, False, name, aliases, values, ttl)


def _headers(parser: Parser, count: int) -> Iterator[tuple[Name, int, int, int]]:
    """Owner, type, TTL and length of each record; whoever iterates reads its data. Foreign classes have type 0."""
    for _ in range(count):
        owner = from_wire_parser(parser)
        type_, class_, ttl, length = parser.get_struct("!HHIH")
        yield owner, type_ if class_ == _INTERNET else 0, ttl if ttl <= _LONGEST_TTL else 0, length


def _read_name(parser: Parser, length: int) -> Name:
    with parser.restrict_to(length):
        return from_wire_parser(parser)


def _read_value(parser: Parser, type_: RecordType, length: int) -> bytes:
    if type_ is RecordType.PTR:
        return b".".join(_read_name(parser, length).labels[:-1]).lower()
    if length != _LENGTHS[type_]:
        raise FormError
    return parser.get_bytes(length)
