"""Every corpus row under every chunking, and any bytes at all, through the command parsers."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.errors import Party
from mailworker.wire.command import InvalidCommand, TooLongCommand
from mailworker.wire.imap import ImapParser
from mailworker.wire.pop3 import Pop3Command, Pop3Parser
from mailworker.wire.sieve import SieveParser
from mailworker.wire.smtp import SmtpCommand, SmtpParser
from tests.support.cpu_time import CpuTime
from tests.wire import corpus_imap, corpus_pop3, corpus_sieve, corpus_smtp
from tests.wire.corpus import Case, Parser, TooLong, every_chunking, run

PARSERS: tuple[type[Parser], ...] = (ImapParser, Pop3Parser, SmtpParser, SieveParser)
ROWS: list[tuple[type[Parser], Case]] = [
    *((ImapParser, case) for case in corpus_imap.CASES),
    *((Pop3Parser, case) for case in corpus_pop3.CASES),
    *((SmtpParser, case) for case in corpus_smtp.CASES),
    *((SieveParser, case) for case in corpus_sieve.CASES),
]
FRAGMENTS = [
    *(
        b"a",
        b"tag1",
        b" ",
        b"  ",
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b'"',
        b"\\",
        b"{3}",
        b"{2+}",
        b" {3+}\r\n",
        b"{0}",
        b"{",
        b"}",
        b"+}",
    ),
    *(b"a ID (", b'"k"', b" NIL", b")\r\n", b"a FOO", b"tag/1=#"),
    *(b"LOGIN", b"NOOP", b"AUTHENTICATE", b"AUTH", b"USER", b"PASS", b"MAIL", b"EHLO", b"RCPT", b"PLAIN", b"AHUAcA=="),
    *(b"a NOOP\r\n", b"NOOP\r\n", b'a LOGIN "', b"a LOGIN {", b"{99999999999}\r\n", b"AUTH PLAIN\r\n"),
    *(
        b"AUTHENTICATE ",
        b'"PLAIN"',
        b' "AHUAcA=="\r\n',
        b"NOOP ",
        b"{9+}\r\n",
        b"PUTSCRIPT ",
        b'\\"',
        b"{4294967295+}\r\n",
    ),
]
BEGINNINGS = [
    *(b"", b"x {", b'"', b"a LOGIN ", b"a LOGIN {", b'a LOGIN "', b"a ID (", b"a ID {", b"AUTH PLAIN ", b"BDAT "),
    *(b"EHLO ", b"APOP ", b'AUTHENTICATE "PLAIN" "', b'AUTHENTICATE "PLAIN" {'),
]
REPEATED = [
    b"0",
    b"1",
    b"a",
    b" ",
    b"a ",
    b'"',
    b"\\",
    b'\\"',
    b'"\\',
    b"{",
    b"{0",
    b"}",
    b'"" ',
    b'"a" NIL ',
    b"=",
    b"A=",
    b"\xff",
]
ENDS = [b"", b"x", b"x}", b"+}", b'"', b")"]
SESSIONS = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=5)), max_size=40).map(b"".join)


def _name(value: object) -> str:
    if isinstance(value, Case):
        return repr(value.input if len(value.input) < 60 else value.input[:60] + b"...")
    return getattr(value, "__name__", "")


@pytest.mark.parametrize(("parser", "case"), ROWS, ids=_name)
def test_events_do_not_depend_on_chunking(parser: type[Parser], case: Case) -> None:
    for chunks in every_chunking(case.input):
        assert run(parser(case.limit), chunks, case.responses) == list(case.events), chunks


@pytest.mark.parametrize("parser", PARSERS)
@given(
    data=SESSIONS, cuts=st.lists(st.integers(0, 300), max_size=8), limit=st.integers(1, 64), responses=st.integers(0, 2)
)
def test_any_bytes_give_the_same_events_however_cut(
    parser: type[Parser], data: bytes, cuts: list[int], limit: int, responses: int
) -> None:
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(places)]
    whole = run(parser(limit), [data], responses)
    assert run(parser(limit), pieces, responses) == whole
    assert run(parser(limit), [data[i : i + 1] for i in range(len(data))], responses) == whole
    assert all(len(event.buffer) in (limit, len(b"...")) for event in whole if isinstance(event, TooLong))


@pytest.mark.parametrize("parser", PARSERS)
def test_feeding_more_than_there_is_room_for_is_a_bug(parser: type[Parser]) -> None:
    reader = parser(8)
    reader.feed(b"12345")
    assert reader.room == 3
    with pytest.raises(ValueError, match="4 bytes fed into room for 3"):
        reader.feed(b"6789")
    assert reader.room == 3


@pytest.mark.parametrize("repeated", REPEATED)
@pytest.mark.parametrize("parser", PARSERS)
def test_no_line_takes_long(parser: type[Parser], repeated: bytes) -> None:
    """Lines as long as the largest buffer: in quadratic time one of them took two seconds."""
    for begin, end in product(BEGINNINGS, ENDS):
        line = begin + repeated * (20_000 // len(repeated)) + end + b"\r\n"
        reader = parser(len(line) + 1)
        reader.feed(line)
        with CpuTime() as took, suppress(InvalidCommand):
            reader.next()
        assert took.seconds < 0.5, (begin, end)


@pytest.mark.parametrize("parser", PARSERS)
def test_a_full_buffer_stays_too_long(parser: type[Parser]) -> None:
    reader = parser(4)
    reader.feed(b"xxxx")
    for _ in range(2):
        with pytest.raises(TooLongCommand, match=r"^client sent too long command$") as raised:
            reader.next()
        assert raised.value.party is Party.CLIENT
        assert raised.value.buffer == b"xxxx"


@pytest.mark.parametrize("parser", PARSERS)
def test_an_invalid_command_is_the_clients_fault(parser: type[Parser]) -> None:
    reader = parser(64)
    reader.feed(b"!\r\n")
    with pytest.raises(InvalidCommand, match=r"^client sent invalid command$") as raised:
        reader.next()
    assert raised.value.party is Party.CLIENT


@pytest.mark.parametrize(("parser", "login"), [(ImapParser, b"a LOGIN u p\r\n"), (Pop3Parser, b"PASS p\r\n")])
def test_the_rest_goes_to_the_backend_untouched_and_once(parser: type[Parser], login: bytes) -> None:
    reader = parser(64)
    reader.feed(login + b"b SELECT x\r\n\0\rc")
    assert reader.next() is not None
    assert reader.rest() == b"b SELECT x\r\n\0\rc"
    assert reader.rest() == b""
    assert reader.room == 64


@pytest.mark.parametrize(
    ("parser", "starttls", "noop"),
    [
        (ImapParser, b"a STARTTLS\r\n", b"b NOOP\r\n"),
        (Pop3Parser, b"STLS\r\n", b"NOOP\r\n"),
        (SmtpParser, b"STARTTLS\r\n", b"NOOP\r\n"),
    ],
)
def test_plaintext_behind_starttls_is_discarded(parser: type[Parser], starttls: bytes, noop: bytes) -> None:
    for behind in (b"", noop, b"EVIL", b"x LOGIN {3+}\r\n", b"\r"):
        reader = parser(64)
        reader.feed(starttls + behind)
        assert reader.next() is not None
        reader.discard()
        assert reader.room == 64
        assert reader.next() is None
        assert run(reader, [noop]) == run(parser(64), [noop])


@pytest.mark.parametrize("parser", PARSERS)
def test_no_repr_shows_an_argument(parser: type[Parser]) -> None:
    line = {
        ImapParser: b"a LOGIN u hunter2\r\n",
        Pop3Parser: b"PASS hunter2\r\n",
        SmtpParser: b"AUTH PLAIN hunter2\r\n",
        SieveParser: b'AUTHENTICATE "PLAIN" "hunter2"\r\n',
    }
    (command,) = run(parser(64), [line[parser]])
    assert "hunter2" not in repr(command)


@pytest.mark.parametrize(("parser", "case"), [row for row in ROWS if row[0] in {Pop3Parser, SmtpParser}])
def test_a_whole_line_is_the_same_command_without_being_kept(parser: type[Pop3Parser | SmtpParser], case: Case) -> None:
    fresh = parser(case.limit)
    command = fresh.whole(case.input)
    assert not fresh.has_input
    if len(case.input) > case.limit:
        return  # more than one read brings
    if command is not None:
        assert run(parser(case.limit), [case.input]) == [command]
    elif len(case.events) == 1 and case.input.count(b"\n") == 1 and case.input.endswith(b"\n"):
        assert not isinstance(case.events[0], Pop3Command | SmtpCommand)


@pytest.mark.parametrize(
    ("parser", "before"), [(Pop3Parser, b"US"), (SmtpParser, b"EH"), (SmtpParser, b"BDAT 9\r\n")], ids=repr
)
def test_behind_what_is_still_to_be_read_no_line_is_whole(parser: type[Pop3Parser | SmtpParser], before: bytes) -> None:
    begun = parser(4096)
    run(begun, [before])
    assert begun.whole(b"NOOP\r\n") is None
