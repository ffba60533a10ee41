"""Clients that shake hands before they are greeted, and are handed on when they have said something."""

from __future__ import annotations

import socket
import ssl
from contextlib import ExitStack, suppress

import pytest

from mailworker.errors import ConnectionLost, Kicked, Party, TimedOut, TlsError
from mailworker.event.lobby import Guest
from mailworker.tls.context import TlsContext
from tests.event.bench import Bench, anonymous_client
from tests.event.test_lobby import GREETING, TIMEOUT, Stage
from tests.support.certificates import Certificate
from tests.support.patience import PATIENCE
from tests.tls.peers import build

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


class SecureStage(Stage):
    """A lobby whose guests shake hands, and whose handshake was done."""

    def __init__(self, bench: Bench, resources: ExitStack, context: TlsContext, *, asks: bool = True) -> None:
        super().__init__(bench, resources)
        self.shaken: list[Guest] = []
        self.interruption: Kicked | None = None
        self.lobby.shake_hands(context, self._note if asks else None)

    def comes_by_tls(self, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLSocket:
        """A client that has shaken hands, but for the server's last step."""
        context = anonymous_client()
        context.minimum_version = context.maximum_version = version
        client = self.wrapped(context)
        while not self._shakes(client):
            self.serve()
        client.settimeout(PATIENCE)
        return client

    def wrapped(self, context: ssl.SSLContext, name: str | None = None) -> ssl.SSLSocket:
        """A client that has said nothing yet, and never blocks."""
        client = context.wrap_socket(self.comes(), do_handshake_on_connect=False, server_hostname=name)
        client.setblocking(False)
        return self.resources.enter_context(client)

    def _shakes(self, client: ssl.SSLSocket) -> bool:
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def _note(self, guest: Guest) -> None:
        assert guest in self.lobby.guests
        assert not guest.stream.sent
        self.shaken.append(guest)
        if self.interruption is not None:
            guest.interrupt(self.interruption)


@pytest.fixture
def context(certificate: Certificate) -> TlsContext:
    return build(certificate)


@pytest.fixture
def stage(bench: Bench, resources: ExitStack, context: TlsContext) -> SecureStage:
    return SecureStage(bench, resources, context)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("asks", [False, True])
def test_who_has_shaken_hands_is_greeted_and_handed_on_with_its_first_words(
    bench: Bench, resources: ExitStack, context: TlsContext, version: ssl.TLSVersion, asks: bool
) -> None:
    stage = SecureStage(bench, resources, context, asks=asks)
    client = stage.comes_by_tls(version)
    if version is ssl.TLSVersion.TLSv1_3:
        stage.serve()  # the client's Finished, and then the greeting
    assert client.recv(100) == GREETING
    client.send(b"a NOOP\r\n")
    assert not stage.left
    stage.serve()
    ((guest, heard),) = stage.left
    assert heard == b"a NOOP\r\n"
    assert stage.shaken == ([guest] if asks else [])
    assert (guest.stream.received, guest.stream.sent) == (8, len(GREETING))
    assert guest.stream.secure
    assert guest.stream.agreement == (client.version().encode(), client.cipher()[0].encode(), None)  # type: ignore[union-attr, index]
    tls = guest.stream.tls
    assert tls is not None
    assert (tls.protocol, tls.party) == (client.version(), Party.CLIENT)
    assert guest.stream.tls is tls


def test_what_is_asked_for_by_name_is_agreed_on(stage: SecureStage) -> None:
    client = stage.wrapped(anonymous_client(), "Mail.example.com")
    while not stage.shaken:
        with suppress(ssl.SSLWantReadError):
            client.do_handshake()
        stage.serve()
    agreement = stage.shaken[0].stream.agreement
    assert agreement is not None
    assert agreement[2] == b"Mail.example.com"


def test_who_is_interrupted_where_its_handshake_is_told_is_greeted_all_the_same(stage: SecureStage) -> None:
    """As a task, it is interrupted only while it waits."""
    stage.interruption = Kicked("kicked")
    client = stage.comes_by_tls()
    stage.serve()
    assert client.recv(100) == GREETING
    assert not stage.left
    stage.shaken[0].interrupt(stage.interruption)
    assert stage.left == [(stage.shaken[0], stage.interruption)]


def test_nothing_is_said_to_who_does_not_begin(stage: SecureStage) -> None:
    client = stage.comes()
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.recv(1)
    stage.loop.timers.expire(stage.loop.now + TIMEOUT + 1.0)
    ((guest, error),) = stage.left
    assert isinstance(error, TimedOut)
    assert guest.shaking
    assert not stage.shaken
    guest.stream.close()
    assert stage.connections.in_use == 0


def test_who_shakes_hands_and_is_silent_times_out_behind_its_handshake(stage: SecureStage) -> None:
    stage.comes_by_tls()
    stage.serve()
    stage.loop.timers.expire(stage.loop.now + TIMEOUT + 1.0)
    ((guest, error),) = stage.left
    assert isinstance(error, TimedOut)
    assert not guest.shaking


def test_what_is_no_tls_is_refused(stage: SecureStage) -> None:
    stage.comes().send(b"a LOGIN x y\r\n")
    stage.serve()
    ((guest, error),) = stage.left
    assert isinstance(error, TlsError)
    assert (error.party, error.call) == (Party.CLIENT, "SSL_do_handshake()")
    assert guest.stream.tls is not None
    assert guest.stream.tls.received in {5, 13}  # OpenSSL 3.6 reads the head of a record alone
    assert guest.stream.tls.close_notify() is None
    assert not stage.shaken


def test_who_leaves_in_the_handshake_is_lost(bench: Bench, resources: ExitStack, context: TlsContext) -> None:
    stage, incoming, outgoing = SecureStage(bench, resources, context), ssl.MemoryBIO(), ssl.MemoryBIO()
    client = anonymous_client().wrap_bio(incoming, outgoing)
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    hello = outgoing.read()
    for length in (0, 1, 5, 6, len(hello) // 2, len(hello)):
        theirs = stage.comes()
        theirs.sendall(hello[:length])
        theirs.shutdown(socket.SHUT_WR)
        while stage.lobby.guests:
            stage.serve()
        guest, error = stage.left[-1]
        assert isinstance(error, ConnectionLost)
        assert (error.party, error.call, error.errno) == (Party.CLIENT, "SSL_do_handshake()", 0)
        assert guest.stream.tls is not None
        assert guest.stream.tls.received == length
    assert all(guest.shaking for guest, _ in stage.left)
    assert (len(stage.left), stage.shaken) == (6, [])


def test_who_leaves_behind_the_handshake_has_said_nothing(stage: SecureStage) -> None:
    client = stage.comes_by_tls()
    client.shutdown(socket.SHUT_WR)
    while not stage.left:
        stage.serve()
    ((guest, heard),) = stage.left
    assert heard == b""
    assert not guest.shaking
    guest.stream.close()  # of which nobody of Python has seen the TLS connection
    assert stage.connections.in_use == 0
    assert guest.stream.tls is None
    assert not guest.stream.secure


def test_whose_stream_is_forgotten_takes_its_connection_with_it(stage: SecureStage) -> None:
    stage.comes_by_tls()
    stage.serve()
    (guest,) = stage.shaken
    handed_over = guest.stream.hand_over()
    assert handed_over[1] is not None
    assert handed_over[1].protocol == "TLSv1.3"
    handed_over[1].free()
    socket.socket(fileno=handed_over[0]).close()
    assert guest.stream.tls is None
