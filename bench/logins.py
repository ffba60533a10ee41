"""The costs of a login: CPU time, and the time that the client waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from bench.arena import PROTOCOLS, WITH_SIEVE, Arena, Duel, Running, Server, Setup, alternate
from bench.dovecot import dovecot
from bench.measure import Goal, Measure
from bench.processors import Place, busy_peers, one_processor

ROUNDS = 7
AT_ONCE = 16
PLAIN_LOGINS = 1000  # of a round
TLS_LOGINS = 300
SLOW_LOGINS = 25  # of a round where each takes 44 ms with nginx

CACHE = "ssl_session_tickets off; ssl_session_cache shared:bench:10m;"
TICKETS = "ssl_session_tickets on;"
KEEPALIVE = "auth_http_keepalive 16;"
ACCESS = "access_log access.log combined;"


@dataclass(frozen=True, slots=True)
class Kind:
    """The logins that a measure's name describes, such as "imaps-tls12-id"; `extra` is what both servers need."""

    protocol: str
    version: str = ""
    resume: bool = False
    extra: str = ""


def kind_of(name: str) -> Kind:
    protocol, _, way = name.partition("-")
    if not way.startswith("tls"):
        return Kind(protocol)
    version, _, how = way.partition("-")
    extra = {"id": CACHE, "ticket": TICKETS}.get(how, "")
    return Kind(protocol.removesuffix("s"), f"TLSv1.{version[-1]}", bool(extra), extra)


@dataclass(frozen=True, slots=True)
class Peers:
    """How peers and clients wait, and where they run; usually they sleep, and run where the kernel puts them."""

    name: str
    title: str
    place: Place
    busy: bool
    protocols: tuple[str, ...]  # of the rows that have such peers


OTHER_PEERS = (
    Peers("busy", "peers and clients poll and never sleep", busy_peers, busy=True, protocols=PROTOCOLS),
    Peers(
        "one-processor", "server, peers and clients on one processor", one_processor, busy=False, protocols=("imap",)
    ),
)


def cost(server: Server, protocol: str, version: str = "", **details: object) -> float:
    """Microseconds of CPU for one login, from accepting the client to its leaving; `details` are those of Load."""
    count = TLS_LOGINS if version else PLAIN_LOGINS
    load = server.load(protocol, version, count=count, at_once=AT_ONCE, **details)
    return server.cpu_of(load) / count / 1000


def plain(protocol: str, arena: Arena) -> Duel:
    return arena.duel(Setup(), lambda server: cost(server, protocol), ROUNDS)


def varied(protocol: str, arena: Arena) -> Duel:
    """Logins whose answers are read anew by a server that remembers answers."""
    return arena.duel(Setup(answers="varied"), lambda server: cost(server, protocol), ROUNDS)


def with_other_peers(peers: Peers, protocol: str, version: str, extra: str, arena: Arena) -> Duel:
    """Logins with peers that wait or run otherwise; `extra` is for mailworker alone."""
    with (
        arena.running("nginx", Setup()) as theirs,
        arena.running("mailworker", Setup(extra=extra)) as ours,
        peers.place(arena, (theirs, ours)),
    ):
        return alternate(theirs, ours, lambda server: cost(server, protocol, version, busy=peers.busy), ROUNDS)


def beside_dovecot(protocol: str, arena: Arena, *, logs: bool = False) -> Duel:
    """Logins that the backend decides about; both proxies have a log, or as little of one as can be."""
    setup = Setup(by_backend=True, extra=ACCESS if logs else "")
    with dovecot(arena, protocol, logs=logs) as theirs, arena.running("mailworker", setup) as ours:
        servers: tuple[Server, Server] = theirs, ours
        return alternate(*servers, lambda server: cost(server, protocol), ROUNDS)


def shaken(protocol: str, version: str, certificate: str, arena: Arena, *, quick: bool = True) -> Duel:
    """Logins with a full handshake."""
    setup = Setup(certificate=certificate)
    return arena.duel(setup, lambda server: cost(server, protocol, version, quick=quick), ROUNDS)


def resumed(protocol: str, version: str, extra: str, arena: Arena) -> Duel:
    """Logins that resume a session, perhaps one of the other worker."""
    setup = Setup(workers=2, extra=extra)
    return arena.duel(setup, lambda server: cost(server, protocol, version, resume=True), ROUNDS)


def wall_time(protocol: str, arena: Arena) -> Duel:
    """Milliseconds from connect() to the login, of clients that come one by one."""

    def measure(server: Running) -> float:
        return server.clients.run(server.load(protocol, "TLSv1.3", count=SLOW_LOGINS, quick=False)).median / 1000

    return arena.duel(Setup(), measure, ROUNDS)


def keepalive(arena: Arena) -> Duel:
    """Logins with auth_http_keepalive. nginx lacks that: its figure is that of a login without."""
    return arena.duel(Setup(extra=KEEPALIVE), lambda server: cost(server, "imap"), ROUNDS, of_nginx=Setup())


