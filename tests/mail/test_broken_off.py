"""Every usual login, broken off at every byte of each of its three peers: all of these hear the same.

That is so with both engines, without what spares a usual login a conversation, and where nothing follows a login.
"""

from __future__ import annotations

import re
import ssl
from base64 import b64encode
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest

from mailworker.config.source import ByBackendSettings
from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.mail.record import Entrance
from mailworker.model import Level
from tests.mail.cases import (
    AUTH_PLAIN,
    CREDENTIALS,
    IMAP,
    LOGINDISABLED,
    POP3,
    SASL_IR,
    SASL_PLAIN,
    SIEVE,
    SMTP,
    Case,
    pop3_server,
)
from tests.mail.conftest import Scene
from tests.support.auth import accepted
from tests.support.backend import ScriptedServer
from tests.support.implementations import in_python
from tests.support.peer import Peer
from tests.support.recorded_log import RecordedLog
from tests.support.settings import auth_http_settings, proxy_pass, proxy_settings
from tests.tls.peers import client_context

USER, PASSWORD = b64encode(b"user@example.com") + b"\r\n", b64encode(b"secret") + b"\r\n"
END, CONNECTED = b"\r\n\r\n", " connected to "
CLOSE_NOTIFY = b"\x17\x03\x03\x00\x13"  # a record of TLS 1.3 with an alert
EHLO = b"EHLO client\r\n"
PEERS = ("client", "auth service", "backend")


@dataclass(frozen=True, slots=True)
class Login:
    """What a client says, each time when it has heard a whole line, by TLS or in clear.

    `kept`: connections with the auth service are kept open. `judged`: the backend is asked, and not that service.
    `proxy` are settings of what is said to the backend. `known`: it has said before that it takes AUTH PLAIN at once.
    """

    case: Case
    says: tuple[bytes, ...]
    tls: bool = False
    kept: bool = False
    judged: bool = False
    proxy: tuple[tuple[str, object], ...] = ()
    known: bool = False


# Who has said EHLO is introduced by it once more.
INTRODUCED = replace(SMTP, backend=(*SMTP.backend, b"250-backend\r\n250 HELP\r\n"))

# At these clients log in by AUTH, also behind XCLIENT; and this one is told nothing of them.
OFFER = b"250-backend\r\n250 AUTH PLAIN LOGIN\r\n"
LISTING = b"250-backend\r\n250-XCLIENT ADDR\r\n250 AUTH PLAIN\r\n"
TAKING = replace(SMTP, backend=(SMTP.backend[0], OFFER, b"235 welcome\r\n"))
TRUSTING = replace(SMTP, backend=(SMTP.backend[0], LISTING, SMTP.backend[2], OFFER, b"235 welcome\r\n"))
SIMPLE = replace(SMTP, backend=(SMTP.backend[0], b"250 backend\r\n"))

# ManageSieve's OK need not have a text.
BARE = replace(SIEVE, backend=(SIEVE.backend[0], b"OK\r\n"), answer=b"OK\r\n")

# Who decides itself about a password gets it in one line.
JUDGING = replace(IMAP, backend=(IMAP.backend[0], IMAP.answer))

