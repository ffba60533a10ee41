"""Runs a dialogue over memory: what the client sends against what it hears, asks for and leaves in the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from mailworker.config.settings import MailServer
from mailworker.errors import ConnectionLost, TimedOut
from mailworker.mail.authentication.source import LoginSource
from mailworker.mail.authentication.sources import Means, login_source
from mailworker.mail.dialogue.dialogue import AnyDialogue, Dialogue, StartTls
from mailworker.mail.dialogue.sasl import failure
from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.mail.server import Server, ServerTls
from mailworker.mail.session_log import SessionLog
from mailworker.model import AuthMethod
from mailworker.wire.auth_response import Rejected
from mailworker.wire.login import Login, SmtpEnvelope
from mailworker.wire.secret import Secret
from tests.support.memory_stream import MemoryStream, MemoryTls, run
from tests.support.recorded_log import RecordedLog
from tests.support.settings import dialogue_settings, mail_server
from tests.wire.chunkings import chunkings

OAUTH = AuthMethod.XOAUTH2 | AuthMethod.OAUTHBEARER
ALL_METHODS = AuthMethod.PLAIN | AuthMethod.LOGIN | AuthMethod.CRAM_MD5 | AuthMethod.EXTERNAL | AuthMethod.APOP
SALT = b"<1.2@mail.example.com>"
SALT64 = b"PDEuMkBtYWlsLmV4YW1wbGUuY29tPg=="
REFUSAL = Rejected(b"refused", wait=1)

REFUSED = "client was refused: "

# How a dialogue ends: the client was told to go, or it went, or its time was over.
OVER, LEFT, TIMED_OUT = "over", "left", "timed out"


@dataclass(frozen=True, slots=True)
class Outcome:
    """`rest` is what the dialogue has read beyond its last command.

    `logins` are without what backends are told of the conversation: `told` has tag, argument of HELO or EHLO, and
    whether there was an EHLO, of each login. `refused` and `left` are the lines about these; `log` has all others.
    """

    replies: bytes
    logins: Sequence[Login]
    log: Sequence[str]
    end: str
    rest: bytes = b""
    told: Sequence[tuple[bytes, bytes, bool]] = ()
    refused: Sequence[str] = ()
    left: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """A client sends `said`, and `said_in_tls` after STARTTLS; each login gets `refusal` and may be tried again.

    `heard` is without the greeting; `log` without what is the same in all lines.
    """

    name: str
    said: bytes
    heard: bytes
    logins: Sequence[Login] = ()
    log: Sequence[str] = ()
    end: str = LEFT
    said_in_tls: bytes = b""
    settings: dict[str, Any] = field(default_factory=dict)
    refusal: Rejected = REFUSAL


def plain(name: bytes, password: bytes) -> Login:
    return Login(AuthMethod.PLAIN, name, Secret(password))


def login(name: bytes, password: bytes) -> Login:
    return Login(AuthMethod.LOGIN, name, Secret(password))


def external(name: bytes) -> Login:
    return Login(AuthMethod.EXTERNAL, name)


def cram_md5(name: bytes, digest: bytes) -> Login:
    return Login(AuthMethod.CRAM_MD5, name, Secret(digest), SALT)


def oauth(method: AuthMethod, name: bytes) -> Login:
    return Login(method, name, Secret(b"token"))


def envelope(helo: bytes, mail: bytes, rcpt: bytes) -> Login:
    return Login(AuthMethod.NONE, b"", envelope=SmtpEnvelope(mail, rcpt), helo=helo)


def without_conversation(login: Login) -> Login:
    return replace(login, tag=b"", helo=b"" if login.envelope is None else login.helo, esmtp=False)


def source_for(server: MailServer) -> LoginSource:
    protocol = PROTOCOLS[server.protocol]
    return login_source(server, Means(protocol.refusals, protocol.ports))


def converse(server: MailServer, stream: MemoryStream, *tls_script: bytes, refusal: Rejected = REFUSAL) -> Outcome:
    """The whole dialogue after its greeting; `tls_script` is what the client sends after STARTTLS."""
    recorded = RecordedLog("127.0.0.1:143")
    log = SessionLog(recorded, 1, "192.0.2.1")
    protocol = PROTOCOLS[server.protocol]
    capabilities = protocol.capabilities(server)
    source = source_for(server)
    dialogue = protocol.dialogue(stream, Server(server, recorded.log, ServerTls(), capabilities, source), log)
    run(greet(dialogue))
    greeting = len(stream.output)
    log.action = "in auth state"
    logins: list[Login] = []
    end = run(_obey(dialogue, stream, tls_script, logins, refusal))
    suffix = " while in auth state, client: 192.0.2.1, server: 127.0.0.1:143"
    assert all(line.startswith("[info] *1 ") and suffix in line for line in recorded.lines)
    lines = [line.removeprefix("[info] *1 ").replace(suffix, "") for line in recorded.lines]
    told = [(login.tag, login.helo, login.esmtp) for login in logins]
    logins = [without_conversation(login) for login in logins]
    refused = [line.removeprefix(REFUSED).partition(", login: ")[0] for line in lines if line.startswith(REFUSED)]
    left = [line for line in lines if line.startswith("client left ")]
    lines = [line for line in lines if not line.startswith((REFUSED, "client left "))]
    return Outcome(stream.output[greeting:], logins, lines, end, dialogue.take_input(), told, refused, left)


async def greet(dialogue: AnyDialogue) -> None:
    await dialogue.hold_back()
    if dialogue.over is None:
        await dialogue.client.write(dialogue.greeting())


async def next_request(dialogue: AnyDialogue) -> Login | StartTls | None:
    """What the client wants of its session; None when it has taken its leave or was sent away."""
    while dialogue.over is None:
        move = dialogue.move()
        if move is None:
            dialogue.hear(await dialogue.client.read(dialogue.room))
        elif isinstance(move, bytes):
            await dialogue.client.write(move)
        else:
            if isinstance(move, StartTls):
                await dialogue.client.write(move.go_ahead)
            return move
    return None


async def _obey(
    dialogue: AnyDialogue,
    stream: MemoryStream,
    tls_script: tuple[bytes, ...],
    logins: list[Login],
    refusal: Rejected,
) -> str:
    while True:
        try:
            request = await next_request(dialogue)
        except ConnectionLost as error:
            assert not error.errno
            return LEFT
        except TimedOut:
            return TIMED_OUT
        if request is None:
            return OVER
        if isinstance(request, Login):
            logins.append(request)
            await stream.write(await failure(dialogue, request, refusal))
            dialogue.rejected(counted=False)
        else:
            dialogue.begin_tls()
            while stream.unread:  # plaintext that OpenSSL would choke on
                await stream.read(len(stream.unread))
            stream.tls = MemoryTls()
            if dialogue.greets_again:
                await greet(dialogue)
            stream.then(*tls_script)


def server_of(protocol: str, changes: dict[str, Any]) -> MailServer:
    """A server; fields of its DialogueSettings may be among `changes`."""
    fields = {name: value for name, value in changes.items() if name in MailServer.__slots__}
    dialogue = {name: value for name, value in changes.items() if name not in MailServer.__slots__}
    return mail_server(protocol, dialogue=dialogue_settings(protocol, **dialogue), **fields)


def check(protocol: str, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """The case holds however the network cuts what the client sends."""
    monkeypatch.setattr(Dialogue, "new_salt", lambda _dialogue: SALT)
    server = server_of(protocol, case.settings)
    expected = (case.heard, list(case.logins), list(case.log), case.end)
    for chunks in chunkings(case.said):
        outcome = converse(server, MemoryStream(*chunks), case.said_in_tls, refusal=case.refusal)
        assert (outcome.replies, outcome.logins, outcome.log, outcome.end) == expected, chunks
    for chunks in chunkings(case.said_in_tls) if case.said_in_tls else ():
        outcome = converse(server, MemoryStream(case.said), *chunks, refusal=case.refusal)
        assert (outcome.replies, outcome.logins, outcome.log, outcome.end) == expected, chunks


def names(cases: Sequence[Case]) -> list[str]:
    return [case.name for case in cases]
