"""Every test of the loop runs over our own poller and over those made of selectors; those of the core on both cores."""

from __future__ import annotations

import select
import selectors
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from mailworker.config.events import EventsSettings
from mailworker.event.poller import Poller
from mailworker.event.stream import SocketStream
from mailworker.native.tls.certificate import load_certificates
from mailworker.native.tls.context import Context
from mailworker.native.tls.key import load_key
from mailworker.tls.context import TlsContext
from tests.event.bench import Bench
from tests.event.relays import CHUNK, Line, MakeLine, MakeRelay, Relay, shaken_hands
from tests.support.certificates import Certificate, CertificateAuthority, ecdsa_key
from tests.support.implementations import NATIVE, Implementation, implementations
from tests.support.resolver import ResolverBench
from tests.support.settings import ssl_settings
from tests.tls.peers import tcp_pair

# Tests of what is there twice, in C and in Python. All others run on what the program uses in this process.
_OF_THE_CORE = {
    "test_beginning",
    "test_choice",
    "test_connections",
    "test_copies",
    "test_exchange",
    "test_gathering",
    "test_gathering_bytes",
    "test_lobby",
    "test_lobby_tls",
    "test_loop",
    "test_pair",
    "test_plan",
    "test_poller",
    "test_relay",
    "test_relay_end",
    "test_relay_limited",
    "test_relay_polled",
    "test_rows",
    "test_sockets",
    "test_stream",
    "test_stream_end",
    "test_stream_tls",
    "test_stream_tls_end",
    "test_tally",
    "test_task",
    "test_timers",
}

MakePoller = Callable[[Implementation], Poller]

_POLLERS: dict[str, MakePoller] = {
    "own": lambda it: it.poller.new_poller(),
    "default": lambda it: it.poller.SelectorPoller(selectors.DefaultSelector()),
    "select": lambda it: it.poller.SelectorPoller(selectors.SelectSelector()),
}
if hasattr(select, "poll"):
    _POLLERS["poll"] = lambda it: it.poller.SelectorPoller(selectors.PollSelector())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    of_the_core = metafunc.module.__name__.rpartition(".")[2] in _OF_THE_CORE
    all_of_them = list(implementations().values()) if of_the_core else [NATIVE]
    pairs = [(it, poller) for it in all_of_them for poller in _POLLERS]
    if "poller" in metafunc.fixturenames:
        ids = [f"{it.name}, {poller}" for it, poller in pairs]
        metafunc.parametrize(("implementation", "poller"), pairs, indirect=["poller"], ids=ids)
    elif "implementation" in metafunc.fixturenames:
        metafunc.parametrize("implementation", all_of_them, ids=[it.name for it in all_of_them], scope="session")


@pytest.fixture
def poller(implementation: Implementation, request: pytest.FixtureRequest) -> Iterator[Poller]:
    poller = _POLLERS[request.param](implementation)
    yield poller
    poller.close()


@pytest.fixture
def resources() -> Iterator[ExitStack]:
    """Closes after the test what it puts in, and after the bench's streams."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def bench(poller: Poller, implementation: Implementation, resources: ExitStack) -> Iterator[Bench]:
    bench = Bench(poller, implementation)
    yield bench
    bench.close()
    assert not bench.bugs


@pytest.fixture
def pair(resources: ExitStack) -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    return resources.enter_context(ours), resources.enter_context(theirs)


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


@pytest.fixture
def events() -> EventsSettings:
    return EventsSettings(
        worker_connections=512,
        use=None,
        multi_accept=False,
        accept_mutex=False,
        accept_mutex_delay=0.05,
        debug_connection=(),
    )


@pytest.fixture(scope="session")
def line_context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    authority = CertificateAuthority(tmp_path_factory.mktemp("authority"))
    issued = authority.issue_server("server", ecdsa_key(), ("mail.example.com",))
    context = Context(b"")
    context.use_certificate(load_certificates(str(issued.certificate))[0], ())
    context.use_key(load_key(str(issued.key), None))
    return context


@pytest.fixture
def make_line(line_context: Context) -> Iterator[MakeLine]:
    with ExitStack() as stack:

        def make(*, tls: bool, buffer: int | None = None, tcp: bool = False) -> Line:
            ours, peer = tcp_pair() if tcp else socket.socketpair()
            for end in (ours, peer):
                end.setblocking(False)
                if buffer is not None:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            line = shaken_hands(line_context, ours, peer) if tls else Line(ours.detach(), peer)
            stack.callback(line.peer.close)
            return line

        yield make


@pytest.fixture
def make_relay(implementation: Implementation) -> Iterator[MakeRelay]:
    with ExitStack() as stack:

        def make(source: Line, sink: Line, limit: int = CHUNK, poller: Poller | None = None, **options: Any) -> Relay:
            relay = Relay(source, sink, limit, implementation=implementation, poller=poller, **options)
            if poller is not None:
                stack.callback(poller.close)
            stack.callback(relay.limiting_pump.close)
            stack.callback(relay.pump.close)  # after a bug the relay itself is in a circle with the traceback
            stack.callback(relay.close)
            return relay

        yield make


@pytest.fixture(scope="module")
def context(certificate: Certificate) -> TlsContext:
    return TlsContext.build(ssl_settings(certificate), b"imap")


@pytest.fixture
def ends(bench: Bench, resources: ExitStack) -> tuple[SocketStream, socket.socket]:
    """The server's stream, and the client's socket."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        theirs = resources.enter_context(socket.create_connection(listening.getsockname()))
        ours = resources.enter_context(listening.accept()[0])
    theirs.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return bench.stream(ours), theirs


@pytest.fixture
def lookups() -> Iterator[ResolverBench]:
    lookups = ResolverBench()
    with lookups.stack:
        yield lookups
