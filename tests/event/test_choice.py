"""Lines that peers usually say, answered within an exchange; both engines take the same ones."""

from __future__ import annotations

import re
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailworker.errors import ConnectionLost
from mailworker.event.choice import BASE64, NOTHING, WORD, Choice, chosen
from mailworker.event.stream import SocketStream, Step
from tests.event.bench import Bench
from tests.support.implementations import implementations

Pair = tuple[socket.socket, socket.socket]

NAME = Choice(b"", BASE64, b"name?\r\n", ())
LOGIN = Choice(b"LOGIN", NOTHING, b"who?\r\n", (NAME,))
HELLO = Choice(b"HI ", WORD, b"hello\r\n", (LOGIN,))
PIECES = b"HI ", b"LOGIN", b"\r\n", b"QUJD", b"a", b"=", b" ", b"\n", b"\0", b"\xff"
STEP = b"ready\r\n", (b"\n", (HELLO, LOGIN))


@pytest.mark.parametrize(
    ("line", "choice"),
    [
        *((line, HELLO) for line in (b"HI a\r\n", b"hi a\r\n", b"hI !~{}\r\n", b"HI " + b"x" * 500 + b"\r\n")),
        *((line, LOGIN) for line in (b"LOGIN\r\n", b"Login\r\n")),
        *((line, None) for line in (b"", b"\r\n", b"HI\r\n", b"HI \r\n", b"HI  a\r\n", b"HI a \r\n", b"HI a b\r\n")),
        *((line, None) for line in (b"HI a\n", b"HI a", b"HI a\r", b"HI a\0\r\n", b"HI \xe9\r\n", b"HI \x7f\r\n")),
        *((line, None) for line in (b"HI a\r\r\n", b"HI a\r\nHI b\r\n", b"HIa\r\n", b" HI a\r\n", b"LOGIN \r\n")),
    ],
)  # fmt: skip
def test_a_line_is_one_of_the_choices_or_none(bench: Bench, pair: Pair, line: bytes, choice: Choice | None) -> None:
    assert chosen((HELLO, LOGIN), line) is choice
    stream, _ = _visit(bench, pair, line)
    assert stream.heard == (None if choice is None else line)


@pytest.mark.parametrize(
    ("line", "fits"),
    [
        *((line, True) for line in (b"QUJD\r\n", b"QUI=\r\n", b"QQ==\r\n", b"+/09azAZ\r\n")),
        *(
            (line, False)
            for line in (b"\r\n", b"=\r\n", b"====\r\n", b"Q===\r\n", b"QUJ\r\n", b"QQ=A\r\n", b"QU=D\r\n")
        ),
        *((line, False) for line in (b"*\r\n", b"QUJD QUJD\r\n", b"QUJ-\r\n", b"QUJD=\r\n", b"QUJD\n", b"QUJ\xc1\r\n")),
    ],
)
def test_base64_has_its_padding_and_no_other_byte(bench: Bench, pair: Pair, line: bytes, fits: bool) -> None:
    assert (chosen((NAME,), line) is NAME) == fits
    stream, _ = _visit(bench, pair, b"LOGIN\r\n", line)
    assert stream.heard == b"LOGIN\r\n" + (line if fits else b"")


def test_each_line_has_its_answer_until_one_is_the_caller_s(bench: Bench, pair: Pair) -> None:
    lines = b"hi there\r\n", b"login\r\n", b"QUJD\r\n", b"whatever\r\n"
    stream, given_ = _visit(bench, pair, *lines)
    assert given_ == [(0, b"whatever\r\n"), b"ready\r\n", b"hello\r\n", b"who?\r\n", b"name?\r\n"]
    assert stream.heard == b"".join(lines[:3])


@pytest.mark.parametrize("end", [b"", b"HI again\r\n", b"NO"])
def test_what_follows_a_choice_is_no_choice_any_more(bench: Bench, pair: Pair, end: bytes) -> None:
    stream, given_ = _visit(bench, pair, b"HI a\r\n", end)
    assert given_ == [(0, end), b"ready\r\n", b"hello\r\n"]
    assert stream.heard == b"HI a\r\n"


def test_a_peer_that_is_lost_has_been_heard(bench: Bench, pair: Pair) -> None:
    stream = bench.stream(pair[0])
    pair[1].send(b"HI a\r\n")
    pair[1].shutdown(socket.SHUT_RD)  # the answer, or the greeting, finds nobody
    errors: list[ConnectionLost] = []

    async def ask() -> None:
        try:
            await stream.exchange(100, ((None, STEP[1]),))
        except ConnectionLost as error:
            errors.append(error)

    bench.run(ask())
    assert stream.heard == b"HI a\r\n"
    assert [error.call for error in errors] == ["send()"]


def test_an_exchange_without_choices_has_heard_none(bench: Bench, pair: Pair) -> None:
    stream, heard = bench.stream(pair[0]), list[bytes | None]()
    pair[1].send(b"LOGIN\r\n")
    pair[1].shutdown(socket.SHUT_WR)

    async def ask() -> None:
        for step in (STEP, (b"once more\r\n", (b"OK", None))):
            await stream.exchange(100, (step,))
            heard.append(stream.heard)

    bench.run(ask())
    assert heard == [b"LOGIN\r\n", None]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=6))
def test_both_engines_choose_alike(pieces: list[bytes]) -> None:
    line = b"".join(pieces)
    for it in implementations().values():
        poller = it.poller.new_poller()
        bench = Bench(poller, it)
        try:
            stream, given_ = _visit(bench, socket.socketpair(), line)
        finally:
            bench.close()
            poller.close()
        chooses = chosen((HELLO, LOGIN), line) is not None
        assert (stream.heard, given_[0]) == ((line, (0, b"")) if chooses else (None, (0, line)))


@pytest.mark.parametrize("choices", [(b"x",), ((b"x", 0, b"y"),), ((b"x", 0, "y", ()),), ((b"x", 0, b"y", None),)])
def test_choices_of_another_shape_are_refused_in_c(bench: Bench, pair: Pair, choices: tuple[object, ...]) -> None:
    step: Step = b"x", (b"\n", choices)
    if bench.implementation.name == "C":  # for Python mypy holds it
        with pytest.raises(ValueError, match=re.escape("a step is a command")):
            _ = bench.stream(pair[0]).exchange(100, (step,))


def _visit(bench: Bench, pair: Pair, *lines: bytes) -> tuple[SocketStream, list[object]]:
    """A peer that says each line when it has heard the one before; what the exchange gives, and what was heard."""
    stream, peer = bench.stream(pair[0]), bench.stream(pair[1])
    results: list[object] = []

    async def ask() -> None:
        results.insert(0, await stream.exchange(4096, (STEP,)))

    async def answer() -> None:
        for line in lines:
            results.append(await peer.read(100))
            await peer.write(line)
        with socket.fromfd(peer.descriptor, socket.AF_UNIX, socket.SOCK_STREAM) as end:
            end.shutdown(socket.SHUT_WR)

    bench.run(ask(), answer())
    assert not bench.bugs
    return stream, results