LOGINS = {
    "imap LOGIN": Login(IMAP, (IMAP.login,)),
    "imap PLAIN": Login(IMAP, (b"a1 AUTHENTICATE PLAIN\r\n", CREDENTIALS + b"\r\n")),
    "imap PLAIN with a response": Login(IMAP, (b"a1 AUTHENTICATE PLAIN " + CREDENTIALS + b"\r\n",)),
    "imap LOGIN at a backend without LOGIN": Login(LOGINDISABLED, (IMAP.login,)),
    "imap LOGIN at a backend with PLAIN in a line": Login(SASL_IR, (IMAP.login,)),
    "imap LOGIN that a backend without LOGIN judges": Login(SASL_IR, (IMAP.login,), judged=True),
    "pop3 USER": Login(POP3, (b"USER user@example.com\r\n", b"PASS secret\r\n")),
    "pop3 PLAIN": Login(POP3, (AUTH_PLAIN,)),
    "pop3 USER at a known backend": Login(SASL_PLAIN, (b"USER user@example.com\r\n", b"PASS secret\r\n"), known=True),
    "pop3 PLAIN at a known backend": Login(SASL_PLAIN, (AUTH_PLAIN,), known=True),
    "pop3 that a known backend judges": Login(SASL_PLAIN, (AUTH_PLAIN,), known=True, judged=True),
    "pop3 PLAIN behind CAPA": Login(POP3, (b"CAPA\r\n", b"AUTH PLAIN\r\n", CREDENTIALS + b"\r\n")),
    "smtp PLAIN": Login(INTRODUCED, (EHLO, AUTH_PLAIN)),
    "smtp PLAIN behind a challenge": Login(INTRODUCED, (EHLO, b"AUTH PLAIN\r\n", CREDENTIALS + b"\r\n")),
    "smtp LOGIN": Login(INTRODUCED, (EHLO, b"AUTH LOGIN\r\n", USER, PASSWORD)),
    "smtp at a backend with AUTH": Login(TAKING, (EHLO, AUTH_PLAIN), proxy=(("smtp_auth", True), ("xclient", False))),
    "smtp at a backend with both": Login(TRUSTING, (EHLO, AUTH_PLAIN), proxy=(("smtp_auth", True),)),
    "smtp at a backend without either": Login(SIMPLE, (EHLO, AUTH_PLAIN)),
    "smtp that a backend with both judges": Login(TRUSTING, (EHLO, AUTH_PLAIN), judged=True),
    "smtp that the backend judges": Login(TAKING, (EHLO, AUTH_PLAIN), judged=True),
    "sieve PLAIN": Login(SIEVE, (SIEVE.login,)),
    "sieve PLAIN behind CAPABILITY": Login(SIEVE, (b"CAPABILITY\r\n", SIEVE.login)),
    "sieve PLAIN behind a challenge": Login(SIEVE, (b'AUTHENTICATE "PLAIN"\r\n', b'"%b"\r\n' % CREDENTIALS)),
    "sieve at a backend without a text": Login(BARE, (SIEVE.login,)),
    "sieve that the backend judges": Login(SIEVE, (SIEVE.login,), judged=True),
    "sieve PLAIN by TLS": Login(SIEVE, (SIEVE.login,), tls=True),
    "imap LOGIN by TLS": Login(IMAP, (IMAP.login,), tls=True),
    "pop3 USER by TLS": Login(POP3, (b"USER user@example.com\r\n", b"PASS secret\r\n"), tls=True),
    "imap LOGIN by a kept connection": Login(IMAP, (IMAP.login,), kept=True),
    "imap LOGIN that the backend judges": Login(JUDGING, (IMAP.login,), judged=True),
}


class Play:
    """Sessions of one proxy; the one of PEERS that is `broken` goes away when it has sent `length` bytes."""

    def __init__(self, scene: Scene, login: Login) -> None:
        self._scene = scene
        self._login = login
        self.broken, self.length = "", 0
        self._sent = 0
        self._lessons = 2 if login.known else 0
        self._backend: ScriptedServer = scene.backend(self._be_backend)
        self._answer = accepted(self._backend.address)
        self._auth = scene.auth(self._be_auth_service)
        changes: dict[str, Any] = {}
        if login.kept:
            self._answer = self._answer.replace(b"HTTP/1.0", b"HTTP/1.1").replace(END, b"\r\nContent-Length: 0" + END)
            changes["source"] = auth_http_settings(self._auth.address, keepalive=1)
        if login.judged:
            changes["source"] = ByBackendSettings()
            changes["proxy"] = proxy_settings(backend=proxy_pass(self._backend.address), **dict(login.proxy))
        elif login.proxy:
            changes["proxy"] = proxy_settings(**dict(login.proxy))
        if login.tls:
            self._proxy = scene.tls_proxy(login.case.protocol, self._auth, implicit_tls=True, **changes)
        else:
            self._proxy = scene.proxy(login.case.protocol, self._auth, **changes)

    @property
    def lengths(self) -> dict[str, int]:
        """What each peer sends in a whole login."""
        return {
            "client": len(b"".join(self._login.says)),
            "auth service": 0 if self._login.judged else len(self._answer),
            "backend": len(b"".join(self._login.case.backend)),
        }

    def handshake(self, words: bytes) -> tuple[object, ...]:
        """As `session`, of a client that says `words` in the place of a handshake."""
        before = len(self._proxy.log.lines)
        client = self._scene.client(self._proxy)
        client.send(words)
        client.end()
        client.rest()
        client.close()
        self._proxy.service_is_idle()
        lines = (_without_numbers(line) for line in self._proxy.log.lines[before:] if CONNECTED not in line)
        return bool(client.received), tuple(lines)

    def session(self, broken: str, length: int) -> tuple[object, ...]:
        """What each peer has heard, and what the log tells."""
        self.broken, self.length, self._sent = broken, length, 0
        before = len(self._proxy.log.lines), len(self._auth.requests), len(self._backend.peers)
        client = self._scene.client(self._proxy)
        if self._login.tls:
            client.start_tls(client_context())
        _hear_all(client, self._login.case.greeting)
        for words in self._login.says:
            heard = self._login.case.greeting if words.startswith(b"CAPABILITY") else b"\n"
            if not self._send("client", client, words) or not _hear_all(client, heard):
                break
        client.end()
        client.rest()
        client.close()
        self._proxy.service_is_idle()
        # Who connects is told of where the log is to tell it.
        lines = tuple(_without_numbers(line) for line in self._proxy.log.lines[before[0] :] if CONNECTED not in line)
        backends = tuple(self._backend.heard(number) for number in range(before[2], len(self._backend.peers)))
        heard = client.received.partition(CLOSE_NOTIFY)[0]  # which is as it came: nobody reads TLS any more
        return heard, tuple(self._auth.requests[before[1] :]), backends, lines

    def _send(self, name: str, peer: Peer, words: bytes) -> bool:
        """Whether the peer goes on."""
        if name != self.broken:
            peer.send(words)
            return True
        part = words[: self.length - self._sent]
        self._sent += len(part)
        if part:
            peer.send(part)
        return len(part) == len(words)

    def _be_auth_service(self, peer: Peer) -> None:
        self._send("auth service", peer, self._answer)

    def learn(self) -> None:
        """Let the proxy ask the backend what it takes."""
        while self._lessons:
            self.session("", 0)
            self._lessons -= 1

    def _be_backend(self, peer: Peer) -> None:
        if self._lessons:
            pop3_server()(peer)
            return
        greeting, *replies = self._login.case.backend
        if not self._send("backend", peer, greeting):
            return
        if _command(peer).startswith(b"XCLIENT"):  # the proxy knows what the reply to EHLO lists
            del replies[0]
        for reply in replies:
            if not self._send("backend", peer, reply):
                return
            _command(peer)


