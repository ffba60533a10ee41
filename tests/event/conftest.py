"""Every test of the loop runs over our own selector and over those of the standard library."""

from __future__ import annotations

import select
import selectors
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from mailworker.config.events import EventsSettings
from mailworker.event.selector import new_selector
from tests.event.bench import Bench
from tests.support.certificates import Certificate, CertificateAuthority, ecdsa_key

_SELECTORS: dict[str, Callable[[], selectors.BaseSelector]] = {
    "own": new_selector,
    "default": selectors.DefaultSelector,
    "select": selectors.SelectSelector,
}
if hasattr(select, "poll"):
    _SELECTORS["poll"] = selectors.PollSelector


@pytest.fixture(params=_SELECTORS)
def selector(request: pytest.FixtureRequest) -> Iterator[selectors.BaseSelector]:
    with _SELECTORS[request.param]() as selector:
        yield selector


@pytest.fixture
def resources() -> Iterator[ExitStack]:
    """Closes after the test what it puts in, and after the bench's streams."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def bench(selector: selectors.BaseSelector, resources: ExitStack) -> Iterator[Bench]:
    bench = Bench(selector)
    yield bench
    bench.close()


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
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    authority = CertificateAuthority(tmp_path_factory.mktemp("authority"))
    return authority.issue_server("server", ecdsa_key(), ("mail.example.com",))
