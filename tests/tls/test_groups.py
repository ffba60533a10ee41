"""Groups for the key exchange, those that withstand quantum computers among them (OpenSSL 3.5)."""

from __future__ import annotations

import socket
import subprocess
from contextlib import ExitStack

import pytest

from mailworker.errors import ConfigError
from mailworker.model import InetAddress
from mailworker.native.tls.version import running_with
from mailworker.tls.backend import BackendTls
from mailworker.tls.connection import TlsConnection
from mailworker.tls.context import TlsContext
from tests.support.certificates import Certificate
from tests.support.patience import PATIENCE
from tests.support.settings import proxy_ssl_settings, ssl_settings
from tests.tls.peers import tcp_pair

HYBRID = "X25519MLKEM768"
IS_THERE = tuple(map(int, running_with().split()[1].split(".")[:2])) >= (3, 5)


def steps(*connections: TlsConnection) -> None:
    """Until all have shaken hands."""
    left = list(connections)
    while left:
        left = [connection for connection in left if connection.handshake() is not None]


@pytest.mark.parametrize("groups", ["auto", f"{HYBRID}:X25519", "X25519"])
def test_a_client_of_ours_and_a_server_of_ours_agree_on_a_group(ecdsa: Certificate, groups: str) -> None:
    """The ClientHello of a hybrid group goes in more than one segment."""
    if HYBRID in groups and not IS_THERE:
        with pytest.raises(ConfigError, match=r"needs OpenSSL 3\.5"):
            BackendTls.build(proxy_ssl_settings(ecdh_curve=groups))
        return
    context = TlsContext.build(ssl_settings(ecdsa, ecdh_curve=groups), b"imap")
    peer = BackendTls.build(proxy_ssl_settings(ecdh_curve=groups)).peer(InetAddress("127.0.0.1", 1))
    with ExitStack() as stack:
        ours, theirs = tcp_pair()
        for connected in (ours, theirs):
            stack.enter_context(connected)
            connected.setblocking(False)
        server, client = context.connection(ours.fileno()), peer.connection(theirs.fileno())
        stack.callback(server.free)
        stack.callback(client.free)
        steps(client, server)
        assert (server.received > 1300) is (IS_THERE and groups != "X25519")


def test_openssls_client_agrees_on_the_first_group_of_the_list(ecdsa: Certificate) -> None:
    groups = f"{HYBRID}:X25519" if IS_THERE else "X25519:prime256v1"
    context = TlsContext.build(ssl_settings(ecdsa, ecdh_curve=groups), b"imap")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        command = ["openssl", "s_client", "-connect", address, "-groups", groups]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
            listener.settimeout(PATIENCE)
            ours, _ = listener.accept()
            with ours:
                server = context.connection(ours.fileno())
                steps(server)
                server.close_notify()
                server.free()
            said = client.communicate(timeout=PATIENCE)[0].decode()
    assert (HYBRID if IS_THERE else "X25519") in said
