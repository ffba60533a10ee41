"""Backends that the auth service names: looked up, tried in turn, and held to their names over TLS."""

from __future__ import annotations

import os
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from mailworker.config.resolver import ResolverSettings
from mailworker.config.settings import MailServer
from mailworker.errors import ConnectionLost, Party, ProtocolError
from mailworker.event.connections import Connections
from mailworker.event.plan import Link
from mailworker.mail.client.host import Resolver
from mailworker.mail.session_log import SessionLog
from mailworker.mail.targets import TARGETS, BackendAddress, Connected, FailedAddresses, Target, Targets
from mailworker.model import InetAddress
from mailworker.wire.auth_response import Accepted
from tests.mail.cases import IMAP, Case, all_protocols
from tests.mail.conftest import Scene
from tests.support.auth import response
from tests.support.backend import conversation
from tests.support.certificates import CertificateAuthority, ecdsa_key
from tests.support.daemon import wait_until
from tests.support.name_server import Answer, NameServer, code, records, silence
from tests.support.peer import Peer
from tests.support.proxy import Proxy
from tests.support.settings import access_log, proxy_settings, proxy_ssl_settings

NAME = "imap.example.com"
# An address of this process: no other one listens there, on whatever port.
SILENT = str(ip_address("127.64.0.0") + os.getpid())
TIMEOUT = 20.0  # seconds, of resolver_timeout
LOGGED = ', client: 127.0.0.1, server: {proxy}, login: "user@example.com", upstream: {backend}'


def a(*addresses: str, ttl: int = 60) -> Answer:
    return records(*((NAME, ttl, "A", address) for address in addresses))


def answers(answer: Answer) -> dict[str, Answer]:
    return {f"{NAME} A": answer, f"{NAME} AAAA": records()}


def proxy_for(
    scene: Scene, names: dict[str, Answer] | NameServer, port: int, case: Case = IMAP, name: str = NAME, **changes: Any
) -> Proxy:
    """A proxy whose auth service sends everybody to `name` and `port`."""
    verdict = response((b"Auth-Status", b"OK"), (b"Auth-Server", name.encode()), (b"Auth-Port", b"%d" % port))
    server = names if isinstance(names, NameServer) else scene.name_server(names)
    resolver = ResolverSettings((server.address,), timeout=TIMEOUT)
    return scene.proxy(case.protocol, scene.auth(verdict), resolver=resolver, **changes)


def log_in(scene: Scene, proxy: Proxy, case: Case = IMAP) -> Peer:
    client = scene.client(proxy)
    client.expect(case.greeting)
    client.send(case.login)
    return client


@pytest.fixture
def resources() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@all_protocols
def test_a_named_backend_is_looked_up(scene: Scene, case: Case) -> None:
    backend = scene.backend(case.script())
    proxy = proxy_for(scene, answers(a("127.0.0.1")), backend.address.port, case, "IMAP.Example.COM")
    log_in(scene, proxy, case).expect(case.answer)
    wait_until(lambda: any("client logged in" in line for line in proxy.log.lines), "the end of the login")
    logged = LOGGED.format(proxy=InetAddress(*proxy.address), backend=backend.address)
    assert f"[info] *1 client logged in{logged}" in proxy.log.lines


def test_what_was_found_serves_the_next_login_too(scene: Scene) -> None:
    backend = scene.backend(IMAP.script())
    server = scene.name_server(answers(a("127.0.0.1")))
    proxy = proxy_for(scene, server, backend.address.port)
    for _ in range(3):
        log_in(scene, proxy).expect(IMAP.answer)
    assert server.questions == [f"{NAME} A"]


def test_a_backend_with_ipv6_alone_is_found(scene: Scene) -> None:
    found = {f"{NAME} A": records(), f"{NAME} AAAA": records((NAME, 60, "AAAA", "::1"))}
    proxy = proxy_for(scene, found, scene.nowhere("::1").port)
    assert log_in(scene, proxy).rest() == IMAP.error
    (line,) = errors(proxy)
    assert "connect() failed (111: Connection refused) while connecting to upstream, " in line
    assert ", upstream: ::1:" in line


