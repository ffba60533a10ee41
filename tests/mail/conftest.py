"""The fixtures of tests of whole sessions."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest

from mailworker.config.settings import MailServer
from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.model import InetAddress
from mailworker.tls.context import TlsContext
from tests.mail.cases import IMAP, Case
from tests.support.auth import AuthService, accepted
from tests.support.backend import Script, ScriptedServer
from tests.support.certificates import Certificate
from tests.support.name_server import Answer, NameServer
from tests.support.patience import PATIENCE
from tests.support.peer import Peer
from tests.support.ports import Ports
from tests.support.proxy import Proxy, open_descriptors
from tests.support.settings import auth_http_settings, mail_server, ssl_settings


class Clock:
    """The clock of proxies: the real time, and the time that tests have skipped."""

    def __init__(self) -> None:
        self._skipped = 0.0

    def __call__(self) -> float:
        return monotonic() + self._skipped

    def skip(self, seconds: float) -> None:
        self._skipped += seconds


class Scene:
    """A proxy, its clients, its auth service and its backend, closed in the right order and then looked at."""

    def __init__(self, certificate: Certificate, clock: Clock) -> None:
        self.certificate = certificate
        self._clock = clock
        self._before = open_descriptors()
        self._clients: list[Peer] = []
        self._reserved: list[Ports] = []
        self._servers: list[ScriptedServer | NameServer] = []
        self._proxies: list[Proxy] = []

    def backend(self, script: Script) -> ScriptedServer:
        backend = ScriptedServer(script)
        self._servers.append(backend)
        return backend

    def in_turn(self, *scripts: Script) -> ScriptedServer:
        """A backend that follows the next of `scripts` with each connection."""
        turns = iter(scripts)
        return self.backend(lambda peer: next(turns)(peer))  # noqa: PLW0108 - the next one each time

    def nowhere(self, host: str = "127.0.0.1") -> InetAddress:
        """Where nobody listens: another test, or our own proxy, could get the port of a server that has ended."""
        self._reserved.append(Ports(host))
        return InetAddress(host, self._reserved[-1]["nobody"])

    def name_server(self, answers: dict[str, Answer]) -> NameServer:
        server = NameServer(answers)
        self._servers.append(server)
        return server

    def auth(self, *answers: bytes | Script) -> AuthService:
        service = AuthService(*answers)
        self._servers.append(service)
        return service

    def auth_for(self, backend: ScriptedServer, *headers: tuple[bytes, bytes]) -> AuthService:
        """An auth service that sends everybody to `backend`."""
        return self.auth(accepted(backend.address, *headers))

    def proxy(
        self, protocol: str, auth: AuthService | InetAddress, *, auth_timeout: float = PATIENCE, **changes: Any
    ) -> Proxy:
        """A proxy that asks `auth`; `changes` are fields of MailServer or arguments of Proxy."""
        address = auth if isinstance(auth, InetAddress) else auth.address
        fields = {name: changes.pop(name) for name in tuple(changes) if name in MailServer.__slots__}
        fields.setdefault("source", auth_http_settings(address, timeout=auth_timeout))
        server = mail_server(protocol, **fields)
        if server.ssl is not None:
            changes["tls"] = TlsContext.build(server.ssl, PROTOCOLS[protocol].alpn)
        proxy = Proxy(server, **changes)
        self._proxies.append(proxy)
        return proxy

    def tls_proxy(self, protocol: str, auth: AuthService | InetAddress, **changes: Any) -> Proxy:
        """A proxy with a certificate; `implicit_tls` for TLS from the first byte."""
        return self.proxy(protocol, auth, ssl=ssl_settings(self.certificate), **changes)

    def client(self, proxy: Proxy, receive_buffer: int | None = None, source: str = "") -> Peer:
        client = proxy.connect(receive_buffer, source)
        self._clients.append(client)
        return client

    def visit(self, proxy: Proxy, case: Case = IMAP) -> None:
        """A session from its greeting to its end; the backend sends back what it gets."""
        client = self.client(proxy)
        client.expect(case.greeting)
        client.talk((case.login, case.answer), (b"one\r\n", b"one\r\n"))
        client.end()
        proxy.service_is_idle()

    def skip(self, seconds: float) -> None:
        """Let this time pass for the proxy, between two rounds of its loop, so that nobody has to wait for it."""
        (proxy,) = self._proxies
        known = threading.Event()
        proxy.call(lambda: self._clock.skip(seconds))
        proxy.call(known.set)  # in the next round, which begins with a look at the clock
        assert known.wait(PATIENCE)

    def end(self) -> None:
        for client in self._clients:
            client.close()
        for server in self._servers:
            server.stop()
        for proxy in self._proxies:
            proxy.stop()
        for ports in self._reserved:
            ports.close()
        assert open_descriptors() == self._before


@pytest.fixture
def scene(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    clock = Clock()
    for module in ("event.loop", "mail.dialogue.dialogue", "mail.dialogue.smtp"):
        monkeypatch.setattr(f"mailworker.{module}.monotonic", clock)
    scene = Scene(certificate, clock)
    yield scene
    scene.end()
