"""Questions and answers as bytes; dnspython's own messages are the other side."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from itertools import pairwise
from types import FrameType
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mailworker.wire.dns
from mailworker.wire.dns import Answer, NoName, Query, Question, RecordType, describe, id_of, to_name
from tests.support.name_server import build

ADDRESS = bytes([192, 0, 2, 1])
PTR = "1.2.0.192.in-addr.arpa"
QUERY = Query(4660, Question(to_name(b"mail.example"), RecordType.A))
POINTER_QUERY = Query(4660, Question(to_name(PTR.encode()), RecordType.PTR))


def respond(query: Query, *rrsets: tuple[str, int, str, str], rcode: str = "NOERROR", flags: int = 0) -> bytes:
    return build(dns.message.from_wire(query.to_wire()), *rrsets, rcode=rcode, flags=flags).to_wire(max_size=65535)


def answer_to(query: Query, *rrsets: tuple[str, int, str, str], rcode: str = "NOERROR", flags: int = 0) -> Answer:
    answer = query.read(respond(query, *rrsets, rcode=rcode, flags=flags))
    assert answer is not None
    return answer


def with_data(query: Query, data: bytes, count: int = 1) -> bytes:
    """A response to `query` with an answer section made by hand."""
    return struct.pack("!6H", query.id, 0x8180, 1, count, 0, 0) + query.question.to_wire() + data


# A name that points to the question's name, and the rest of a record but for its data.
OWNER = b"\xc0\x0c"


def record(type_: int, data: bytes, ttl: int = 60, class_: int = 1) -> bytes:
    return OWNER + struct.pack("!HHIH", type_, class_, ttl, len(data)) + data


@pytest.mark.parametrize("type_", list(RecordType), ids=lambda type_: type_.name)
def test_a_query_is_what_dnspython_takes_for_one(type_: RecordType) -> None:
    query = dns.message.from_wire(Query(513, Question(to_name(b"a.example"), type_)).to_wire())
    assert query.id == 513
    assert query.flags == dns.flags.RD
    assert query.opcode() == dns.opcode.QUERY
    assert query.edns == -1
    expected = dns.rrset.RRset(dns.name.from_text("a.example."), dns.rdataclass.IN, dns.rdatatype.RdataType(type_))
    assert query.question == [expected]


@pytest.mark.parametrize("name", [b"", b"a..b", b".a", b"a" * 64, b".".join([b"a" * 50] * 6)])
def test_what_is_no_name_cannot_be_asked_for(name: bytes) -> None:
    with pytest.raises(NoName):
        to_name(name)


def test_addresses() -> None:
    rrsets = [("mail.example", ttl, "A", f"192.0.2.{ttl}") for ttl in (20, 10, 30)]
    answer = answer_to(QUERY, *rrsets)
    assert answer.records == tuple(bytes([192, 0, 2, ttl]) for ttl in (20, 10, 30))
    assert (answer.rcode, answer.ttl, answer.aliases) == (0, 10, 0)


def test_an_ipv6_address() -> None:
    query = Query(1, Question(to_name(b"mail.example"), RecordType.AAAA))
    answer = answer_to(query, ("mail.example", 5, "AAAA", "2001:db8::1"))
    assert answer.records == (bytes.fromhex("20010db8000000000000000000000001"),)


def test_names_are_in_lower_case() -> None:
    answer = answer_to(POINTER_QUERY, (PTR, 5, "PTR", "Mail.EXAMPLE."))
    assert answer.records == (b"mail.example",)


def test_a_name_may_hold_any_byte() -> None:
    answer = answer_to(POINTER_QUERY, (PTR, 5, "PTR", r"x\013\010Auth-Status:\032OK."))
    assert answer.records == (b"x\r\nauth-status: ok",)


def test_the_root_is_an_empty_name() -> None:
    assert answer_to(POINTER_QUERY, (PTR, 5, "PTR", ".")).records == (b"",)


def test_letters_of_the_question_may_change_their_case() -> None:
    message = respond(QUERY, ("mail.example", 5, "A", "192.0.2.1")).replace(b"\x04mail", b"\x04MaIl")
    answer = QUERY.read(message)
    assert answer is not None
    assert answer.records == (ADDRESS,)


def test_aliases_are_followed_in_any_order() -> None:
    answer = answer_to(
        QUERY,
        ("c.example", 30, "A", "192.0.2.1"),
        ("b.example", 5, "CNAME", "c.example."),
        ("mail.example", 10, "CNAME", "b.example."),
        ("stranger.example", 1, "A", "192.0.2.2"),
    )
    assert answer == Answer(0, False, to_name(b"c.example"), 2, (ADDRESS,), 5)


def test_aliases_without_an_end_tell_where_to_go_on() -> None:
    answer = answer_to(QUERY, ("mail.example", 10, "CNAME", "b.example."))
    assert answer == Answer(0, False, to_name(b"b.example"), 1, (), 10)


def test_aliases_in_a_circle_are_given_up() -> None:
    answer = answer_to(QUERY, ("mail.example", 9, "CNAME", "b.example."), ("b.example", 9, "CNAME", "mail.example."))
    assert (answer.aliases, answer.records) == (50, ())


def test_a_thousand_aliases_are_given_up() -> None:
    chain = [("mail.example", 9, "CNAME", "a0.")] + [(f"a{i}", 9, "CNAME", f"a{i + 1}.") for i in range(1000)]
    answer = answer_to(QUERY, *chain, ("a1000", 9, "A", "192.0.2.1"))
    assert (answer.aliases, answer.records) == (50, ())


def test_fifty_aliases_are_not_too_many() -> None:
    chain = [("mail.example", 9, "CNAME", "a1.")] + [(f"a{i}", 9, "CNAME", f"a{i + 1}.") for i in range(1, 50)]
    answer = answer_to(QUERY, *chain, ("a50", 9, "A", "192.0.2.1"))
    assert (answer.aliases, answer.records) == (50, (ADDRESS,))


def test_a_ttl_with_its_highest_bit_set_is_none() -> None:
    answer = QUERY.read(with_data(QUERY, record(1, ADDRESS, ttl=0x80000000)))
    assert answer is not None
    assert (answer.records, answer.ttl) == ((ADDRESS,), 0)


def test_records_of_other_types_and_classes_are_passed_over() -> None:
    data = record(16, b"\x04text") + record(1, ADDRESS, class_=3) + record(65280, b"??") + record(1, ADDRESS)
    answer = QUERY.read(with_data(QUERY, data, 4))
    assert answer is not None
    assert answer.records == (ADDRESS,)


def test_other_sections_are_not_looked_at() -> None:
    message = bytearray(respond(QUERY, ("mail.example", 5, "A", "192.0.2.1")))
    message[8:12] = b"\xff\xff\xff\xff"
    answer = QUERY.read(bytes(message) + b"\xc0\xff junk")
    assert answer is not None
    assert answer.records == (ADDRESS,)


@pytest.mark.parametrize(
    ("rcode", "number", "text"),
    [
        ("FORMERR", 1, "Format error"),
        ("SERVFAIL", 2, "Server failure"),
        ("NXDOMAIN", 3, "Host not found"),
        ("NOTIMP", 4, "Unimplemented"),
        ("REFUSED", 5, "Operation refused"),
        ("NOTAUTH", 9, "Unknown error"),
    ],
)
def test_codes_have_nginxs_descriptions(rcode: str, number: int, text: str) -> None:
    answer = answer_to(QUERY, rcode=rcode)
    assert (answer.rcode, answer.records, describe(answer.rcode)) == (number, (), text)


def test_a_server_that_did_not_understand_need_not_repeat_the_question() -> None:
    answer = QUERY.read(struct.pack("!6H", QUERY.id, 0x8181, 0, 0, 0, 0))
    assert answer is not None
    assert answer.rcode == 1


def test_truncation_shows_even_where_a_record_is_cut() -> None:
    message = respond(QUERY, ("mail.example", 5, "A", "192.0.2.1"), flags=dns.flags.TC)
    answer = QUERY.read(message[:-3])
    assert answer is not None
    assert answer.truncated


GOOD = with_data(QUERY, record(1, ADDRESS))


def header(**fields: int) -> bytes:
    values = {"id": QUERY.id, "flags": 0x8180, "questions": 1, "answers": 1} | fields
    return struct.pack("!6H", *values.values(), 0, 0) + GOOD[12:]


def question(name: bytes = b"mail.example", type_: RecordType = RecordType.A) -> bytes:
    return GOOD[:12] + Question(to_name(name), type_).to_wire() + record(1, ADDRESS)


FOREIGN = {
    "nothing": b"",
    "a part of the header": GOOD[:11],
    "another id": header(id=QUERY.id + 1),
    "a query": header(flags=0x0100),
    "another opcode": header(flags=0x8180 | 5 << 11),
    "no question": header(questions=0),
    "two questions": header(questions=2),
    "another name": question(b"mail.example.net"),
    "another type": question(type_=RecordType.AAAA),
    "another class": GOOD[:28] + b"\x00\x03" + GOOD[30:],
    "a record too few": header(answers=2),
    "a cut record": GOOD[:-1],
    "an address too short": with_data(QUERY, record(1, b"abc")),
    "an address too long": with_data(QUERY, record(1, b"abcde")),
    "a loop": with_data(QUERY, b"\xc0\x1e" + record(1, ADDRESS)[2:]),
    "a loop in data": with_data(QUERY, record(5, b"\xc0\x2a")),
    "a pointer forward": with_data(QUERY, b"\xc0\x30" + record(1, ADDRESS)[2:]),
    "a pointer beyond the end": with_data(QUERY, b"\xff\xff" + record(1, ADDRESS)[2:]),
    "a name longer than its data": with_data(QUERY, record(5, b"\x05ab") + b"cde\x00"),
    "a name shorter than its data": with_data(QUERY, record(5, b"\x02ab\x00junk")),
    "a label of an unknown type": with_data(QUERY, b"\x80a" + record(1, ADDRESS)[2:]),
    "a too long name": with_data(QUERY, record(5, (b"\x3f" + b"a" * 63) * 4 + b"\x00")),
}


@pytest.mark.parametrize("message", FOREIGN.values(), ids=FOREIGN)
def test_what_is_no_answer_is_ignored(message: bytes) -> None:
    good = QUERY.read(GOOD)
    assert good is not None
    assert good.records == (ADDRESS,)
    assert QUERY.read(message) is None


def most_records() -> bytes:
    return record(1, ADDRESS) * 4000


def longest_names() -> bytes:
    """All of them 127 labels long and each hard to read again."""
    first = record(5, b"\x01a" * 126 + b"\x00")
    start = len(with_data(QUERY, b"")) + 12
    return first + (bytes([0xC0, start]) + struct.pack("!HHIH", 5, 1, 9, 2) + bytes([0xC0, start])) * 4500


def pointers_to_pointers() -> bytes:
    """Each name is a pointer to the one before."""
    start = len(with_data(QUERY, b""))
    places = [12] + [start + 12 * i for i in range(1300)]
    return b"".join(struct.pack("!HHHIH", 0xC000 | place, 16, 1, 9, 0) for place in places)


def longest_chain() -> bytes:
    """Each alias leads to the next suffix of one name of 126 labels."""
    start = len(with_data(QUERY, b"")) + 12
    suffixes = [bytes([0xC0, start + 2 * i]) for i in range(61)]
    chain = pairwise(suffixes)
    aliases = b"".join(owner + struct.pack("!HHIH", 5, 1, 9, 2) + target for owner, target in chain)
    return record(5, b"\x01a" * 126 + b"\x00") + aliases


def labels_written_out() -> bytes:
    """No pointer, 126 labels in each owner and in its data, and no two names alike."""
    names = [b"\x04%04d" % i + b"\x01a" * 124 + b"\x00" for i in range(256)]
    pairs = pairwise(names)
    return b"".join(owner + struct.pack("!HHIH", 5, 1, 9, len(target)) + target for owner, target in pairs)


WORST = [most_records, longest_names, pointers_to_pointers, longest_chain, labels_written_out]


def lines_run(call: Callable[[], object]) -> int:
    """How many lines of the parser run: a measure of its work that no other load changes."""
    lines = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace if frame.f_code.co_filename == mailworker.wire.dns.__file__ else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return lines


@pytest.mark.parametrize("make", WORST)
@pytest.mark.parametrize("query", [QUERY, POINTER_QUERY], ids=["A", "PTR"])
def test_the_worst_messages_are_read_in_few_steps(make: Callable[[], bytes], query: Query) -> None:
    """An honest answer takes 118 lines."""
    message = with_data(query, make(), 6000)[:65535]
    assert lines_run(lambda: query.read(message)) < 40_000


def test_names_beyond_those_worth_reading_cost_no_answer() -> None:
    """What was read before them counts."""
    message = with_data(QUERY, record(1, ADDRESS) + labels_written_out(), 256)
    answer = QUERY.read(message)
    assert answer is not None
    assert answer.records == (ADDRESS,)


def test_the_id_of_a_message_is_known_before_its_query() -> None:
    assert id_of(GOOD) == QUERY.id
    assert id_of(GOOD[:11]) == id_of(b"") == -1


NAMES = st.lists(st.text("abAB-", min_size=1, max_size=12), min_size=1, max_size=8).map(".".join)


@given(NAMES, st.lists(NAMES, min_size=1, max_size=6))
def test_names_are_what_dnspython_has_written(owner: str, names: list[str]) -> None:
    """It writes one as a pointer into another wherever it can."""
    query = Query(7, Question(to_name(owner.encode()), RecordType.PTR))
    chain = zip([owner, *names], names, strict=False)
    answer = answer_to(query, *((name, 60, "CNAME", f"{target}.") for name, target in chain))
    assert answer.canonical in {to_name(name.encode()) for name in [owner, *names]}
    pointed = answer_to(query, (owner, 60, "PTR", f"{names[0]}."))
    assert pointed.records == (names[0].lower().encode(),)


@given(st.binary(max_size=600), st.integers(0, 3))
def test_any_bytes_are_an_answer_or_none(data: bytes, count: int) -> None:
    assert QUERY.read(data) is None
    for query in (QUERY, POINTER_QUERY):
        for start in (b"", record(query.question.type, ADDRESS)):
            answer = query.read(with_data(query, start + data, count))
            assert answer is None or (answer.rcode, len(answer.records)) in ((0, 0), (0, 1))


@given(st.integers(12, len(GOOD) - 1), st.binary(min_size=1, max_size=4))
def test_any_damage_gives_an_answer_or_none(place: int, damage: bytes) -> None:
    answer = QUERY.read(GOOD[:place] + damage + GOOD[place + len(damage) :])
    assert answer is None or len(answer.records) <= 1
