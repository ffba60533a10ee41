"""`proxy_pass`: where logins go whose source names no backend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from mailworker.config.proxy_pass import ProxyPass
from mailworker.config.resolver import ResolverSettings
from mailworker.config.variables import VariablesSettings
from mailworker.errors import Party, ProtocolError
from mailworker.mail.proxy_pass import configured_backend
from mailworker.model import BackendName, InetAddress, UnixAddress
from mailworker.variables.map import Map
from mailworker.variables.template import parse
from mailworker.variables.variables import Variables
from tests.mail.cases import IMAP, Case, all_protocols
from tests.mail.conftest import Scene
from tests.mail.test_targets import SILENT, connecting, fill
from tests.support.auth import response
from tests.support.daemon import wait_until
from tests.support.name_server import records
from tests.support.proxy import Proxy
from tests.support.settings import proxy_settings
from tests.variables.facts import Session
from tests.variables.hosts import hosts

OK = response((b"Auth-Status", b"OK"))


@pytest.fixture
def resources() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def proxy(scene: Scene, case: Case, answer: bytes, backend: ProxyPass, **fields: Any) -> Proxy:
    return scene.proxy(case.protocol, scene.auth(answer), proxy=proxy_settings(backend=backend), **fields)


@all_protocols
def test_an_answer_without_a_backend_goes_to_the_one_of_proxy_pass(scene: Scene, case: Case) -> None:
    backend = scene.backend(case.script())
    server = proxy(scene, case, OK, ProxyPass(parse(b""), (backend.address,)))
    client = scene.client(server)
    client.expect(case.greeting)
    client.talk((case.login, case.answer))
    assert backend.peer().received == case.commands
    assert f"upstream: {backend.address}" in server.log.find("client logged in")


def test_the_backend_that_an_answer_names_comes_first(scene: Scene) -> None:
    backend = scene.backend(IMAP.script())
    answer = response(
        (b"Auth-Status", b"OK"), (b"Auth-Server", b"127.0.0.1"), (b"Auth-Port", b"%d" % backend.address.port)
    )
    client = scene.client(proxy(scene, IMAP, answer, ProxyPass(parse(b""), (InetAddress("127.0.0.1", 1),))))
    client.expect(IMAP.greeting)
    client.talk((IMAP.login, IMAP.answer))


@pytest.mark.parametrize("given", [(b"Auth-Server", b"127.0.0.1"), (b"Auth-Port", b"143")])
def test_half_a_backend_is_none(scene: Scene, given: tuple[bytes, bytes]) -> None:
    answer = response((b"Auth-Status", b"OK"), given)
    server = proxy(scene, IMAP, answer, ProxyPass(parse(b""), (InetAddress("127.0.0.1", 1),)))
    client = scene.client(server)
    client.expect(IMAP.greeting)
    client.talk((IMAP.login, IMAP.error))
    server.log.find("did not send server or port")


def routes(**users: bytes) -> VariablesSettings:
    """`$store` of users by their names, as the auth service gives these back."""
    return VariablesSettings({"store": Map(parse(b"$remote_user"), b"", table=hosts(users))})


def test_a_variable_leads_each_user_to_a_backend_of_the_configuration(scene: Scene) -> None:
    backend = scene.backend(IMAP.script())
    answer = response((b"Auth-Status", b"OK"), (b"Auth-User", b"mailbox"))
    auth = scene.auth(answer)
    server = scene.proxy(
        "imap",
        auth,
        proxy=proxy_settings(backend=ProxyPass(parse(b"$store"))),
        variables=routes(mailbox=str(backend.address).encode()),
    )
    client = scene.client(server)
    client.expect(IMAP.greeting)
    client.send(IMAP.login)
    client.expect(IMAP.answer)


def test_a_variable_without_a_value_leads_nowhere(scene: Scene) -> None:
    server = proxy(scene, IMAP, OK, ProxyPass(parse(b"$store")), variables=routes(somebody=b"127.0.0.1:1"))
    client = scene.client(server)
    client.expect(IMAP.greeting)
    client.talk((IMAP.login, IMAP.error))
    assert '[error] *1 no host in upstream "" while choosing upstream, client: ' in server.log.find("no host")


@pytest.mark.parametrize(
    ("text", "backend"),
    [
        (b"192.0.2.1:143", InetAddress("192.0.2.1", 143)),
        (b"[2001:db8::1]:143", InetAddress("2001:db8::1", 143)),
        (b"unix:/run/imap", UnixAddress("/run/imap")),
        (b"Mail.example.com:143", BackendName("mail.example.com", 143)),
        (b"mail.example.com.:143", BackendName("mail.example.com", 143)),
    ],
)
def test_a_value_is_an_address_or_a_name(text: bytes, backend: object) -> None:
    variables = Variables({"store": Map(parse(b"x"), text)})
    assert configured_backend(ProxyPass(parse(b"$store")), variables, names=True)(Session()) == backend


@pytest.mark.parametrize(
    ("text", "names", "message"),
    [
        (b"", True, 'no host in upstream ""'),
        (b"192.0.2.1", True, 'no port in upstream "192.0.2.1"'),
        (b"host:0", True, 'invalid port in upstream "host:0"'),
        (b"-:1", True, 'invalid host in upstream "-:1"'),
        (b"a\xff:1", True, 'invalid host in upstream "a\\xFF:1"'),
        (b"mail.example.com:143", False, "no resolver defined to resolve mail.example.com"),
    ],
)
def test_a_value_that_is_no_backend_is_the_backends_fault(text: bytes, names: bool, message: str) -> None:
    variables = Variables({"store": Map(parse(b"x"), text)})
    choose = configured_backend(ProxyPass(parse(b"$store")), variables, names=names)
    with pytest.raises(ProtocolError) as error:
        choose(Session())
    assert (error.value.party, str(error.value)) == (Party.BACKEND, message)


def test_a_host_of_several_addresses_keeps_its_name() -> None:
    """Its certificate is checked against it."""
    addresses = (InetAddress("192.0.2.1", 143), InetAddress("2001:db8::1", 143))
    choose = configured_backend(ProxyPass(parse(b"mail.example.com:143"), addresses), Variables({}), names=False)
    assert choose(Session()) == BackendName("mail.example.com", 143, addresses)


def test_the_addresses_of_a_host_are_tried_in_random_turn_those_of_ipv6_last(scene: Scene) -> None:
    backend = scene.backend(IMAP.script())
    port = backend.address.port
    hosts = ("127.0.0.2", "127.0.0.3", "::ffff:127.0.0.1")
    several = ProxyPass(parse(b"host:%d" % port), tuple(InetAddress(host, port) for host in hosts))
    first = set()
    for _ in range(64):
        server = proxy(scene, IMAP, OK, several)
        client = scene.client(server)
        client.expect(IMAP.greeting)
        client.talk((IMAP.login, IMAP.answer))
        tried = [line.rpartition("upstream: ")[2] for line in server.log.lines if "connect() failed (111: " in line]
        assert sorted(tried) == [f"127.0.0.2:{port}", f"127.0.0.3:{port}"]
        first.add(tried[0])
        if len(first) == 2:
            return
    raise AssertionError(f"always {first}")


def test_an_address_that_is_silent_leaves_its_part_of_the_timeout_to_ipv6(scene: Scene, resources: ExitStack) -> None:
    port = scene.backend(IMAP.script()).address.port
    fill(resources, SILENT, port)
    several = ProxyPass(parse(b"host:%d" % port), (InetAddress(SILENT, port), InetAddress("::ffff:127.0.0.1", port)))
    others = connecting(port)
    client = scene.client(proxy(scene, IMAP, OK, several, timeout=1000.0))
    client.expect(IMAP.greeting)
    client.send(IMAP.login)
    wait_until(lambda: connecting(port) > others, "an attempt to connect")
    scene.skip(501)
    client.expect(IMAP.answer)


def test_a_name_is_looked_up_by_the_servers_resolver(scene: Scene) -> None:
    backend = scene.backend(IMAP.script())
    name = "store.example.com"
    dns = scene.name_server({f"{name} A": records((name, 60, "A", "127.0.0.1")), f"{name} AAAA": records()})
    server = proxy(
        scene,
        IMAP,
        OK,
        ProxyPass(parse(b"$store")),
        variables=VariablesSettings({"store": Map(parse(b"x"), b"store.example.com:%d" % backend.address.port)}),
        resolver=ResolverSettings(servers=(dns.address,)),
    )
    client = scene.client(server)
    client.expect(IMAP.greeting)
    client.talk((IMAP.login, IMAP.answer))
