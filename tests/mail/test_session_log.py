from __future__ import annotations

import errno

import pytest

from mailworker.errors import ConnectionLost, Party, PeerError, ProtocolError, TimedOut, TlsError
from mailworker.mail.session_log import SessionLog
from tests.support.recorded_log import RecordedLog

SUFFIX = ", client: 192.0.2.1, server: 0.0.0.0:143"
CONNECT = "connect() to 192.0.2.9:143"


def logged(error: PeerError, peer: str = "") -> list[str]:
    recorded = RecordedLog()
    SessionLog(recorded, 7, "192.0.2.1").fault(error, peer)
    return recorded.lines


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (TimedOut(Party.CLIENT), "[info] *7 client timed out (110: Connection timed out)"),
        (TimedOut(Party.AUTH_SERVICE), "[error] *7 auth http server P timed out (110: Connection timed out)"),
        (TimedOut(Party.BACKEND), "[info] *7 upstream timed out (110: Connection timed out)"),
        (
            ConnectionLost(Party.CLIENT, "SSL_do_handshake()", 0),
            "[info] *7 peer closed connection in SSL handshake",
        ),
        (
            ConnectionLost(Party.CLIENT, "recv()", errno.ECONNRESET),
            "[info] *7 recv() failed (104: Connection reset by peer)",
        ),
        (
            ConnectionLost(Party.AUTH_SERVICE, "recv()", 0),
            "[error] *7 auth http server P prematurely closed connection",
        ),
        (
            ConnectionLost(Party.AUTH_SERVICE, "recv()", errno.ECONNREFUSED),
            "[error] *7 recv() failed (111: Connection refused)",
        ),
        (ConnectionLost(Party.BACKEND, "recv()", 0), "[error] *7 upstream prematurely closed connection"),
        (
            ConnectionLost(Party.BACKEND, CONNECT, errno.ENETUNREACH),
            f"[error] *7 {CONNECT} failed (101: Network is unreachable)",
        ),
        (
            ConnectionLost(Party.BACKEND, CONNECT, errno.EACCES),
            f"[crit] *7 {CONNECT} failed (13: Permission denied)",
        ),
        (
            ConnectionLost(Party.AUTH_SERVICE, "connect() to unix:/auth", errno.ENOENT),
            "[crit] *7 connect() to unix:/auth failed (2: No such file or directory)",
        ),
        (
            ProtocolError(Party.AUTH_SERVICE, "sent invalid response"),
            "[error] *7 auth http server P sent invalid response",
        ),
        (ProtocolError(Party.BACKEND, "no password available"), "[error] *7 no password available"),
        (
            TlsError(Party.CLIENT, "SSL_do_handshake()", ("error:0A000044:SSL routines::internal error",)),
            "[crit] *7 SSL_do_handshake() failed (SSL: error:0A000044:SSL routines::internal error)",
        ),
    ],
)
def test_a_fault_names_the_party(error: PeerError, line: str) -> None:
    assert logged(error, "P") == [line + SUFFIX]


def test_nothing_is_said_of_clients_that_just_leave() -> None:
    assert not logged(ConnectionLost(Party.CLIENT, "recv()", 0))


def test_the_suffix_grows_with_what_is_known() -> None:
    recorded = RecordedLog()
    log = SessionLog(recorded, 7, "192.0.2.1")
    log.action = "in auth state"
    log.starttls = True
    log.login = b'u"\r\n'
    log.backend = "::1:143"
    log.info("client logged in")
    known = ', client: 192.0.2.1 using starttls, server: 0.0.0.0:143, login: "u\\x22\\x0D\\x0A", upstream: ::1:143'
    assert recorded.lines == [f"[info] *7 client logged in while in auth state{known}"]


def test_a_long_message_leaves_room_for_who_it_was() -> None:
    recorded = RecordedLog()
    SessionLog(recorded, 7, "192.0.2.1").info("x" * 5000)
    assert recorded.lines[0].endswith("xxx" + SUFFIX)


@pytest.mark.parametrize(
    ("raised", "what"),
    [
        (ValueError('"secret"\n'), r"bug: ValueError('\x22secret\x22\x5Cn')"),
        (MemoryError(), "not enough memory"),  # which is no bug
    ],
)
def test_a_bug_is_an_alert_with_its_place(raised: Exception, what: str) -> None:
    recorded = RecordedLog()
    try:
        raise raised
    except Exception as bug:
        SessionLog(recorded, 7, "192.0.2.1").bug(bug)
    line = recorded.lines[0]
    assert line.startswith(f"[alert] *7 {what} (test_session_log.py:")
    assert line.endswith(f" in test_a_bug_is_an_alert_with_its_place){SUFFIX}")


def test_members_of_a_json_line_say_what_the_suffix_says() -> None:
    session = SessionLog(RecordedLog(), 7, "192.0.2.1")
    assert session.members() == {"client": "192.0.2.1", "server": "0.0.0.0:143"}
    assert session.suffix() == SUFFIX
    session.action, session.starttls, session.login, session.backend = "in auth state", True, b'u"\n', "192.0.2.9:143"
    assert session.members() == {
        "client": "192.0.2.1",
        "server": "0.0.0.0:143",
        "action": "in auth state",
        "starttls": True,
        "login": r"u\x22\x0A",
        "upstream": "192.0.2.9:143",
    }