def test_an_address_without_an_answer_is_followed_by_the_next_one(scene: Scene) -> None:
    backend = scene.backend(IMAP.script())
    port = backend.address.port
    proxy = proxy_for(scene, answers(a("127.0.0.1", "127.0.0.2", "127.0.0.3")), port)
    for _ in range(60):  # each begins with another of the three by chance
        log_in(scene, proxy).expect(IMAP.answer)
        if errors(proxy):
            break
    assert errors(proxy)
    for line in errors(proxy):
        assert "connect() failed (111: Connection refused) while connecting to upstream, client: 127.0.0.1, " in line
        assert line.endswith((f"upstream: 127.0.0.2:{port}", f"upstream: 127.0.0.3:{port}"))


def test_each_try_has_its_times(scene: Scene) -> None:
    port = scene.backend(IMAP.script()).address.port
    text = b"$upstream_addr; $upstream_connect_time; $upstream_first_byte_time"
    proxy = proxy_for(scene, answers(a("127.0.0.1", "127.0.0.2")), port, access_log=access_log(text))
    for count in range(1, 61):  # each begins with another of the two by chance
        client = log_in(scene, proxy)
        client.expect(IMAP.answer)
        client.end()
        line = proxy.lines.expect(count)[-1]
        if errors(proxy):
            break
    time = rb"-, \d+\.\d{3}"
    assert re.fullmatch(rb"127\.0\.0\.2:%d, 127\.0\.0\.1:%d; %b; %b\n" % (port, port, time, time), line)


@pytest.mark.parametrize(
    ("ipv4", "reason"),
    [
        ("127.0.0.2", "connect() failed (111: "),
        ("255.255.255.255", "connect() to 255.255.255.255:{port} failed (101: "),
    ],
    ids=["refused", "no way there"],
)
def test_ipv6_is_tried_where_ipv4_leads_nowhere(scene: Scene, ipv4: str, reason: str) -> None:
    backend = scene.backend(IMAP.script())
    port = backend.address.port
    found = {f"{NAME} A": a(ipv4), f"{NAME} AAAA": records((NAME, 60, "AAAA", "::ffff:127.0.0.1"))}
    server = scene.name_server(found)
    proxy = proxy_for(scene, server, port)
    for _ in range(3):
        log_in(scene, proxy).expect(IMAP.answer)
    (line,) = errors(proxy)  # then it is known
    assert f"{reason.format(port=port)}" in line
    assert " while connecting to upstream, " in line and line.endswith(f"upstream: {ipv4}:{port}")
    assert server.questions == [f"{NAME} A", f"{NAME} AAAA"]
    scene.skip(11)
    log_in(scene, proxy).expect(IMAP.answer)
    assert len(errors(proxy)) == 2


@pytest.mark.parametrize("answer", [records(), code("SERVFAIL")], ids=["none", "failed"])
def test_where_there_is_no_ipv6_the_failure_is_that_of_ipv4(scene: Scene, answer: Answer) -> None:
    server = scene.name_server({f"{NAME} A": a("127.0.0.2"), f"{NAME} AAAA": answer})
    proxy = proxy_for(scene, server, scene.nowhere("127.0.0.2").port)
    for number in (1, 2):
        assert log_in(scene, proxy).rest() == IMAP.error
        assert len(errors(proxy)) == number
        assert "connect() failed (111: Connection refused) while connecting to upstream, " in errors(proxy)[-1]


def test_sessions_begin_with_different_addresses(scene: Scene) -> None:
    port = scene.nowhere("127.0.0.2").port
    proxy = proxy_for(scene, answers(a("127.0.0.2", "127.0.0.3")), port)
    first = set()
    for number in range(64):
        assert log_in(scene, proxy).rest() == IMAP.error
        first.add(errors(proxy)[2 * number].rpartition("upstream: ")[2])
        if len(first) > 1:
            return
    raise AssertionError(f"always {first}")