def judged_by_backend(protocol: str, arena: Arena) -> Duel:
    """Logins with auth_upstream. nginx lacks that: its figure is that of a login by an auth service."""
    return arena.duel(Setup(by_backend=True), lambda server: cost(server, protocol), ROUNDS, of_nginx=Setup())


def sieve(arena: Arena) -> Duel:
    """ManageSieve logins; our own IMAP takes nginx's place."""
    with arena.running("mailworker", Setup(protocols=WITH_SIEVE)) as server:
        return Duel.of([(cost(server, "imap"), cost(server, "sieve")) for _ in range(ROUNDS + 1)][1:])


def measures() -> Iterator[Measure]:
    for protocol in PROTOCOLS:
        yield from _of_protocol(protocol)
    yield from _with_other_sources("auth-upstream", "auth_upstream on (nginx: auth_http)", 0.9, judged_by_backend)
    yield Measure(
        "imap-keepalive",
        "CPU per plain IMAP login, auth_http_keepalive 16 (nginx: a connection for each login)",
        "us",
        Goal(0.9),
        keepalive,
    )
    yield Measure(
        "sieve-login", "CPU per plain ManageSieve login (nginx: mailworker's IMAP login)", "us", Goal(1.1), sieve
    )
    yield from _with_other_sources("varied", "every answer of the auth service another", 1.12, varied)
    yield from _with_other_peers()
    yield Measure(
        "imaps-tls13-delayed-ack",
        "CPU per IMAPS login, full handshake, TLS 1.3, P-256, clients that delay acknowledgements",
        "us",
        Goal(0.8),
        partial(shaken, "imap", "TLSv1.3", "ecdsa", quick=False),
    )
    yield from _beside_dovecot()


def _of_protocol(protocol: str) -> Iterator[Measure]:
    name = protocol.upper()
    yield Measure(f"{protocol}-login", f"CPU per plain {name} login", "us", Goal(1.05), partial(plain, protocol))
    yield Measure(
        f"{protocol}s-tls13",
        f"CPU per {name}S login, full handshake, TLS 1.3, P-256",
        "us",
        Goal(1.1),
        partial(shaken, protocol, "TLSv1.3", "ecdsa"),
    )
    yield Measure(
        f"{protocol}s-tls12-rsa",
        f"CPU per {name}S login, full handshake, TLS 1.2, RSA-2048",
        "us",
        Goal(1.05),
        partial(shaken, protocol, "TLSv1.2", "rsa"),
    )
    for version, way, extra in (
        ("TLSv1.2", "id", CACHE),
        ("TLSv1.3", "id", CACHE),
        ("TLSv1.2", "ticket", TICKETS),
        ("TLSv1.3", "ticket", TICKETS),
    ):
        kind = "session id from the shared zone" if way == "id" else "ticket"
        yield Measure(
            f"{protocol}s-{version.lower().replace('v', '').replace('.', '')}-{way}",
            f"CPU per {name}S login resumed by {kind}, {version.replace('v', ' ')}, 2 workers",
            "us",
            Goal(1.15),
            partial(resumed, protocol, version, extra),
        )
    yield Measure(
        f"{protocol}s-wall",
        f"wall time of the median {name}S login",
        "ms",
        Goal(0.1),
        partial(wall_time, protocol),
    )


def _with_other_sources(suffix: str, what: str, goal: float, duel: Callable[[str, Arena], Duel]) -> Iterator[Measure]:
    """Rows of plain logins of each protocol about which something else decides."""
    for protocol in PROTOCOLS:
        title = f"CPU per plain {protocol.upper()} login, {what}"
        yield Measure(f"{protocol}-login-{suffix}", title, "us", Goal(goal), partial(duel, protocol))


def _with_other_peers() -> Iterator[Measure]:
    for peers in OTHER_PEERS:
        for name, what, goal, protocol, version, extra in (
            *((f"{each}-login", f"plain {each.upper()} login", 1.05, each, "", "") for each in peers.protocols),
            ("imap-keepalive", "plain IMAP login, auth_http_keepalive 16 (nginx: none)", 0.9, "imap", "", KEEPALIVE),
            ("imaps-tls13", "IMAPS login, full handshake, TLS 1.3, P-256", 1.1, "imap", "TLSv1.3", ""),
        ):
            run = partial(with_other_peers, peers, protocol, version, extra)
            yield Measure(f"{name}-{peers.name}", f"CPU per {what}; {peers.title}", "us", Goal(goal), run)


def _beside_dovecot() -> Iterator[Measure]:
    for name, protocol, logs, what in (
        ("imap-login-dovecot", "imap", False, "no logs"),
        ("pop3-login-dovecot", "pop3", False, "no logs"),
        ("imap-login-dovecot-log", "imap", True, "access_log of ours, login log of theirs"),
    ):
        yield Measure(
            name,
            f"CPU per plain {protocol.upper()} login, auth_upstream on, beside Dovecot's login proxy "
            f"(one login process, passdb static with nopassword and proxy); {what}",
            "us",
            Goal(0.6),
            partial(beside_dovecot, protocol, logs=logs),
            "Dovecot",
        )
