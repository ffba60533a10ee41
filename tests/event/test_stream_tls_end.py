"""How connections over TLS end: by a goodbye, without one, or in other hands."""

from __future__ import annotations

import os
import socket
import ssl
import threading

import pytest

from mailworker.errors import TimedOut
from mailworker.event.stream import SocketStream
from mailworker.tls.context import TlsContext
from tests.event.bench import Bench, anonymous_client, read_all, secure, thread
from tests.support.patience import PATIENCE

Ends = tuple[SocketStream, socket.socket]


@pytest.mark.parametrize("politely", [True, False], ids=["close_notify", "without close_notify"])
def test_the_end_of_the_peers_side_is_the_end(bench: Bench, ends: Ends, context: TlsContext, politely: bool) -> None:
    stream, connected = ends
    received: list[bytes] = []

    async def server() -> None:
        await stream.start_tls(context)
        received.append(await read_all(stream))
        await stream.end_tls()
        stream.close()

    def client() -> None:
        with anonymous_client().wrap_socket(connected) as tls:
            tls.settimeout(PATIENCE)
            tls.send(b"bye")
            if politely:
                tls.unwrap()
            else:
                tls.shutdown(socket.SHUT_WR)

    with thread(client):
        bench.run(server())
    assert received == [b"bye"]


def test_an_end_that_comes_with_the_last_bytes_is_not_lost(bench: Bench, ends: Ends, context: TlsContext) -> None:
    """The peer's close_notify is read with the record before it, and its socket stays open."""
    stream, connected = ends
    received: list[bytes] = []
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = anonymous_client().wrap_bio(incoming, outgoing)
    heard = threading.Event()

    async def server() -> None:
        await stream.start_tls(context)
        stream.deadline = bench.loop.now + PATIENCE
        received.append(await read_all(stream))
        heard.set()
        stream.close()

    def client() -> None:
        connected.settimeout(PATIENCE)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                connected.sendall(outgoing.read())
                incoming.write(connected.recv(65536))
        tls.write(b"first ")
        tls.write(b"and last")
        with pytest.raises(ssl.SSLWantReadError):
            tls.unwrap()
        connected.sendall(outgoing.read())
        assert heard.wait(PATIENCE)

    with thread(client):
        bench.run(server())
    assert received == [b"first and last"]


@pytest.mark.parametrize("answers", [True, False])
def test_goodbye_waits_for_the_peers_no_longer_than_the_deadline(
    bench: Bench, ends: Ends, context: TlsContext, answers: bool
) -> None:
    stream, connected = ends
    outcome: list[str] = []
    timed_out = threading.Event()

    async def server() -> None:
        await stream.start_tls(context)
        stream.deadline = bench.loop.now + (5 if answers else 0.05)
        try:
            await stream.end_tls()
            outcome.append("answered")
        except TimedOut:
            outcome.append("timed out")
            timed_out.set()
        stream.close()

    def client() -> None:
        with anonymous_client().wrap_socket(connected) as tls:
            tls.settimeout(PATIENCE)
            assert tls.recv(100) == b""
            if answers:
                tls.unwrap()
            else:
                assert timed_out.wait(PATIENCE)

    with thread(client):
        bench.run(server())
    assert outcome == ["answered" if answers else "timed out"]


def test_without_tls_there_is_no_goodbye(bench: Bench, ends: Ends) -> None:
    stream, connected = ends
    bench.run(stream.end_tls())
    stream.close()
    assert connected.recv(100) == b""


def test_the_tls_connection_is_handed_over(bench: Bench, ends: Ends, context: TlsContext) -> None:
    stream, connected = ends

    async def server() -> None:
        await stream.start_tls(context)
        ours, tls, events = stream.hand_over()
        if events:
            bench.loop.forget(ours)
        stream.close()
        assert tls is not None
        assert tls.send(b"still open") == len(b"still open")
        tls.free()
        os.close(ours)

    def client() -> None:
        peer = secure(connected)
        assert peer.rest() == b"still open"
        peer.close()

    with thread(client):
        bench.run(server())
    assert bench.closed == 0
