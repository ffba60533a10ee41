"""The name of an SMTP client, as auth services and backends are told it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, ip_address

import dns.message
import pytest

from mailworker.config.resolver import ResolverSettings
from mailworker.event.connections import Connections
from mailworker.event.loop import Loop
from mailworker.mail.client.host import TEMPUNAVAIL, UNAVAILABLE, IpAddress, find_host
from mailworker.mail.session_log import SessionLog
from mailworker.model import InetAddress, UnixAddress
from tests.mail.cases import IMAP, POP3, SMTP
from tests.mail.cases import Case as LoginCase
from tests.mail.conftest import Scene
from tests.support.daemon import wait_until
from tests.support.memory_stream import run
from tests.support.name_server import Answer, NameServer, code, records, silence
from tests.support.patience import PATIENCE
from tests.support.recorded_log import RecordedLog
from tests.support.settings import dialogue_settings
from tests.tls.peers import client_context

TIMEOUT = 20.0  # seconds
PTR = "1.0.0.127.in-addr.arpa"
NAME = "Host-1.Example"
POINTER = records((PTR, 60, "PTR", f"{NAME}."))
A = records((NAME, 60, "A", "127.0.0.1"))
AAAA = records((NAME, 60, "AAAA", "2001:db8::1"))
NO_DATA = records()
ADDRESS_ACTION = " while in resolving client address, client: 127.0.0.1, server: "
HOST_ACTION = " while in resolving client hostname, client: 127.0.0.1, server: "
TEXTS = {"SERVFAIL": "(2: Server failure)", "NOTIMP": "(4: Unimplemented)", "REFUSED": "(5: Operation refused)"}


@dataclass(frozen=True, slots=True)
class Case:
    """What the name servers say of 127.0.0.1 and its name, and what comes of it.

    `log` is the line at [error], None for none; after `silence` questions only time helps, 0 for never.
    """

    name: str
    host: bytes
    pointer: Answer = POINTER
    a: Answer = A
    aaaa: Answer = NO_DATA
    log: str | None = None
    silence: int = 0
    settings: Mapping[str, bool] = field(default_factory=dict)

    def server(self, scene: Scene) -> NameServer:
        name = NAME.lower()
        return scene.name_server({f"{PTR} PTR": self.pointer, f"{name} A": self.a, f"{name} AAAA": self.aaaa})


def unresolved(what: str, text: str) -> str:
    action = ADDRESS_ACTION if what == "127.0.0.1" else HOST_ACTION
    return f"[error] *1 {what} could not be resolved {text}{action}"


def invalid(name: str) -> str:
    return f'[error] *1 127.0.0.1 resolved to invalid host name "{name}"{ADDRESS_ACTION}'


def no_address(text: str) -> str:
    return unresolved(f'"{NAME.lower()}"', text)


def pointing_to(name: str) -> Answer:
    return records((PTR, 60, "PTR", name))


NOT_FOUND = "(3: Host not found)"
TIMED_OUT = "(110: Operation timed out)"
HOST = NAME.lower().encode()
LONGEST = ".".join(["a" * 49] * 5)

CONFIRMED = [
    Case("the address leads back", HOST),
    Case("one of several addresses", HOST, a=records(*((NAME, 60, "A", f"127.0.0.{i}") for i in (3, 2, 1)))),
    Case("the other version fails", HOST, aaaa=code("SERVFAIL")),
    Case("the other version is silent", HOST, aaaa=silence),
    Case("ipv6=off", HOST, settings={"ipv6": False}),
    Case(
        "behind aliases",
        HOST,
        pointer=records((PTR, 60, "CNAME", "1.0-7.127.example."), ("1.0-7.127.example", 60, "PTR", f"{NAME}.")),
        a=records((NAME, 60, "CNAME", "a.example."), ("a.example", 60, "A", "127.0.0.1")),
    ),
]

WITHOUT_POINTER = [
    Case("NXDOMAIN", UNAVAILABLE, code("NXDOMAIN"), log=unresolved("127.0.0.1", NOT_FOUND)),
    Case("an empty answer", UNAVAILABLE, NO_DATA, log=unresolved("127.0.0.1", NOT_FOUND)),
    Case("silence", TEMPUNAVAIL, silence, log=unresolved("127.0.0.1", TIMED_OUT), silence=1),
    Case("FORMERR", TEMPUNAVAIL, code("FORMERR"), log=unresolved("127.0.0.1", TIMED_OUT), silence=1),
    Case("an unknown code", TEMPUNAVAIL, code("NOTAUTH"), log=unresolved("127.0.0.1", TIMED_OUT), silence=1),
] + [Case(rcode, TEMPUNAVAIL, code(rcode), log=unresolved("127.0.0.1", text)) for rcode, text in TEXTS.items()]

INVALID = [
    Case(
        "a header in the name",
        TEMPUNAVAIL,
        pointing_to(r"x\013\010Auth-Status:\032OK."),
        log=invalid(r"x\x0D\x0Aauth-status: ok"),
    ),
    Case("an attribute in the name", TEMPUNAVAIL, pointing_to(r"x\032LOGIN=root."), log=invalid("x login=root")),
    Case("NUL", TEMPUNAVAIL, pointing_to(r"x\000."), log=invalid(r"x\x00")),
    Case("an underscore", TEMPUNAVAIL, pointing_to("a_b.example."), log=invalid("a_b.example")),
    Case("letters beyond ASCII", TEMPUNAVAIL, pointing_to(r"\195\169.example."), log=invalid("é.example")),
    Case("brackets", TEMPUNAVAIL, pointing_to("[UNAVAILABLE]."), log=invalid("[unavailable]")),
    Case("the root", TEMPUNAVAIL, pointing_to("."), log=invalid("")),
    Case("a dot in a label", TEMPUNAVAIL, pointing_to(r"\..example."), log=invalid("..example")),
]

WITHOUT_ADDRESS = [
    Case("another address", UNAVAILABLE, a=records((NAME, 60, "A", "127.0.0.2"))),
    Case(
        "another address, and the other version fails",
        UNAVAILABLE,
        a=records((NAME, 60, "A", "127.0.0.2")),
        aaaa=code("SERVFAIL"),
    ),
    Case("only an address of the other version", UNAVAILABLE, a=NO_DATA, aaaa=AAAA),
    Case("ipv4=off", UNAVAILABLE, aaaa=AAAA, settings={"ipv4": False}),
    Case("NXDOMAIN", UNAVAILABLE, a=code("NXDOMAIN"), log=no_address(NOT_FOUND)),
    Case("no data in both versions", UNAVAILABLE, a=NO_DATA, log=no_address(NOT_FOUND)),
    Case("no data in the only version", UNAVAILABLE, a=NO_DATA, log=no_address(NOT_FOUND), settings={"ipv6": False}),
    Case(
        "no data, and the other version fails",
        TEMPUNAVAIL,
        a=NO_DATA,
        aaaa=code("SERVFAIL"),
        log=no_address("(2: Server failure)"),
    ),
    Case("silence", TEMPUNAVAIL, a=silence, log=no_address(TIMED_OUT), silence=2),
    Case("a circle of aliases", UNAVAILABLE, a=records((NAME, 60, "CNAME", f"{NAME}.")), log=no_address(NOT_FOUND)),
] + [Case(rcode, TEMPUNAVAIL, a=code(rcode), log=no_address(text)) for rcode, text in TEXTS.items()]


def names(cases: list[Case]) -> list[str]:
    return [case.name for case in cases]


def resolver_settings(server: NameServer, **settings: bool) -> ResolverSettings:
    return ResolverSettings((server.address,), timeout=TIMEOUT, **settings)


def check(scene: Scene, case: Case) -> None:
    """Log in, and look at what everybody is told."""
    backend = scene.backend(SMTP.script())
    auth = scene.auth_for(backend)
    server = case.server(scene)
    proxy = scene.proxy("smtp", auth, resolver=resolver_settings(server, **case.settings))
    client = scene.client(proxy)
    if case.silence:
        wait_until(lambda: len(server.asked) >= case.silence, "the question that gets no answer")
        scene.skip(TIMEOUT + 1.0)
    client.expect(SMTP.greeting)
    client.talk((SMTP.login, SMTP.answer))
    assert auth.header(b"Client-Host") == case.host
    assert backend.peer().received == SMTP.commands.replace(b"[UNAVAILABLE]", case.host)
    errors = [line for line in proxy.log.lines if line.startswith("[error] *")]
    assert errors == ([] if case.log is None else [f"{case.log}{InetAddress(*proxy.address)}"])


@pytest.mark.parametrize("case", CONFIRMED, ids=names(CONFIRMED))
def test_a_name_that_leads_back_is_the_clients(scene: Scene, case: Case) -> None:
    check(scene, case)


@pytest.mark.parametrize("case", WITHOUT_POINTER, ids=names(WITHOUT_POINTER))
def test_an_address_without_a_name(scene: Scene, case: Case) -> None:
    check(scene, case)


@pytest.mark.parametrize("case", INVALID, ids=names(INVALID))
def test_a_name_that_nobody_may_see(scene: Scene, case: Case) -> None:
    check(scene, case)


@pytest.mark.parametrize("case", WITHOUT_ADDRESS, ids=names(WITHOUT_ADDRESS))
def test_a_name_that_does_not_lead_back(scene: Scene, case: Case) -> None:
    check(scene, case)


def test_the_longest_name_fits(scene: Scene) -> None:
    server = scene.name_server(
        {f"{PTR} PTR": pointing_to(LONGEST + "."), f"{LONGEST} A": records((LONGEST, 60, "A", "127.0.0.1"))}
    )
    backend = scene.backend(SMTP.script())
    auth = scene.auth_for(backend)
    client = scene.client(scene.proxy("smtp", auth, resolver=resolver_settings(server)))
    client.expect(SMTP.greeting)
    client.talk((SMTP.login, SMTP.answer))
    assert auth.header(b"Client-Host") == LONGEST.encode()


@pytest.mark.parametrize("case", [IMAP, POP3], ids=["imap", "pop3"])
def test_names_are_smtps_alone(scene: Scene, case: LoginCase) -> None:
    server = scene.name_server({})
    backend = scene.backend(case.script())
    auth = scene.auth_for(backend)
    client = scene.client(scene.proxy(case.protocol, auth, resolver=resolver_settings(server)))
    client.expect(case.greeting)
    client.talk((case.login, case.answer))
    assert auth.header(b"Client-Host") is None
    assert server.asked == []


def test_a_servers_fault_is_not_the_sessions(scene: Scene) -> None:
    """The line about a server that does not understand has no session, as in nginx."""
    server = scene.name_server({f"{PTR} PTR": code("FORMERR")})
    proxy = scene.proxy("smtp", scene.auth(b""), resolver=resolver_settings(server))
    scene.client(proxy)
    line = proxy.log.find("DNS error")
    scene.skip(TIMEOUT + 1.0)
    assert line == f"[error] DNS error (1: Format error), query id:{server.asked[0].id}"


def test_the_name_is_that_of_a_trusted_balancers_client(scene: Scene) -> None:
    pointer = ip_address("2001:db8::1").reverse_pointer
    server = scene.name_server(
        {f"{pointer} PTR": records((pointer, 60, "PTR", f"{NAME}.")), f"{NAME.lower()} AAAA": AAAA}
    )
    backend = scene.backend(SMTP.script())
    auth = scene.auth_for(backend)
    proxy = scene.proxy(
        "smtp",
        auth,
        proxy_protocol=True,
        real_ip_from=(IPv4Network("127.0.0.0/8"),),
        resolver=resolver_settings(server),
    )
    client = scene.client(proxy)
    client.send(b"PROXY TCP6 2001:db8::1 ::1 1 25\r\n")
    client.expect(SMTP.greeting)
    client.talk((SMTP.login, SMTP.answer))
    assert auth.header(b"Client-Host") == HOST
    assert server.questions == [f"{pointer} PTR", f"{NAME.lower()} AAAA"]


def test_tls_comes_before_the_lookups(scene: Scene) -> None:
    server = Case("", HOST).server(scene)
    auth = scene.auth(b"")
    proxy = scene.tls_proxy("smtp", auth, implicit_tls=True, resolver=resolver_settings(server))
    client = scene.client(proxy)
    assert client.is_silent()
    assert server.asked == []
    client.start_tls(client_context())
    client.expect(SMTP.greeting)
    assert len(server.asked) == 2


def held(release: threading.Event, answer: Answer) -> Answer:
    def wait(query: dns.message.Message) -> list[bytes]:
        assert release.wait(PATIENCE)
        return answer(query)

    return wait


def test_what_a_client_says_meanwhile_is_answered_after_the_greeting(scene: Scene) -> None:
    """Its time does not run either: `timeout` begins with the greeting."""
    release = threading.Event()
    server = Case("", HOST, pointer=held(release, POINTER)).server(scene)
    proxy = scene.proxy("smtp", scene.auth(b""), timeout=0.1, resolver=resolver_settings(server))
    client = scene.client(proxy)
    client.send(b"HELO me\r\n")
    assert client.is_silent(0.3)
    client.send(b"NOOP\r\n")
    release.set()
    client.expect(SMTP.greeting + b"250 mail.example.com\r\n250 2.0.0 OK\r\n")


def test_the_greeting_delay_comes_after_the_lookups(scene: Scene) -> None:
    release = threading.Event()
    server = Case("", HOST, pointer=held(release, POINTER)).server(scene)
    delayed = dialogue_settings("smtp", greeting_delay=5.0)
    proxy = scene.proxy("smtp", scene.auth(b""), dialogue=delayed, resolver=resolver_settings(server))
    client = scene.client(proxy)
    client.send(b"HELO me\r\n")
    assert client.is_silent()
    release.set()
    assert client.rest() == b"503 5.5.0 Improper use of SMTP command pipelining\r\n"


def test_a_client_that_leaves_meanwhile_leaks_nothing(scene: Scene) -> None:
    release = threading.Event()
    server = Case("", HOST, pointer=held(release, POINTER)).server(scene)
    proxy = scene.proxy("smtp", scene.auth(b""), resolver=resolver_settings(server))
    client = scene.client(proxy)
    proxy.log.find("connected")
    client.reset()
    release.set()
    proxy.service_is_idle()


class RecordingResolver:
    """Knows every address; `asked` is what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def host_name(self, connections: Connections, address: IpAddress) -> bytes:
        self.asked.append(str(address))
        return b"host.example"

    async def addresses(
        self, connections: Connections, name: bytes, version: int, *, alone: bool = False
    ) -> frozenset[IpAddress]:
        return frozenset(map(ip_address, self.asked))