def _hear_all(client: Peer, lines: bytes) -> bool:
    """Read as many lines as these; gives whether all of them came."""
    return all(client.line() for _ in range(lines.count(b"\n")))


def _command(peer: Peer) -> bytes:
    """The next command but CAPA, which a backend that is asked does not know."""
    while (line := peer.line()) == b"CAPA\r\n":
        peer.send(b"-ERR\r\n")
    return line


def _without_numbers(line: str) -> str:
    return re.sub(r"\*\d+ |:\d+", "", line)


def _play(scene: Scene, login: Login) -> Sequence[tuple[object, ...]]:
    play = Play(scene, login)
    play.learn()
    answers = play.lengths
    return [play.session(peer, length) for peer in PEERS for length in range(answers[peer] + 1)]


def _by_python(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("mailworker.event.beginning.carry_out", in_python().plan.carry_out)


def _by_conversations(patch: pytest.MonkeyPatch) -> None:
    for name, row in tuple(PROTOCOLS.items()):
        none: dict[str, Any] = dict.fromkeys(("opening", "first_login", "first_steps"), lambda *_asked: None)
        patch.setitem(PROTOCOLS, name, replace(row, **none))


def _by_a_lobby(patch: pytest.MonkeyPatch) -> None:
    """As if the log did not take [info]: a lobby greets clients, whose sessions begin with their first bytes."""
    patch.setattr(Entrance, "has_lobby", property(lambda _entrance: True))


def _with_a_quiet_log(patch: pytest.MonkeyPatch) -> None:
    """As by default: no log, counter or limit follows a login, so it takes the shortest way."""
    patch.setattr(RecordedLog, "level", Level.ERROR)


WAYS: tuple[Callable[[pytest.MonkeyPatch], None], ...] = (
    *(_by_python, _by_conversations, _by_a_lobby, _with_a_quiet_log),
)


def _quieted(result: tuple[object, ...]) -> tuple[object, ...]:
    """The result of a session without the lines that a log of errors does not take."""
    *heard, lines = result
    assert isinstance(lines, tuple)
    return *heard, tuple(line for line in lines if line.startswith(("[error]", "[crit]", "[alert]")))


@pytest.mark.parametrize("login", LOGINS.values(), ids=LOGINS.keys())
def test_a_login_that_is_broken_off_is_the_same_in_another_way(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, login: Login
) -> None:
    played = _play(scene, login)
    whole = login.case.answer
    assert whole in played[-1][0]  # type: ignore[operator]
    for way in WAYS:
        with monkeypatch.context() as patch:
            way(patch)
            for number, (ours, theirs) in enumerate(zip(played, _play(scene, login), strict=True)):
                expected = _quieted(ours) if way is _with_a_quiet_log else ours
                assert expected == theirs, (way.__name__, number)


def test_a_handshake_that_is_broken_off_is_the_same_with_a_lobby(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    login, (hello, finished) = LOGINS["imap LOGIN by TLS"], _flights()
    lengths = (0, 1, 4, 5, 6, 9, 44, len(hello) - 1, len(hello))
    said = [*(hello[:length] for length in lengths), hello + finished, hello[:5] + b"\0" * 512, IMAP.login * 2]
    plainly = Play(scene, login)
    without = [plainly.handshake(words) for words in said]
    _by_a_lobby(monkeypatch)
    greeted = Play(scene, login)
    for words, heard in zip(said, without, strict=True):
        assert greeted.handshake(words) == heard, words


def _flights() -> tuple[bytes, bytes]:
    """A client's first words, and what it answers to the server of another connection."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context().wrap_bio(incoming, outgoing)
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read(), b"\x14\x03\x03\x00\x01\x01\x17\x03\x03\x00\x35" + b"\0" * 0x35
