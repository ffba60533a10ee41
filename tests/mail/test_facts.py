"""What a session notes of its events for variables and access logs, with and without C."""

from __future__ import annotations

import re
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from mailworker.errors import ConnectionLost, Party
from mailworker.event.loop import Loop
from mailworker.event.rows import NO_ROW, Rows
from mailworker.event.stream import SocketStream
from mailworker.log.access_logs import ReadyLog
from mailworker.log.handing import HandingSink, unpack
from mailworker.log.losses import Losses
from mailworker.mail.end import End
from mailworker.model import Address, AuthMethod, InetAddress, UnixAddress
from mailworker.native.core.line import Line
from mailworker.shm.session_row import ROW
from mailworker.shm.sessions import HEAD
from mailworker.variables.line import Slot, composed
from mailworker.variables.source import asked, at
from mailworker.wire.auth_response import Accepted, Rejected
from mailworker.wire.login import Login, SmtpEnvelope
from tests.mail.noted import CLASSES, Bytes, Classes, Entrance, noted
from tests.support.recorded_log import RecordedLog

both = pytest.mark.parametrize("classes", CLASSES.values(), ids=CLASSES.keys())
PEER, CONNECTION = InetAddress("192.0.2.1", 4711), Bytes(5)


def begun(classes: Classes, entrance: Entrance, peer: Address = PEER, connection: Bytes = CONNECTION) -> Any:
    """A record of session 7, accepted at 1.0."""
    return classes.Facts(entrance).begun(7, peer, 1.0, connection)


@both
def test_a_record_begins_as_its_pattern_with_its_own_client(classes: Classes) -> None:
    entrance = Entrance()
    record, other = begun(classes, entrance), begun(classes, entrance, UnixAddress("/s"))
    kept = noted(record)
    assert {name: kept[name] for name in ("number", "client", "port", "accepted", "client_bytes")} == {
        "number": 7, "client": "192.0.2.1", "port": 4711, "accepted": 1.0, "client_bytes": CONNECTION,
    }  # fmt: skip
    assert (other.client, other.port, other.peer) == ("unix:", None, UnixAddress("/s"))
    assert entrance.sessions.live == {record: None, other: None}


@both
def test_a_login_is_noted_step_by_step(classes: Classes) -> None:
    entrance = Entrance([ReadyLog(3, lambda facts: f"{facts.auth_ms} {facts.login_ms}\n".encode(), None, None)])
    record, clock = begun(classes, entrance), entrance.sessions.loop
    record.attempt(Login(AuthMethod.CRAM_MD5, b"user"), 2)
    assert (record.attempts, record.auth_user, record.method, record.rare) == (2, b"user", AuthMethod.CRAM_MD5, None)
    clock.now = 1.2504
    verdict = Accepted(PEER)
    assert record.settle(verdict, None, 1.0) is verdict
    assert (record.auth_ms, record.started) == (250, 1.2504)
    clock.now = 3.2514
    record.log_in()
    assert (record.login_ms, record.started, record.event) == (2001, None, "login")
    record.end(End.CLIENT_CLOSED)
    record.end(End.BUG)
    assert (record.reason, record.event) == (End.CLIENT_CLOSED, "end")
    assert entrance.lines.sent == 2 * [(3, b"", b"250 2001\n")]
    assert (entrance.sessions.live, entrance.heard) == ({}, [record])


@both
def test_what_few_sessions_have_is_noted_too(classes: Classes) -> None:
    record = begun(classes, Entrance(backend=lambda facts: PEER))
    record.attempt(Login(AuthMethod.NONE, b"", envelope=SmtpEnvelope(b"MAIL", b"RCPT"), helo=b"client"), 1)
    assert (record.helo, record.envelope, record.client_id) == (b"client", SmtpEnvelope(b"MAIL", b"RCPT"), b"")
    record.attempt(Login(AuthMethod.PLAIN, b"user", client_id=b'("a" "b")'), 2)
    assert (record.helo, record.envelope, record.client_id) == (b"", None, b'("a" "b")')
    assert record.settle(Accepted(None), {"x": b"y"}, 0.0) == Accepted(PEER)
    assert (record.auth_header("x"), record.action) == (b"y", "choosing upstream")
    elsewhere = Accepted(InetAddress("192.0.2.2", 143))
    assert record.settle(elsewhere, None, 0.0) is elsewhere


@both
def test_a_try_lasts_until_it_is_given_up_or_the_relay_ends(classes: Classes) -> None:
    record = begun(classes, Entrance())
    clock = record.entrance.sessions.loop
    clock.now = 2.0
    record.settle(Accepted(PEER), None, 1.0)
    record.backend = "192.0.2.2:143"
    record._rare().connect, record.rare.first_byte = 0.25, 0.5
    clock.now = 3.5
    assert [(each.connect, each.first_byte, each.login, each.session) for each in record.tries] == [
        (0.25, 0.5, None, 1.5)
    ]
    record.gave_up(ConnectionLost(Party.BACKEND, "connect()", 111))
    record.backend = "192.0.2.3:143"
    clock.now = 4.0
    record.log_in()
    record.logged_in = 4.0
    clock.now = 10.0
    assert [(each.address, each.connect, each.first_byte, each.login, each.session) for each in record.tries] == [
        (b"192.0.2.2:143", 0.25, 0.5, None, 1.5),
        (b"192.0.2.3:143", None, None, 0.5, 6.5),
    ]


