"""Who is at the other end, and what auth services and backends are told of it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from typing import cast

import pytest

from mailworker.config.listen import Listen
from mailworker.event.stream import SocketStream
from mailworker.mail.client.address import Networks
from mailworker.mail.client.client import Client
from mailworker.mail.client.host import UNAVAILABLE
from mailworker.mail.session_log import SessionLog
from mailworker.model import Address, AuthMethod, InetAddress, ProxyProtocol, UnixAddress
from mailworker.wire.identity import Identity
from mailworker.wire.login import Login
from mailworker.wire.proxy_protocol import build_v1, build_v2
from tests.support.memory_stream import MemoryStream, MemoryTls, run
from tests.support.recorded_log import RecordedLog
from tests.support.settings import mail_server, proxy_settings

PEER, BEHIND = InetAddress("192.0.2.1", 4711), InetAddress("203.0.113.7", 4712)
HERE = InetAddress("198.51.100.1", 143)
LISTEN = Listen(HERE)
LOGIN = Login(AuthMethod.PLAIN, b"user")
TRUSTED: Networks = (ip_network("192.0.2.0/24"),)


class Stream(MemoryStream):
    """A stream that counts its bytes; its descriptor is that of the socket `connected`, if there is one."""

    def __init__(self, *script: bytes, connected: socket.socket | None = None, tls: MemoryTls | None = None) -> None:
        super().__init__(*script, tls=tls)
        self.received = 0
        self.descriptor = -1 if connected is None else connected.fileno()

    async def read(self, limit: int) -> bytes:
        data = await super().read(limit)
        self.received += len(data)
        return data


def client_of(stream: Stream, peer: Address = PEER) -> Client:
    return Client(cast(SocketStream, stream), peer, LISTEN)


def log_of(recorded: RecordedLog | None = None) -> SessionLog:
    return SessionLog(recorded or RecordedLog(), 1, "192.0.2.1")


@pytest.fixture
def connected() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_connection(listening.getsockname()) as ours:
        yield ours


@pytest.mark.parametrize(("peer", "ip"), [(PEER, "192.0.2.1"), (UnixAddress(""), "unix:")], ids=str)
def test_who_connected_is_the_client_without_a_header(peer: Address, ip: str) -> None:
    client = client_of(Stream(), peer)
    assert (client.address, client.ip, client.host) == (peer, ip, UNAVAILABLE)


@pytest.mark.parametrize("build", [build_v1, build_v2])
@pytest.mark.parametrize(("trusted", "address"), [(TRUSTED, BEHIND), ((), PEER)], ids=["trusted", "not trusted"])
def test_a_header_is_believed_of_a_trusted_peer_and_its_bytes_are_not_the_client_s(
    build: type, trusted: Networks, address: Address
) -> None:
    stream = Stream(build(BEHIND, HERE) + b"a NOOP\r\n")
    client = client_of(stream)
    log = log_of()
    assert run(client.read_proxy_header(trusted, log))
    assert log.client == client.ip
    assert (client.peer, client.address) == (PEER, address)
    assert (stream.received, stream.unread) == (0, b"a NOOP\r\n")


def test_what_is_no_header_is_told_the_log_and_changes_nothing() -> None:
    client = client_of(Stream(b"a NOOP\r\n"))
    recorded = RecordedLog()
    assert not run(client.read_proxy_header(TRUSTED, log_of(recorded)))
    assert client.address == PEER
    assert "while reading PROXY protocol" in recorded.find("[error]")


@pytest.mark.parametrize("believed", [True, False])
def test_backends_are_told_of_the_client_in_either_version(connected: socket.socket, believed: bool) -> None:
    local = InetAddress(*connected.getsockname())
    client = client_of(Stream(build_v1(BEHIND, HERE), connected=connected))
    if believed:
        run(client.read_proxy_header(TRUSTED, log_of()))
    source = BEHIND if believed else PEER
    assert client.proxy_protocol(proxy_settings(proxy_protocol=ProxyProtocol.V1), log_of()) == build_v1(source, local)
    assert client.proxy_protocol(proxy_settings(proxy_protocol=ProxyProtocol.V2), log_of()) == build_v2(
        source, local, None
    )


@pytest.mark.parametrize(("tells_host", "host"), [(True, b"mx.example.com"), (False, None)])
def test_the_auth_service_is_told_the_host_where_the_protocol_has_it_so(tells_host: bool, host: bytes | None) -> None:
    client = client_of(Stream())
    client.host = b"mx.example.com"
    request = client.auth_request(LOGIN, 2, mail_server("smtp"), tells_host=tells_host)
    told = request.protocol, request.attempt, request.client_ip, request.client_host, request.proxy_protocol
    assert told == ("smtp", 2, b"192.0.2.1", host, None)
    assert request.login is LOGIN


def test_the_auth_service_is_told_of_the_header_and_of_the_address_that_counts() -> None:
    client = client_of(Stream(build_v1(BEHIND, HERE)))
    run(client.read_proxy_header(TRUSTED, log_of()))
    request = client.auth_request(LOGIN, 1, mail_server("imap"), tells_host=False)
    assert request.client_ip == b"203.0.113.7"
    assert request.proxy_protocol is not None
    assert request.proxy_protocol.destination == HERE


@pytest.mark.parametrize("tls", [None, MemoryTls()], ids=["in clear", "over TLS without ssl"])
def test_the_auth_service_hears_nothing_of_tls_where_there_is_none(tls: MemoryTls | None) -> None:
    settings = replace(mail_server("imap"), ssl=None)
    assert client_of(Stream(tls=tls)).auth_request(LOGIN, 1, settings, tells_host=False).tls is None


class NamedTls(MemoryTls):
    """One whose client has asked for a name."""

    name = b""

    @property
    def server_name(self) -> bytes:
        return self.name


@pytest.mark.parametrize(("name", "told"), [(b"", None), (b"imap.example.org", b"imap.example.org"), (b"a..b", None)])
@pytest.mark.parametrize("secure", [False, True])
def test_backends_that_believe_us_are_told_of_the_session(
    connected: socket.socket, secure: bool, name: bytes, told: bytes | None
) -> None:
    tls = NamedTls()
    tls.name = name
    client = client_of(Stream(connected=connected, tls=tls if secure else None))
    local = InetAddress(*connected.getsockname())
    expected = Identity(PEER, local, b"session", 6, secure, told if secure else None)
    assert client.identity(b"session", 6) == expected