def test_when_none_answers_the_login_fails(scene: Scene) -> None:
    port = scene.nowhere("127.0.0.2").port
    proxy = proxy_for(scene, answers(a("127.0.0.2", "127.0.0.3")), port)
    assert log_in(scene, proxy).rest() == IMAP.error
    assert len(errors(proxy)) == 2


def test_a_silent_address_delays_one_login_by_a_part_of_the_timeout(
    scene: Scene, resources: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = scene.backend(IMAP.script())
    port = backend.address.port
    fill(resources, SILENT, port)
    monkeypatch.setattr("mailworker.mail.targets.randbelow", lambda count: count - 1)
    proxy = proxy_for(scene, answers(a("127.0.0.1", SILENT)), port, timeout=1000.0)
    others = connecting(port)
    for number in (1, 2):
        client = log_in(scene, proxy)
        wait_until(lambda: connecting(port) > others, "an attempt to connect")
        if number == 2:  # it is the one that tries
            log_in(scene, proxy).expect(IMAP.answer)
        scene.skip(501)
        client.expect(IMAP.answer)
        log_in(scene, proxy).expect(IMAP.answer)
        line = [line for line in proxy.log.lines if "timed out" in line][number - 1]
        assert "[info] *" in line
        assert "upstream timed out (110: Connection timed out) while connecting to upstream, client: " in line
        assert line.endswith(f"upstream: {SILENT}:{port}")
        scene.skip(11)


def test_an_address_is_tried_last_until_its_time_is_over_or_it_answers() -> None:
    first, second = InetAddress("192.0.2.1", 143), InetAddress("192.0.2.2", 143)
    failed = FailedAddresses()
    found = [first, second]
    failed.trying(first, 100.0)  # there was nothing against it
    assert failed.put_last(found, 1.0) == found
    failed.add(first, 1.0)
    assert failed.put_last(found, 10.0) == [second, first]
    assert failed.put_last(found, 11.0) == found
    failed.trying(first, 20.0)
    assert failed.put_last(found, 11.0) == [second, first]
    failed.discard(first)
    assert failed.put_last(found, 11.0) == found


def test_no_more_addresses_are_remembered_than_may_be() -> None:
    failed = FailedAddresses()
    addresses = [InetAddress("192.0.2.1", port) for port in range(1, 1026)]
    for address in addresses:
        failed.add(address, 1.0)
    assert failed.put_last(addresses, 1.0) == addresses  # only the last one is left


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ({}, "(3: Host not found)"),
        (answers(records()), "(3: Host not found)"),
        (answers(code("REFUSED")), "(5: Operation refused)"),
    ],
    ids=["no such name", "no address", "refused"],
)
@all_protocols
def test_a_backend_that_is_not_found_is_an_internal_error(
    scene: Scene, found: dict[str, Answer], reason: str, case: Case
) -> None:
    proxy = proxy_for(scene, found, 1, case)
    assert log_in(scene, proxy, case).rest() == case.error
    (line,) = [line for line in errors(proxy) if "upstream address" in line]
    logged = LOGGED.format(proxy=InetAddress(*proxy.address), backend=f"{NAME}:1")
    message = f'upstream "{NAME}" could not be resolved {reason} while in resolving upstream address'
    assert line == f"[error] *1 {message}{logged}"


def test_a_name_server_that_is_silent_is_waited_for_no_longer_than_resolver_timeout(scene: Scene) -> None:
    server = scene.name_server(answers(silence))
    proxy = proxy_for(scene, server, 1)
    client = log_in(scene, proxy)
    for number in range(1, 5):
        await_queries(server, number)
        scene.skip(TIMEOUT / 4 + 1)
    assert client.rest() == IMAP.error
    assert "could not be resolved (110: Operation timed out)" in errors(proxy)[-1]


