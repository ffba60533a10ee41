"""A backend is logged in to over TLS where there is a peer for that, or not at all."""

from __future__ import annotations

from typing import cast

import pytest

from mailworker.errors import Party, PeerError, ProtocolError
from mailworker.event.stream import SocketStream
from mailworker.mail.authentication.by_backend import ByBackend
from mailworker.mail.backend.backend import Backend
from mailworker.mail.backend.conversation import Talk
from mailworker.mail.client.client import Client
from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.mail.server import Server, ServerTls
from mailworker.mail.session_log import SessionLog
from mailworker.model import AuthMethod
from mailworker.tls.backend import TlsPeer
from mailworker.tls.connection import TlsConnection
from mailworker.wire.login import Login
from mailworker.wire.reply_reader import ImapReplyReader
from tests.support.memory_stream import MemoryTls, run
from tests.support.recorded_log import RecordedLog
from tests.support.settings import mail_server

LOGIN = Login(AuthMethod.PLAIN, b"user")


class Steps:
    """A protocol, a backend's stream and its peer that note each step; the one that is called `fault` fails."""

    reply_reader = ImapReplyReader

    def __init__(self, *, fault: str = "") -> None:
        self.taken: list[str] = []
        self._fault = fault

    def take(self, step: str) -> None:
        self.taken.append(step)
        if step == self._fault:
            raise ProtocolError(Party.BACKEND, step)

    def starttls(self, _backend: Backend, login: Login) -> Talk[None]:
        assert login is LOGIN
        yield from self._take("starttls")

    def log_in(self, _backend: Backend, login: Login) -> Talk[bytes]:
        assert login is LOGIN
        yield from self._take("login")
        return b"in"

    def _take(self, step: str) -> Talk[None]:
        self.take(step)
        yield from ()

    def enter(self, *, starttls: bool) -> bytes | PeerError:
        """The bytes for the client, or the error, of a login with these steps."""
        heard: list[bytes | PeerError] = []
        peer = Peering(self, starttls=starttls)
        log = SessionLog(RecordedLog(), 1, "192.0.2.1")
        stream = cast(SocketStream, peer)
        link = Backend(stream, self, LOGIN, cast(Client, None), imap_server(), log).enter(
            cast(TlsPeer, peer), heard.append, heard.append
        )
        while link is not None:
            assert not isinstance(link, tuple)
            link = run(link)
        (outcome,) = heard
        return outcome


class Peering:
    """The stream and the TLS peer of `Steps`."""

    def __init__(self, steps: Steps, *, starttls: bool) -> None:
        self._steps = steps
        self.starttls = starttls
        self.tls = MemoryTls()

    def reach(self) -> None:
        pass

    async def start_tls(self, _peer: TlsPeer) -> None:
        self._steps.take("tls")

    def refusal(self, _tls: TlsConnection) -> None:
        pass

    def remember(self, _tls: TlsConnection) -> None:
        self._steps.take("remember")


def imap_server() -> Server:
    settings = mail_server("imap")
    return Server(settings, RecordedLog().log, ServerTls(), PROTOCOLS["imap"].capabilities(settings), ByBackend(None))


@pytest.mark.parametrize("starttls", [False, True])
def test_a_backend_is_logged_in_to_when_nobody_else_can_read_it_and_remembered_when_that_went_well(
    starttls: bool,
) -> None:
    steps = Steps()
    assert steps.enter(starttls=starttls) == b"in"
    assert steps.taken == ["starttls"] * starttls + ["tls", "login", "remember"]


@pytest.mark.parametrize("fault", ["starttls", "tls", "login"])
def test_after_a_step_that_fails_there_is_no_other(fault: str) -> None:
    steps = Steps(fault=fault)
    assert isinstance(steps.enter(starttls=True), ProtocolError)
    assert steps.taken[-1] == fault
