"""Where clients come from: the PROXY protocol in both directions, and whom it is believed from."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from mailworker.mail.client.address import (
    Networks,
    client_ip,
    is_among,
    read_proxy_header,
    real_client,
)
from mailworker.model import Address, InetAddress, ProxyProtocol, UnixAddress
from mailworker.wire.proxy_protocol import ProxyHeader, build_v1, build_v2, parse
from tests.mail.cases import IMAP, Case, all_protocols
from tests.mail.conftest import Scene
from tests.support.backend import Script
from tests.support.memory_stream import MemoryStream, run
from tests.support.peer import Peer
from tests.support.settings import proxy_settings
from tests.tls.peers import client_context
from tests.wire.chunkings import chunkings

SOURCE, DESTINATION = InetAddress("192.0.2.7", 4711), InetAddress("198.51.100.1", 143)
V1, V2 = build_v1(SOURCE, DESTINATION), build_v2(SOURCE, DESTINATION)
IPV6 = build_v1(InetAddress("2001:db8::7", 4711), InetAddress("2001:db8::1", 143))
LOOPBACK = (ip_network("127.0.0.0/8"),)
ELSEWHERE = (ip_network("10.0.0.0/8"), "unix:")


@pytest.mark.parametrize("header", [V1, V2, IPV6, b"PROXY UNKNOWN any thing\r\n"], ids=["v1", "v2", "ipv6", "unknown"])
def test_a_header_is_read_in_any_pieces_and_not_a_byte_more(header: bytes) -> None:
    for chunks in chunkings(header + b"a NOOP\r\n"):
        stream = MemoryStream(*chunks)
        assert run(read_proxy_header(stream)) == parse(header)
        assert stream.unread == b"a NOOP\r\n"


@pytest.mark.parametrize(
    ("peer", "networks", "trusted"),
    [
        (InetAddress("127.0.0.1", 1), LOOPBACK, True),
        (InetAddress("::ffff:127.0.0.1", 1), LOOPBACK, True),
        (InetAddress("::1", 1), LOOPBACK, False),
        (InetAddress("::1", 1), (ip_network("::1/128"),), True),
        (InetAddress("127.0.0.1", 1), (ip_network("::/0"),), False),
        (InetAddress("127.0.0.1", 1), ELSEWHERE, False),
        (InetAddress("127.0.0.1", 1), (), False),
        (UnixAddress(""), ELSEWHERE, True),
        (UnixAddress(""), LOOPBACK, False),
    ],
)
def test_whom_a_header_is_believed_from(peer: Address, networks: Networks, trusted: bool) -> None:
    assert is_among(peer, networks) is trusted
    assert real_client(peer, ProxyHeader(0, SOURCE), networks) == (SOURCE if trusted else peer)
    assert real_client(peer, ProxyHeader(0), networks) == peer


def test_the_address_without_its_port() -> None:
    assert client_ip(InetAddress("127.0.0.1", 1)) == "127.0.0.1"
    assert client_ip(InetAddress("::1", 1)) == "::1"
    assert client_ip(UnixAddress("")) == "unix:"


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
@pytest.mark.parametrize("trusted", [True, False])
@all_protocols
def test_a_header_before_everything_else(scene: Scene, case: Case, header: bytes, trusted: bool) -> None:
    backend = scene.backend(case.script())
    auth = scene.auth_for(backend)
    networks = LOOPBACK if trusted else ELSEWHERE
    proxy = scene.proxy(case.protocol, auth, proxy_protocol=True, real_ip_from=networks)
    client = scene.client(proxy)
    client.send_slowly(header)
    client.expect(case.greeting)
    client.talk((case.login, case.answer))
    ip = b"192.0.2.7" if trusted else b"127.0.0.1"
    assert auth.header(b"Client-IP") == ip
    assert auth.header(b"Proxy-Protocol-Addr") == b"192.0.2.7"
    assert auth.header(b"Proxy-Protocol-Port") == b"4711"
    assert auth.header(b"Proxy-Protocol-Server-Addr") == b"198.51.100.1"
    assert auth.header(b"Proxy-Protocol-Server-Port") == b"143"
    assert backend.peer().received == case.commands.replace(b"127.0.0.1", ip)
    assert proxy.log.lines[0].startswith("[info] *1 client 127.0.0.1:")
    assert f"client logged in, client: {ip.decode()}, server: " in proxy.log.lines[1]


def test_what_follows_the_header_is_the_clients(scene: Scene) -> None:
    backend = scene.backend(IMAP.script())
    client = scene.client(scene.proxy("imap", scene.auth_for(backend), proxy_protocol=True))
    client.send(V1 + b"PROXY TCP4 \r\n" + IMAP.login)
    client.expect(IMAP.greeting + b"PROXY BAD invalid command\r\n" + IMAP.answer)


def test_tls_begins_behind_the_header(scene: Scene) -> None:
    backend = scene.backend(IMAP.script())
    proxy = scene.tls_proxy("imap", scene.auth_for(backend), implicit_tls=True, proxy_protocol=True)
    client = scene.client(proxy)
    client.send(V2)
    client.start_tls(client_context())
    client.expect(IMAP.greeting)
    client.talk((IMAP.login, IMAP.answer))


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (b"a LOGIN u p\r\n", 'broken header: "a LOGIN ..."'),
        (b"PROXY TCP4 here there 1 2\r\n", 'broken header: "PROXY TCP4 here there 1 2"'),
        (b"PROXY TCP4 192.0.2.7 192.0.2.8 1 99999\r\n", 'broken header: "PROXY TCP4 192.0.2.7 192.0.2.8 1 99999"'),
        (b"PROXY " + b"x" * 200, 'broken header: "PROXY xxx'),
        (b"PROXY TC", 'broken header: "PROXY TC"'),
        (b"", 'broken header: ""'),
        (V2[:12] + b"\x11\x11\0\0", "unknown PROXY protocol version: 1"),
        (V2[:14] + b"\xff\xff", "header is too large"),
        (V2[:20], 'broken header: ""'),
    ],
)
def test_a_broken_header_ends_the_session(scene: Scene, said: bytes, complaint: str) -> None:
    auth = scene.auth(b"")
    proxy = scene.proxy("imap", auth, proxy_protocol=True)
    client = scene.client(proxy)
    client.send(said)
    client.end()
    assert client.rest() == b""
    assert proxy.log.lines[1].startswith(f"[error] *1 {complaint}")
    assert " while reading PROXY protocol, client: 127.0.0.1, server: " in proxy.log.lines[1]


def test_a_header_has_a_deadline(scene: Scene) -> None:
    proxy = scene.proxy("imap", scene.auth(b""), proxy_protocol=True, timeout=0.1)
    client = scene.client(proxy)
    client.send(b"PROXY ")
    assert client.rest() == b""
    message = "[info] *1 client timed out (110: Connection timed out) while reading PROXY protocol, client: 127.0.0.1"
    assert proxy.log.lines[1].startswith(message)


def behind_header(case: Case, length: int | None = None) -> Script:
    """A backend that takes a line, or `length` bytes, before it greets."""

    def follow(peer: Peer) -> None:
        if length is None:
            peer.line()
        else:
            peer.skip(length)
        case.script()(peer)

    return follow


@all_protocols
def test_version_1_towards_the_backend(scene: Scene, case: Case) -> None:
    backend = scene.backend(behind_header(case))
    settings = proxy_settings(proxy_protocol=ProxyProtocol.V1)
    proxy = scene.proxy(case.protocol, scene.auth_for(backend), proxy=settings)
    client = scene.client(proxy)
    client.expect(case.greeting)
    client.talk((case.login, case.answer))
    header = b"PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\n" % (client.address[1], proxy.address[1])
    assert backend.peer().received == header + case.commands


@all_protocols
def test_version_2_towards_the_backend(scene: Scene, case: Case) -> None:
    backend = scene.backend(behind_header(case, len(V2)))
    settings = proxy_settings(proxy_protocol=ProxyProtocol.V2)
    proxy = scene.proxy(
        case.protocol, scene.auth_for(backend), proxy=settings, proxy_protocol=True, real_ip_from=LOOPBACK
    )
    client = scene.client(proxy)
    header = build_v2(SOURCE, InetAddress(*proxy.address))
    client.send(V1)
    client.expect(case.greeting)
    client.talk((case.login, case.answer))
    assert backend.peer().received == header + case.commands.replace(b"127.0.0.1", b"192.0.2.7")


def test_families_are_not_mixed_in_one_header(scene: Scene) -> None:
    backend = scene.backend(behind_header(IMAP))
    settings = proxy_settings(proxy_protocol=ProxyProtocol.V1)
    proxy = scene.proxy("imap", scene.auth_for(backend), proxy=settings, proxy_protocol=True, real_ip_from=LOOPBACK)
    client = scene.client(proxy)
    client.send(IPV6)
    client.expect(IMAP.greeting)
    client.talk((IMAP.login, IMAP.answer))
    header = b"PROXY TCP6 2001:db8::7 ::ffff:127.0.0.1 4711 %d\r\n" % proxy.address[1]
    assert backend.peer().received.startswith(header)
