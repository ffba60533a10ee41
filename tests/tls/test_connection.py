from __future__ import annotations

import errno
import socket
import ssl
import subprocess
import sys
from typing import cast

import psutil
import pytest
from OpenSSL import SSL

from mailworker.errors import ConnectionLost, Party, TlsError
from mailworker.model import Level
from mailworker.native.core.readiness import READ, WRITE, Readiness
from mailworker.native.tls._native import ffi, lib
from mailworker.tls.severity import severity
from tests.support.certificates import Certificate
from tests.tls.conftest import Connect, ConnectRaw
from tests.tls.peers import Pair, await_readable, build, client_context, client_step, reset


def test_facts_of_a_connection(connect: Connect, ecdsa: Certificate) -> None:
    client = client_context()
    client.set_alpn_protocols(["imap"])
    pair = connect(build(ecdsa), client).shake_hands()
    cipher = pair.client.cipher()
    assert cipher is not None
    assert pair.server.protocol == pair.client.version() == "TLSv1.3"
    assert pair.server.cipher == cipher[0]
    assert pair.server.alpn == b"imap"
    assert not pair.server.reused
    assert pair.server.verify_result == (0, "ok")
    assert pair.server.peer_certificate is None
    assert pair.server.server_name is None


@pytest.mark.parametrize(("kind", "key"), [("rsa", b"RSA2048"), ("ecdsa", b"EC256")])
def test_the_certificate_that_the_client_gets(
    kind: str, key: bytes, connect: Connect, request: pytest.FixtureRequest
) -> None:
    pair = connect(build(request.getfixturevalue(kind))).shake_hands()
    for _ in range(2):  # the connection keeps it
        assert pair.server.certificate.key_algorithm == key
        assert pair.server.certificate.common_name == b"mail.example.com"
        assert pair.server.certificate.signature_algorithm == b"ecdsa-with-SHA256"