@both
def test_a_refusal_at_a_backend_ends_the_try(classes: Classes) -> None:
    record = begun(classes, Entrance())
    clock = record.entrance.sessions.loop
    for address in ("192.0.2.2:143", "192.0.2.3:143"):
        record.settle(Accepted(PEER), None, clock.now)
        record.backend = address
        clock.now += 1.0
        record.refuse(Rejected(b"no"))
        clock.now += 1.0
        assert record.tries[-1].address == address.encode()
        assert len(record.tries) == record.refusals
    assert [(each.address, each.session) for each in record.tries] == [
        (b"192.0.2.2:143", 1.0),
        (b"192.0.2.3:143", 1.0),
    ]
    assert record.refusals == 2


@both
def test_a_refusal_begins_no_login_at_a_backend(classes: Classes) -> None:
    record = begun(classes, Entrance(backend=lambda facts: PEER))
    refusal = Rejected(b"no")
    assert record.settle(refusal, None, -0.5) is refusal
    assert (record.auth_ms, record.started) == (500, None)


@both
@pytest.mark.parametrize(
    ("received", "reason", "told"),
    [(0, End.NO_BYTES, False), (0, End.SHUTDOWN, False), (0, End.DENIED, True), (1, End.NO_BYTES, True)],
)
def test_who_has_said_nothing_has_no_line_at_a_usual_end(
    classes: Classes, received: int, reason: End, told: bool
) -> None:
    entrance = Entrance([ReadyLog(0, lambda facts: b"x\n", None, None)])
    begun(classes, entrance, connection=Bytes(received)).end(reason)
    assert len(entrance.lines.sent) == told


@both
def test_conditions_and_paths_of_logs_are_asked(classes: Classes) -> None:
    def line(facts: object) -> bytes:
        return b"x\n"

    logs = [
        ReadyLog(0, line, lambda facts: b"0", None),
        ReadyLog(1, line, lambda facts: b"1", None),
        ReadyLog(2, line, None, lambda facts: b"path"),
    ]
    entrance = Entrance(logs)
    begun(classes, entrance).end(End.QUIT)
    assert entrance.lines.sent == [(1, b"", b"x\n"), (2, b"path", b"x\n")]


@both
def test_what_fails_while_a_line_is_made_is_logged_and_ends_nothing(classes: Classes) -> None:
    def broken(facts: object) -> bytes:
        raise ValueError("broken")

    entrance = Entrance([ReadyLog(0, broken, None, None)])
    record = begun(classes, entrance)
    entrance.sessions.listeners = (broken, entrance.heard.append)
    record.end(End.QUIT)
    assert [re.sub(r" \(.*", "", line) for line in entrance.written] == 2 * ["bug: ValueError('broken')"]
    assert entrance.heard == [record]


@both
def test_a_row_is_given_back_at_the_end(classes: Classes) -> None:
    closed: list[int] = []
    record = classes.Record(Entrance(rows=SimpleNamespace(close=closed.append)))
    record.begun(7, PEER, 1.0, SimpleNamespace(row=NO_ROW)).end(End.QUIT)
    record.begun(8, PEER, 1.0, SimpleNamespace(row=5)).end(End.QUIT)
    assert closed == [NO_ROW, 5]


@both
def test_a_row_that_is_not_there_is_not_given_back(classes: Classes) -> None:
    """It would be given to two sessions later."""
    rows = Rows(memoryview(bytearray(HEAD)), memoryview(bytearray(ROW)), 0.0, 1)
    loop = Loop(lambda _: None)
    record = classes.Record(Entrance(rows=rows))
    stream = SocketStream(loop, -1, Party.CLIENT, lambda: None)
    stream.row = rows.open(object(), 8, 1.0, 0, PEER)
    record.begun(8, PEER, 1.0, stream).end(End.QUIT)
    with pytest.raises(IndexError):
        record.begun(9, PEER, 1.0, stream).end(End.QUIT)
    loop.close()


@both
def test_an_end_is_counted_once(classes: Classes) -> None:
    counted: list[object] = []
    record = begun(classes, Entrance(counted=SimpleNamespace(end=counted.append)))
    record.end(End.QUIT)
    record.end(End.KICKED)
    assert counted == [record]


@both
def test_a_line_goes_directly_where_the_sink_has_a_way_that_is_not_held(classes: Classes) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        losses = Losses(RecordedLog().log, lambda seconds, action: None)
        lines = HandingSink(ours, 1, losses)
        entrance = Entrance([ReadyLog(0, composed([b"x", Slot(b"", source=at("number")), b"\n"], Line), None, None)])
        entrance.sessions.lines = lines
        for held in (False, True):
            way = lines.direct[0]
            assert way is not None
            way.held = held
            begun(classes, entrance).end(End.QUIT)
            assert unpack(memoryview(theirs.recv(100))) == (0, b"", b"x7\n")
        theirs.close()
        for _ in range(2):
            begun(classes, entrance).end(End.QUIT)
            way.held = False
        assert losses.total == 2
    assert not entrance.written


@both
def test_a_line_arrives_if_its_sink_gets_another_way_while_it_is_made(classes: Classes) -> None:
    def number(facts: Any) -> bytes:
        lines.direct = ()
        return b"%d" % facts.number

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        lines = HandingSink(ours, 1, Losses(RecordedLog().log, lambda seconds, action: None))
        entrance = Entrance([ReadyLog(0, composed([b"x", Slot(b"", source=asked(number)), b"\n"], Line), None, None)])
        entrance.sessions.lines = lines
        begun(classes, entrance).end(End.QUIT)
        assert unpack(memoryview(theirs.recv(100))) == (0, b"", b"x7\n")