def host_of(address: InetAddress | UnixAddress) -> tuple[bytes, list[str]]:
    resolver = RecordingResolver()
    loop = Loop(lambda bug: None)
    log = SessionLog(RecordedLog(), 1, "")
    host = run(find_host(resolver, Connections(loop, 1), address, log))
    loop.close()
    return host, resolver.asked


def test_clients_of_a_unix_socket_have_no_name() -> None:
    assert host_of(UnixAddress("")) == (TEMPUNAVAIL, [])


@pytest.mark.parametrize("host", ["192.0.2.1", "::ffff:192.0.2.1"])
def test_an_ipv4_client_is_asked_for_by_its_ipv4_address(host: str) -> None:
    assert host_of(InetAddress(host, 1)) == (b"host.example", ["192.0.2.1"])


def loaded(program: str) -> set[str]:
    """The modules that `program` loads, in a process of its own."""
    command = [sys.executable, "-c", f"import sys\n{program}\nprint(*sys.modules)"]
    return set(subprocess.run(command, check=True, timeout=30, capture_output=True, text=True).stdout.split())


def test_workers_load_no_module_for_a_lookup() -> None:
    """They might not be allowed to read it."""
    before = "import mailworker.mail.service, mailworker.event.resolver"
    lookup = f"""
from ipaddress import ip_address
from mailworker.wire.dns import *
query = Query(1, Question(to_name(ip_address("::1").reverse_pointer.encode()), RecordType.PTR))
assert query.read({build_answer()!r}).records == (b"host.example",)
"""
    assert loaded(before + lookup) - loaded(before) <= set()


def build_answer() -> bytes:
    pointer = ip_address("::1").reverse_pointer
    query = dns.message.make_query(f"{pointer}.", "PTR", id=1)
    others = (pointer, 60, "TXT", "text"), (pointer, 60, "MX", "1 mail.example.")
    return records(*others, (pointer, 60, "PTR", "host.example."))(query)[0]
