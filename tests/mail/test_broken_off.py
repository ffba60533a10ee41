"""Every usual login, broken off at every byte of each of its three peers: all of these hear the same.

That is so with both engines, and without what spares a usual login a conversation.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest

from mailworker.event import plan
from mailworker.mail.protocols.table import PROTOCOLS
from tests.mail.cases import AUTH_PLAIN, CREDENTIALS, IMAP, POP3, SMTP, Case
from tests.mail.conftest import Scene
from tests.support.auth import accepted
from tests.support.backend import ScriptedServer
from tests.support.implementations import in_python
from tests.support.peer import Peer

USER, PASSWORD = b64encode(b"user@example.com") + b"\r\n", b64encode(b"secret") + b"\r\n"
EHLO = b"EHLO client\r\n"
PEERS = ("client", "auth service", "backend")


@dataclass(frozen=True, slots=True)
class Login:
    """What a client says, each time when it has heard a whole line."""

    case: Case
    says: tuple[bytes, ...]


# Who has said EHLO is introduced by it once more.
INTRODUCED = replace(SMTP, backend=(*SMTP.backend, b"250-backend\r\n250 HELP\r\n"))

LOGINS = {
    "imap LOGIN": Login(IMAP, (IMAP.login,)),
    "imap PLAIN": Login(IMAP, (b"a1 AUTHENTICATE PLAIN\r\n", CREDENTIALS + b"\r\n")),
    "imap PLAIN with a response": Login(IMAP, (b"a1 AUTHENTICATE PLAIN " + CREDENTIALS + b"\r\n",)),
    "pop3 USER": Login(POP3, (b"USER user@example.com\r\n", b"PASS secret\r\n")),
    "pop3 PLAIN": Login(POP3, (AUTH_PLAIN,)),
    "smtp PLAIN": Login(INTRODUCED, (EHLO, AUTH_PLAIN)),
    "smtp LOGIN": Login(INTRODUCED, (EHLO, b"AUTH LOGIN\r\n", USER, PASSWORD)),
}


class Play:
    """Sessions of one proxy; the one of PEERS that is `broken` goes away when it has sent `length` bytes."""

    def __init__(self, scene: Scene, login: Login) -> None:
        self._scene = scene
        self._login = login
        self.broken, self.length = "", 0
        self._sent = 0
        self._backend: ScriptedServer = scene.backend(self._be_backend)
        self._answer = accepted(self._backend.address)
        self._auth = scene.auth(self._be_auth_service)
        self._proxy = scene.proxy(login.case.protocol, self._auth)

    @property
    def lengths(self) -> dict[str, int]:
        """What each peer sends in a whole login."""
        return {
            "client": len(b"".join(self._login.says)),
            "auth service": len(self._answer),
            "backend": len(b"".join(self._login.case.backend)),
        }

    def session(self, broken: str, length: int) -> tuple[object, ...]:
        """What each peer has heard, and what the log tells."""
        self.broken, self.length, self._sent = broken, length, 0
        before = len(self._proxy.log.lines), len(self._auth.requests), len(self._backend.peers)
        client = self._scene.client(self._proxy)
        client.line()
        for words in self._login.says:
            if not self._send("client", client, words) or not client.line():
                break
        client.end()
        client.rest()
        client.close()
        self._proxy.service_is_idle()
        lines = tuple(map(_without_numbers, self._proxy.log.lines[before[0] :]))
        backends = tuple(self._backend.heard(number) for number in range(before[2], len(self._backend.peers)))
        return client.received, tuple(self._auth.requests[before[1] :]), backends, lines

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

    def _be_backend(self, peer: Peer) -> None:
        for reply in self._login.case.backend:
            if not self._send("backend", peer, reply):
                return
            peer.line()


def _without_numbers(line: str) -> str:
    return re.sub(r"\*\d+ |:\d+", "", line)


def _play(scene: Scene, login: Login) -> Sequence[tuple[object, ...]]:
    play = Play(scene, login)
    answers = play.lengths
    return [play.session(peer, length) for peer in PEERS for length in range(answers[peer] + 1)]


def _by_python(patch: pytest.MonkeyPatch) -> None:
    python = in_python().plan
    patch.setattr(python, "Plan", plan.Plan)
    patch.setattr("mailworker.mail.service.carry_out", python.carry_out)


def _by_conversations(patch: pytest.MonkeyPatch) -> None:
    for name, row in tuple(PROTOCOLS.items()):
        patch.setitem(PROTOCOLS, name, replace(row, first_login=lambda _words: None, first_steps=lambda *_login: None))


@pytest.mark.parametrize("login", LOGINS.values(), ids=LOGINS.keys())
@pytest.mark.parametrize("way", [_by_python, _by_conversations])
def test_a_login_that_is_broken_off_is_the_same_in_another_way(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, login: Login, way: Callable[[pytest.MonkeyPatch], None]
) -> None:
    played = _play(scene, login)
    whole = login.case.answer
    assert whole in played[-1][0]  # type: ignore[operator]
    way(monkeypatch)
    for number, (ours, theirs) in enumerate(zip(played, _play(scene, login), strict=True)):
        assert ours == theirs, number
