"""The real binary with its auth service and backends, and what has to hold whatever was done to it."""

from __future__ import annotations

import os
import re
import ssl
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template

import psutil
import pytest

from mailworker.model import InetAddress
from tests.security.records import Records
from tests.security.speech import SPEECHES, Speech
from tests.support.auth import AuthService, accepted
from tests.support.backend import Script, ScriptedServer
from tests.support.certificates import CertificateAuthority, ecdsa_key
from tests.support.daemon import wait_until
from tests.support.fault_proxy import FaultProxy
from tests.support.patience import PATIENCE
from tests.support.peer import Peer
from tests.support.ports import Ports
from tests.support.process import Mailworker
from tests.tls.peers import client_context

of_each = pytest.mark.parametrize("speech", SPEECHES, ids=lambda speech: speech.name)

WORKERS = 2
# Whether the workers are fenced in, which not every kernel can do.
SANDBOX = os.environ.get("MAILWORKER_SANDBOX", "off")
# Bytes that all workers together may keep: an allocator does not give back everything.
GROWTH = 8 << 20
_WARMING = 40

_EVERY_METHOD = {
    "imap": "imap_auth plain login cram-md5 external xoauth2 oauthbearer;",
    "pop3": "pop3_auth plain apop cram-md5 external xoauth2 oauthbearer;",
    "smtp": "smtp_auth plain login cram-md5 external xoauth2 oauthbearer none;",
}
# A greeting that no test waits for.
_PATIENCE = {"smtp": "smtp_greeting_delay 1h;"}
# Directives of the server blocks that each protocol has.
VARIANTS = {
    "": "starttls on;",
    "every": "starttls on; $every",
    "only": "starttls only; $every",
    "hasty": "starttls on; timeout 1s; auth_http_timeout 1s;",
    "frank": "starttls on; proxy_pass_error_message on;",
    "faulty": "starttls on; timeout 1s; auth_http_timeout 1s; auth_http $faulty/auth;",
    "deserted": "starttls on; auth_http $nobody/auth;",
    "direct": "starttls on; xclient off; proxy_smtp_auth on;",
    "certified": "starttls on; ssl_verify_client optional_no_ca; auth_http_pass_client_cert on; auth_http_authzid on;",
    "behind": "starttls on;",
    "patient": "starttls on; $patience",
}
_PARAMETERS = {"behind": "proxy_protocol"}


@dataclass(frozen=True, slots=True)
class Way:
    """How the bytes of a client travel."""

    tls: bool
    slowly: bool

    def __str__(self) -> str:
        return f"{'TLS' if self.tls else 'plain'}, {'byte by byte' if self.slowly else 'whole'}"


WAYS = tuple(Way(tls, slowly) for tls in (False, True) for slowly in (False, True))


@dataclass(frozen=True, slots=True)
class Resources:
    """What all workers together have in use, memory in bytes."""

    pids: list[int]
    descriptors: int
    memory: int

    @classmethod
    def of(cls, workers: list[psutil.Process]) -> Resources:
        pids = sorted(worker.pid for worker in workers)
        memory = sum(worker.memory_info().rss for worker in workers)
        return cls(pids, sum(map(_descriptors, workers)), memory)


def _descriptors(worker: psutil.Process) -> int:
    """How many a worker has open; 0 where we are not root, who alone may see it."""
    try:
        return worker.num_fds()
    except psutil.AccessDenied:
        return 0


