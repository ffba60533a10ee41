"""A stream whose client chooses among servers in its handshake."""

from __future__ import annotations

import socket

from mailworker.tls.context import TlsContext
from tests.event.bench import Bench, anonymous_client, thread
from tests.support.certificates import Certificate
from tests.support.peer import Peer
from tests.support.settings import ssl_settings
from tests.tls.servers import door_to


def test_talks_in_the_context_that_the_client_has_chosen(bench: Bench, certificate: Certificate) -> None:
    """OpenSSL's connection is another one then, and the first one is gone."""
    ours, connected = socket.socketpair()
    stream = bench.stream(ours)
    contexts = {name: TlsContext.build(ssl_settings(certificate), b"imap") for name in ("a.example", "b.example")}
    door = door_to(contexts)
    received: list[bytes] = []

    async def server() -> None:
        await stream.start_tls(door.selection())
        await stream.write(b"welcome")
        received.append(await stream.read(100))
        stream.close()

    def client() -> None:
        peer = Peer(anonymous_client().wrap_socket(connected, server_hostname="b.example"))
        peer.expect(b"welcome")
        peer.send(b"hello")
        assert peer.rest() == b""
        peer.close()

    with thread(client):
        bench.run(server())
    assert received == [b"hello"]
    assert not bench.bugs