@pytest.mark.parametrize("group", ["prime256v1", "X25519"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_key_of_the_key_exchange_is_kept(
    connect: Connect, ecdsa: Certificate, group: str, version: ssl.TLSVersion
) -> None:
    client = client_context()
    client.maximum_version = version
    pair = connect(build(ecdsa, ecdh_curve=group), client).shake_hands()
    key = ffi.new("EVP_PKEY **")
    for get in (lib.SSL_get_tmp_key, lib.SSL_get_peer_tmp_key):
        if get(pair.server.handle, key) == 1:
            assert lib.EVP_PKEY_base_id(key[0]) == 0
            lib.EVP_PKEY_free(key[0])
    assert pair.to_client(b"* OK ready\r\n") == b"* OK ready\r\n"
    assert pair.to_server(b"a NOOP\r\n") == b"a NOOP\r\n"


def test_the_name_that_the_client_asks_for(ecdsa: Certificate) -> None:
    pair = Pair(build(ecdsa), server_name="mail.example.org")
    try:
        assert pair.shake_hands().server.server_name == b"mail.example.org"
    finally:
        pair.close()


def test_bytes_go_both_ways(connect: Connect, ecdsa: Certificate) -> None:
    pair = connect(build(ecdsa)).shake_hands()
    assert pair.to_client(b"* OK ready\r\n") == b"* OK ready\r\n"
    assert pair.to_server(b"a NOOP\r\n") == b"a NOOP\r\n"
    assert pair.server.send(b"") == 0


def test_what_a_selector_cannot_see_is_pending(connect: Connect, ecdsa: Certificate) -> None:
    pair = connect(build(ecdsa)).shake_hands()
    assert pair.server.recv(10) is READ
    pair.client.send(b"a NOOP\r\n")
    assert not pair.server.pending()
    assert pair.server.recv(2) == b"a "
    assert pair.server.pending()
    assert pair.server.recv(100) == b"NOOP\r\n"
    assert not pair.server.pending()


def test_a_full_socket_wants_to_be_written(connect: Connect, ecdsa: Certificate) -> None:
    pair = connect(build(ecdsa)).shake_hands()
    chunk = bytes(range(256)) * 256
    sent = bytearray()
    while True:
        taken = pair.server.send(chunk)
        if isinstance(taken, Readiness):
            break
        sent += chunk[:taken]
    assert taken is WRITE
    received = bytearray()
    rest = chunk
    while rest:
        while (data := client_step(lambda: pair.client.recv(65536))) is not None:
            received += cast(bytes, data)
        taken = pair.server.send(bytes(bytearray(rest)))  # the same bytes, elsewhere in memory
        if not isinstance(taken, Readiness):
            sent += rest[:taken]
            rest = rest[taken:]
    while len(received) < len(sent):
        received += pair.client.recv(65536)
    assert received == sent


def test_a_client_that_leaves_inside_the_handshake(connect_raw: ConnectRaw, ecdsa: Certificate) -> None:
    server, _ours, theirs = connect_raw(build(ecdsa))
    assert server.handshake() is READ
    theirs.send(b"\x16\x03\x01\x02\x00\x01")  # the start of a ClientHello
    assert server.handshake() is READ
    theirs.close()
    with pytest.raises(ConnectionLost) as raised:
        server.handshake()
    assert (raised.value.call, raised.value.errno) == ("SSL_do_handshake()", 0)
    assert raised.value.party is Party.CLIENT
    assert server.shutdown() is None


def test_a_client_that_resets_inside_the_handshake(connect_raw: ConnectRaw, ecdsa: Certificate) -> None:
    server, ours, theirs = connect_raw(build(ecdsa), tcp=True)
    assert server.handshake() is READ
    reset(theirs)
    await_readable(ours)
    with pytest.raises(ConnectionLost) as raised:
        server.handshake()
    assert raised.value.errno == errno.ECONNRESET
    assert server.shutdown() is None


@pytest.mark.parametrize(
    ("garbage", "reason"),
    [
        (b"a1 LOGIN joe secret\r\n", "error:0A00010B:SSL routines::wrong version number"),
        (b"GET / HTTP/1.0\r\n\r\n", "error:0A00009C:SSL routines::http request"),
        (b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00", "error:0A0000F4:SSL routines::unexpected message"),
    ],
)
def test_garbage_instead_of_a_handshake(
    connect_raw: ConnectRaw, ecdsa: Certificate, garbage: bytes, reason: str
) -> None:
    if ssl.OPENSSL_VERSION_INFO < (3, 0):
        pytest.skip("OpenSSL 1.1.1 has other numbers and names for the same reasons")
    server, _ours, theirs = connect_raw(build(ecdsa))
    theirs.send(garbage)
    with pytest.raises(TlsError) as raised:
        server.handshake()
    assert raised.value.reasons == (reason,)
    assert raised.value.call == "SSL_do_handshake()"
    assert severity(raised.value) is Level.INFO
    assert server.shutdown() is None


def test_a_broken_record_ends_the_connection(connect: Connect, ecdsa: Certificate) -> None:
    pair = connect(build(ecdsa)).shake_hands()
    with socket.socket(fileno=pair.client.detach()) as raw:
        raw.send(b"\x17\x03\x03\x00\x20" + bytes(32))
    with pytest.raises(TlsError) as raised:
        pair.server.recv(100)
    assert "bad record mac" in raised.value.reasons[0]
    assert severity(raised.value) is Level.INFO
    assert pair.server.shutdown() is None


def test_a_goodbye_is_answered(connect: Connect, ecdsa: Certificate) -> None:
    pair = connect(build(ecdsa)).shake_hands()
    assert client_step(pair.client.unwrap) is None
    assert pair.server.recv(100) == b""
    assert pair.server.shutdown() is None
    assert client_step(pair.client.unwrap) is not None


def test_a_goodbye_waits_for_the_peers(connect: Connect, ecdsa: Certificate) -> None:
    pair = connect(build(ecdsa)).shake_hands()
    assert pair.server.shutdown() is READ
    assert pair.client.recv(100) == b""
    assert client_step(pair.client.unwrap) is not None
    assert pair.server.shutdown() is None


def test_an_end_without_goodbye_is_an_end(connect: Connect, ecdsa: Certificate) -> None:
    pair = connect(build(ecdsa)).shake_hands()
    pair.to_client(b"* OK ready\r\n")  # nothing unread is left, which would make the system send a reset
    pair.client.close()
    assert pair.server.recv(100) == b""
    assert pair.server.shutdown() is None


def test_goodbye_to_a_peer_that_has_reset(connect: Connect, ecdsa: Certificate) -> None:
    pair = connect(build(ecdsa), tcp=True).shake_hands()
    reset(socket.socket(fileno=pair.client.detach()))
    await_readable(pair.server_socket)
    with pytest.raises(ConnectionLost) as raised:
        pair.server.recv(100)
    assert (raised.value.call, raised.value.errno) == ("SSL_read()", errno.ECONNRESET)
    assert pair.server.shutdown() is None


def test_data_after_our_goodbye_is_the_clients_fault(connect: Connect, ecdsa: Certificate) -> None:
    pair = connect(build(ecdsa)).shake_hands()
    assert pair.server.shutdown() is READ
    pair.client.send(b"a NOOP\r\n")
    with pytest.raises(TlsError) as raised:
        pair.server.shutdown()
    assert raised.value.call == "SSL_shutdown()"
    assert severity(raised.value) is Level.INFO


def test_our_side_can_end_before_the_peers(connect: Connect, ecdsa: Certificate) -> None:
    pair = connect(build(ecdsa)).shake_hands()
    pair.client.send(b"a NOOP\r\n")
    assert pair.server.close_notify() is None
    assert pair.client.recv(100) == b""
    pair.client.send(b"b NOOP\r\n")
    assert pair.server.recv(100) == b"a NOOP\r\nb NOOP\r\n"
    client_step(pair.client.unwrap)
    assert pair.server.recv(100) == b""
    assert pair.server.shutdown() is None


def test_no_goodbye_inside_a_handshake(connect_raw: ConnectRaw, ecdsa: Certificate) -> None:
    server, _ours, theirs = connect_raw(build(ecdsa))
    assert server.handshake() is READ
    assert server.close_notify() is None
    assert server.shutdown() is None
    with pytest.raises(BlockingIOError):
        theirs.recv(1)


def test_renegotiation_is_refused(connect_raw: ConnectRaw, ecdsa: Certificate) -> None:
    server, _ours, theirs = connect_raw(build(ecdsa))
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    client = SSL.Connection(context, theirs)
    client.set_connect_state()
    done = False
    while not done or server.handshake() is not None:
        try:
            client.do_handshake()
            done = True
        except SSL.WantReadError:
            server.handshake()
    client.renegotiate()
    with pytest.raises(SSL.WantReadError):
        client.do_handshake()
    assert server.recv(100) is READ
    with pytest.raises(SSL.Error) as raised:
        client.do_handshake()
    assert "no renegotiation" in str(raised.value).lower()


IDLE_CLIENTS = 200
# Bytes for one connection: OpenSSL 3.0 takes 13.4 KiB, 3.5 21.4, and a buffer would be 16.3 more.
IDLE_LIMIT = (20 if ssl.OPENSSL_VERSION_INFO < (3, 2) else 28) * 1024
_CLIENTS = """
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
clients = []
for _ in range(int(sys.argv[2])):
    clients.append(context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1])))))
    clients[-1].recv(1)
sys.stdin.read()
"""


def test_an_idle_connection_holds_no_buffers(ecdsa: Certificate) -> None:
    context = build(ecdsa)
    connections = []

    def serve(listener: socket.socket, number: int) -> None:
        for _ in range(number):
            accepted, _peer = listener.accept()
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = context.connection(accepted.fileno())  # blocking, so that a step that reads waits
            while connection.handshake() is not None:
                pass
            assert connection.send(b"*") == 1
            connections.append((accepted, connection))

    with socket.create_server(("127.0.0.1", 0), backlog=IDLE_CLIENTS) as listener:
        port = str(listener.getsockname()[1])
        command = [sys.executable, "-c", _CLIENTS, port, str(IDLE_CLIENTS)]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as clients:
            try:
                serve(listener, IDLE_CLIENTS // 4)
                before = psutil.Process().memory_info().rss
                serve(listener, IDLE_CLIENTS * 3 // 4)
                grown = psutil.Process().memory_info().rss - before
            finally:
                clients.communicate()
    for accepted, connection in connections:
        connection.free()
        accepted.close()
    assert grown / (IDLE_CLIENTS * 3 // 4) < IDLE_LIMIT
