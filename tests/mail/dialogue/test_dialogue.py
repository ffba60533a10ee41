"""What the dialogues of all protocols have in common."""

from __future__ import annotations

import pytest

from mailworker.errors import ConnectionLost
from mailworker.mail.dialogue.dialogue import AnyDialogue, StartTls
from mailworker.mail.end import End
from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.mail.server import Server, ServerTls
from mailworker.mail.session_log import SessionLog
from mailworker.model import AuthMethod, Starttls
from mailworker.wire.login import Login
from tests.mail.cases import CASES, Case, all_protocols
from tests.mail.dialogue.dialogues import REFUSAL, next_request, server_of, source_for
from tests.support.memory_stream import CLIENT_TIMED_OUT, MemoryStream, MemoryTls, run
from tests.support.recorded_log import RecordedLog

BAD = {"imap": b"a FOO\r\n", "pop3": b"FOO\r\n", "smtp": b"FOO\r\n"}
STARTTLS = {"imap": b"a STARTTLS\r\n", "pop3": b"STLS\r\n", "smtp": b"STARTTLS\r\n"}
LOGOUT = {"imap": b"a LOGOUT\r\n", "pop3": b"QUIT\r\n", "smtp": b"QUIT\r\n"}


def dialogue_of(protocol: str, stream: MemoryStream, **changes: object) -> AnyDialogue:
    settings, log = server_of(protocol, changes), RecordedLog()
    row = PROTOCOLS[protocol]
    server = Server(settings, log.log, ServerTls(), row.capabilities(settings), source_for(settings))
    return row.dialogue(stream, server, SessionLog(log, 1, "192.0.2.1"))


@all_protocols
def test_a_login_is_wanted_of_the_session_and_what_follows_it_is_for_the_backend(case: Case) -> None:
    dialogue = dialogue_of(case.protocol, MemoryStream(case.login + b"more\r\n"))
    request = run(next_request(dialogue))
    assert isinstance(request, Login)
    assert (request.method, request.name) == (AuthMethod.PLAIN, b"user@example.com")
    assert dialogue.take_input() == b"more\r\n"
    assert dialogue.over is None


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (LOGOUT, End.QUIT),
        ({name: bad * 3 for name, bad in BAD.items()}, End.TOO_MANY_ERRORS),
        ({case.protocol: case.noop[0] * 5 for case in CASES}, End.TOO_MANY_COMMANDS),
        (dict.fromkeys(BAD, b"x" * 200), End.INVALID_COMMAND),
    ],
    ids=lambda value: getattr(value, "word", ""),
)
@all_protocols
def test_a_dialogue_that_is_over_tells_why_and_reads_no_more(case: Case, said: dict[str, bytes], reason: End) -> None:
    stream = MemoryStream(said[case.protocol], case.login)
    dialogue = dialogue_of(case.protocol, stream, max_errors=3, max_commands=4, client_buffer=128)
    assert run(next_request(dialogue)) is None
    assert dialogue.over is reason
    left = stream.output, stream.unread
    assert left[1].endswith(case.login)
    assert run(next_request(dialogue)) is None
    assert (stream.output, stream.unread) == left


@all_protocols
def test_who_has_failed_may_try_again(case: Case) -> None:
    stream = MemoryStream(case.login, case.login)
    dialogue = dialogue_of(case.protocol, stream)
    assert isinstance(run(next_request(dialogue)), Login)
    run(stream.write(dialogue.rejection(REFUSAL)))
    dialogue.rejected(counted=False)
    assert b"refused" in stream.output
    assert dialogue.tag is None
    assert isinstance(run(next_request(dialogue)), Login)


@all_protocols
def test_what_was_said_in_clear_is_forgotten_when_tls_begins(case: Case) -> None:
    stream = MemoryStream(STARTTLS[case.protocol] + case.login)
    dialogue = dialogue_of(case.protocol, stream, starttls=Starttls.ON)
    assert isinstance(run(next_request(dialogue)), StartTls)
    dialogue.begin_tls()
    stream.tls = MemoryTls()
    with pytest.raises(ConnectionLost):
        run(next_request(dialogue))
    assert dialogue.take_input() == b""


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (BAD, End.TOO_MANY_ERRORS),
        ({case.protocol: case.noop[0] for case in CASES}, End.TOO_MANY_COMMANDS),
    ],
    ids=lambda value: getattr(value, "word", ""),
)
@all_protocols
def test_what_a_client_has_said_to_another_server_counts(case: Case, said: dict[str, bytes], reason: End) -> None:
    words, limits = said[case.protocol], {"max_errors": 3, "max_commands": 2}
    earlier = dialogue_of(case.protocol, MemoryStream(words * 2), **limits)
    with pytest.raises(ConnectionLost):
        run(next_request(earlier))
    follower = dialogue_of(case.protocol, MemoryStream(words), **limits)
    follower.follow(earlier)
    assert run(next_request(follower)) is None
    assert follower.over is reason


@all_protocols
def test_what_a_client_says_in_a_pause_is_kept_for_later(case: Case) -> None:
    dialogue = dialogue_of(case.protocol, MemoryStream(case.login, CLIENT_TIMED_OUT))
    run(dialogue.pause(0.0))
    assert isinstance(run(next_request(dialogue)), Login)


@all_protocols
def test_who_leaves_in_a_pause_is_not_waited_for(case: Case) -> None:
    dialogue = dialogue_of(case.protocol, MemoryStream(b""))
    with pytest.raises(ConnectionLost):
        run(dialogue.pause(1000.0))