class Stage:
    """Attack it, then `settle` says whether all is as before.

    `answer` is what the auth service says, None for its usual yes; `backend` is what all backends do, None for what
    healthy ones do.
    """

    def __init__(self, folder: Path) -> None:
        self.answer: bytes | Script | None = None
        self.backend: Script | None = None
        self.auth = AuthService(self._answer)
        self.faulty_auth = FaultProxy(self.auth.address)
        self.backends = {speech.name: ScriptedServer(self._follow(speech)) for speech in SPEECHES}
        self.certificate = CertificateAuthority(folder).issue_server("server", ecdsa_key(), ("mail.example",))
        self._ports = Ports()
        self._clients: list[Peer] = []
        self.context = client_context()
        self.mailworker = Mailworker(folder, self._configuration())
        self._records = Records(self.mailworker.error_log)
        self.mailworker.alerts.append(r'"[^"]*\[alert\]')  # in a value; `settle` sees to the others
        self.mailworker.start()
        self.mailworker.await_workers(WORKERS)
        self._base = self._warm_up()

    def address(self, speech: Speech, variant: str = "", *, tls: bool = False) -> tuple[str, int]:
        return "127.0.0.1", self._ports[_port_name(speech, variant, tls=tls)]

    def connect(self, speech: Speech, variant: str = "", *, tls: bool = False, source: str = "") -> Peer:
        """A client that has been greeted by nobody yet; it is closed by `settle`."""
        client = self._connected(speech, variant, tls=tls, source=source)
        if not tls:
            return client
        client.start_tls(self.context)
        return client

    def unencrypted(self, speech: Speech, variant: str = "") -> Peer:
        """A client of a TLS port that has not begun its handshake."""
        return self._connected(speech, variant, tls=True)

    def connect_to(self, address: InetAddress) -> Peer | None:
        """A client of somebody before us; None where the connection was reset at once."""
        try:
            self._clients.append(Peer.connect((address.host, address.port)))
        except ConnectionResetError:
            return None
        return self._clients[-1]

    def _connected(self, speech: Speech, variant: str, *, tls: bool, source: str = "") -> Peer:
        self._clients.append(Peer.connect(self.address(speech, variant, tls=tls), source=source))
        return self._clients[-1]

    def greeted(self, speech: Speech, variant: str = "", *, tls: bool = False, source: str = "") -> Peer:
        """A client that has read its greeting."""
        client = self.connect(speech, variant, tls=tls, source=source)
        assert client.line().startswith(speech.greeting[:4])
        return client

    @staticmethod
    def say(client: Peer, data: bytes, *, slowly: bool) -> None:
        """Send `data` whole, or each byte in a segment of its own."""
        (client.send_slowly if slowly else client.send)(data)

    @staticmethod
    def say_what_fits(client: Peer, data: bytes, *, slowly: bool = False) -> None:
        """Send `data` to somebody who may close in the middle of it."""
        with suppress(ConnectionError, ssl.SSLError):
            Stage.say(client, data, slowly=slowly)

    def start_tls(self, client: Peer, speech: Speech) -> None:
        """Encrypt a client's connection as its protocol does it."""
        client.talk((speech.starttls, speech.go_ahead))
        client.start_tls(self.context)

    def log_in(self, client: Peer, speech: Speech) -> None:
        """Log in, and see that a backend is there."""
        client.talk((speech.login, speech.welcome), (b"ping\r\n", b"ping\r\n"))

    def accepting(self, speech: Speech, *headers: tuple[bytes, bytes]) -> bytes:
        """The auth service's yes."""
        return accepted(self.backends[speech.name].address, *headers)

    def memory(self) -> int:
        """Bytes that all workers together hold."""
        return self._resources().memory

    def heard(self, speech: Speech, since: int) -> bytes:
        """All that the backends of `speech` have heard from their connection number `since` on."""
        return b"".join(peer.received for peer in self.backends[speech.name].peers[since:])

    def settle(self) -> list[str]:
        """Close all clients, see that all is as before, and return what was logged since the last time."""
        self.answer = self.backend = None
        self._close_clients()
        for speech in SPEECHES:
            self.log_in(self.greeted(speech), speech)
        self._close_clients()
        self._await_descriptors(self._base)
        now = self._resources()
        assert now.pids == self._base.pids
        assert now.memory < self._base.memory + GROWTH
        return self._records.added((*now.pids, self.mailworker.pid))

    def stop(self) -> None:
        self.mailworker.stop()
        self.faulty_auth.stop()
        self.auth.stop()
        for backend in self.backends.values():
            backend.stop()
        self._ports.close()

    def _await_descriptors(self, base: Resources) -> None:
        try:
            wait_until(lambda: self._resources().descriptors <= base.descriptors, "the end of all sessions", PATIENCE)
        except TimeoutError:
            raise AssertionError(f"{self._resources().descriptors} descriptors, {base.descriptors} before") from None

    def _resources(self) -> Resources:
        return Resources.of(self.mailworker.workers())

    def _warm_up(self) -> Resources:
        """What the workers have in use without clients, once each has done everything."""
        idle = self._resources()
        for _ in range(_WARMING):
            for speech in SPEECHES:
                for tls in (False, True):
                    self.log_in(self.greeted(speech, tls=tls), speech)
        self._close_clients()
        self._await_descriptors(idle)
        return replace(idle, memory=self._resources().memory)

    def _close_clients(self) -> None:
        for client in self._clients:
            client.close()
        self._clients.clear()

    def _answer(self, peer: Peer) -> None:
        answer = self.answer
        if answer is None:
            protocol = re.search(rb"\r\nAuth-Protocol: (\w+)\r\n", peer.received)
            if protocol is None:
                return  # the request was cut off
            answer = accepted(self.backends[protocol[1].decode()].address, *self._password(peer.received))
        if isinstance(answer, bytes):
            peer.send(answer)
        else:
            answer(peer)

    @staticmethod
    def _password(request: bytes) -> tuple[tuple[bytes, bytes], ...]:
        """Methods that tell us no password need one for the backend."""
        return () if b"\r\nAuth-Method: plain\r\n" in request else ((b"Auth-Pass", b"given"),)

    def _follow(self, speech: Speech) -> Script:
        def follow(peer: Peer) -> None:
            (self.backend or speech.backend)(peer)

        return follow

    def _configuration(self) -> str:
        servers = "".join(self._server(speech, variant) for speech in SPEECHES for variant in VARIANTS)
        return f"""
            worker_processes {WORKERS};
            worker_sandbox {SANDBOX};
            error_log logs/error.log info;
            events {{ worker_connections 4096; debug_connection 127.0.0.1; }}
            mail {{
                server_name mail.example;
                auth_http {self.auth.address}/auth;
                ssl_certificate {self.certificate.certificate};
                ssl_certificate_key {self.certificate.key};
                {servers}
            }}
        """

    def _server(self, speech: Speech, variant: str) -> str:
        directives = Template(VARIANTS[variant]).substitute(
            every=_EVERY_METHOD[speech.name],
            patience=_PATIENCE.get(speech.name, ""),
            faulty=self.faulty_auth.address,
            nobody=f"127.0.0.1:{self._ports['nobody']}",
        )
        parameters = _PARAMETERS.get(variant, "")
        clear, tls = (self.address(speech, variant, tls=tls)[1] for tls in (False, True))
        return (
            f"server {{ listen 127.0.0.1:{clear} {parameters}; listen 127.0.0.1:{tls} ssl {parameters};"
            f" protocol {speech.name}; {directives} }}\n"
        )


def _port_name(speech: Speech, variant: str, *, tls: bool) -> str:
    return f"{speech.name} {variant} {tls}"
