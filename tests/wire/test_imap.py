"""What only IMAP's parser has: literals across discard, and memory bounded by its limit."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st

from mailworker.wire.imap import Continuation, ImapCommand, ImapParser, ImapVerb
from tests.wire.corpus import TooLong, run


def test_discard_forgets_a_command_waiting_for_its_literal() -> None:
    parser = ImapParser(64)
    parser.feed(b"a LOGIN u {8}\r\n")
    assert parser.next() == Continuation()
    parser.discard()
    parser.feed(b"b NOOP\r\n")
    assert parser.next() == ImapCommand(b"b", ImapVerb.NOOP)


def test_continuation_is_asked_for_once() -> None:
    parser = ImapParser(64)
    parser.feed(b"a LOGIN u {2}\r\n")
    assert parser.next() == Continuation()
    assert parser.next() is None
    parser.feed(b"p")
    assert parser.next() is None
    parser.feed(b"w\r\n")
    assert parser.next() == ImapCommand(b"a", ImapVerb.LOGIN, (b"u", b"pw"))


def test_an_unfinished_command_keeps_its_room_and_a_finished_one_frees_it() -> None:
    parser = ImapParser(64)
    parser.feed(b"a LOGIN {4+}\r\nuser")
    assert parser.next() is None
    assert parser.room == 64 - 18
    parser.feed(b" p\r\nb")
    assert parser.next() == ImapCommand(b"a", ImapVerb.LOGIN, (b"user", b"p"))
    assert parser.room == 63


@given(st.lists(st.sampled_from([b" ", b"  ", b'"', b"\\", b"{", b"{2+}", b"{3}", b"u", b"p w", b"\r"])).map(b"".join))
@example(b" " * 29 + b"{2+}" * 5)
@example(b"{2+}" * 20)
def test_the_usual_login_is_read_as_any_other_command(arguments: bytes) -> None:
    login, other = (  # with as much room for the arguments of the one as of the other
        run(ImapParser(60 + len(verb)), [b"a %b %b\n" % (verb, arguments)]) for verb in (b"login", b"AUTHENTICATE")
    )
    assert [_arguments(event) for event in login] == [_arguments(event) for event in other]


def _arguments(event: object) -> object:
    """What is left of an event without the verb."""
    if isinstance(event, TooLong):
        return replace(event, buffer=b"")
    return event.arguments if isinstance(event, ImapCommand) else event