def test_without_a_resolver_a_name_is_an_invalid_address(scene: Scene) -> None:
    verdict = response((b"Auth-Status", b"OK"), (b"Auth-Server", NAME.encode()), (b"Auth-Port", b"1"))
    proxy = scene.proxy("imap", scene.auth(verdict))
    assert log_in(scene, proxy).rest() == IMAP.error
    assert f'sent invalid server address:"{NAME}" while in http auth state' in errors(proxy)[0]


@pytest.mark.parametrize(("issued_to", "trusted"), [(NAME, True), ("other.example.com", False)])
def test_over_tls_a_named_backend_must_have_its_name(
    scene: Scene, tmp_path: Path, issued_to: str, trusted: bool
) -> None:
    authority = CertificateAuthority(tmp_path)
    certificate = authority.issue_server("backend", ecdsa_key(), (issued_to,))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    asked_for: list[str | None] = []
    context.sni_callback = lambda connection, name, context: asked_for.append(name)

    def follow(peer: Peer) -> None:
        peer.serve_tls(context)
        conversation(*IMAP.backend)(peer)

    tls = proxy_ssl_settings(verify=True, trusted_certificate=str(authority.path), server_name=True)
    backend = scene.backend(follow)
    proxy = proxy_for(scene, answers(a("127.0.0.1")), backend.address.port, proxy=proxy_settings(ssl=tls))
    client = log_in(scene, proxy)
    if trusted:
        client.expect(IMAP.answer)
    else:
        assert client.rest() == IMAP.error
        assert f'upstream SSL certificate does not match "{NAME}"' in errors(proxy)[0]
    assert asked_for == [NAME]


def errors(proxy: Proxy) -> list[str]:
    return [line for line in proxy.log.lines if line.startswith("[error]")]


def await_queries(server: NameServer, number: int) -> None:
    wait_until(lambda: len(server.asked) >= number, "a query")


def connecting(port: int) -> int:
    """How many sockets wait for somebody at `port` to take their connection."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(remote.endswith(f":{port:04X}") and state == "02" for _, _, remote, state, *_ in rows)


def fill(resources: ExitStack, host: str, port: int) -> None:
    """Let nobody answer there: a listener whose queue is full."""
    listening = resources.enter_context(socket.socket())
    listening.bind((host, port))
    listening.listen(0)
    for _ in range(2):
        waiting = resources.enter_context(socket.socket())
        waiting.setblocking(False)
        waiting.connect_ex((host, port))


class Fixed:
    """Sends everybody to the first of two addresses that takes a connection, whatever the answer says."""

    def __init__(self, *addresses: InetAddress) -> None:
        self._addresses = addresses

    def given(self, _backend: BackendAddress) -> None:
        pass

    def candidates(self, _accepted: Accepted) -> Fixed:
        return self

    async def connect(self, connections: Connections, timeout: float, log: SessionLog, connected: Connected) -> Link:
        for address in self._addresses:
            stream = connections.connect(address, Party.BACKEND)
            stream.deadline = connections.loop.now + timeout
            try:
                await stream.established()
            except ConnectionLost as error:
                stream.close()
                log.fault(error)
            else:
                return connected(stream, Target(address))
        raise ProtocolError(Party.BACKEND, "no live upstreams")


def test_a_choice_of_the_table_needs_no_other_edit(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    gone, backend = scene.nowhere(), scene.backend(IMAP.script())

    def make(settings: MailServer, _resolver: Resolver | None) -> Targets | None:
        return Fixed(gone, backend.address) if settings.server_name == b"fixed" else None

    monkeypatch.setattr("mailworker.mail.targets.TARGETS", (make, *TARGETS))
    elsewhere = scene.auth(response((b"Auth-Status", b"OK"), (b"Auth-Server", b"192.0.2.1"), (b"Auth-Port", b"143")))
    client = log_in(scene, scene.proxy("imap", elsewhere, server_name=b"fixed"))
    client.expect(IMAP.answer)
    assert backend.peer().received == IMAP.commands
