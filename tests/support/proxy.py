"""The mail service over real sockets: the loop runs in a thread of the test's own process."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from mailworker.config.listen import Endpoint, Listen
from mailworker.config.networks import Network
from mailworker.config.settings import MailServer
from mailworker.event.listener import BoundListener
from mailworker.event.loop import Loop
from mailworker.mail.record import EndListener, SessionRecord
from mailworker.mail.server import ServerTls
from mailworker.mail.service import MailService
from mailworker.mail.vitals import CONNECTIONS, LOOP_LAG, MEMORY, STARTED, words_of_workers
from mailworker.model import InetAddress
from mailworker.shm.conn_table import ConnTable
from mailworker.shm.counters import LATEST, Counters
from mailworker.shm.session_row import SessionRow
from mailworker.shm.sessions import SessionTable
from mailworker.shm.zones import SharedT
from mailworker.tls.backend import BackendTls
from mailworker.tls.context import TlsContext
from tests.support.lines import Lines
from tests.support.patience import PATIENCE
from tests.support.peer import Peer
from tests.support.recorded_log import RecordedLog
from tests.support.settings import configuration, limit_tables


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class _Wire:
    """Carries calls into the loop's thread."""

    def __init__(self, loop: Loop) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._calls: list[Callable[[], None]] = []
        loop.watch(self._theirs.fileno(), 1, self)

    def call(self, function: Callable[[], None]) -> None:
        self._calls.append(function)
        self._ours.send(b".")

    def ready(self, mask: int) -> None:
        self._theirs.recv(1)
        self._calls.pop(0)()

    def close(self) -> None:
        self._ours.close()
        self._theirs.close()


def claimed(zone: SharedT) -> SharedT:
    """A zone as a worker has it."""
    zone.stop_publishing()
    zone.claim(0)
    return zone


class Proxy:
    """A worker's service for one server block on a port of 127.0.0.1 that the kernel chose.

    `ended` are the records of ended sessions, which other `listeners` get too; `lines` takes the lines of access logs.
    `stop` asserts that all sessions have ended, each once, and that there was no error inside.
    """

    def __init__(
        self,
        server: MailServer,
        *,
        tls: TlsContext | None = None,
        implicit_tls: bool = False,
        proxy_protocol: bool = False,
        worker_connections: int = 512,
        family: socket.AddressFamily = socket.AF_INET,
        send_buffer: int | None = None,
        debug_connection: tuple[Network, ...] = (),
        listeners: Sequence[EndListener] = (),
        counted: bool = False,
        rows: int = 0,
    ) -> None:
        self.ended: list[SessionRecord] = []
        self.log, self.lines = RecordedLog(), Lines()
        self.bugs: list[Exception] = []
        self.alerts_expected = False
        self._listening = socket.create_server(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0), family=family)
        self._listening.setblocking(False)
        if send_buffer is not None:  # accepted connections inherit it
            self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        listen = Listen(InetAddress(*self.address), ssl=implicit_tls, proxy_protocol=proxy_protocol)
        settings = configuration(
            replace(server, listens=(listen,)), worker_connections=worker_connections, debug_connection=debug_connection
        )
        self.service = MailService(
            settings,
            [BoundListener([Endpoint(listen, 0)], self._listening)],
            [ServerTls(tls, None if server.proxy.ssl is None else BackendTls.build(server.proxy.ssl))],
            self.log.log,
            [self.log.log],
        )
        self._loop = Loop(self.bugs.append)
        self._wire = _Wire(self._loop)
        self.service.prepare(limit_tables())
        if counted:
            self.counters = claimed(Counters("status", words_of_workers(settings.servers)))
            self.service.count(self.counters)
        zones = [limit.zone for limit in server.limit_conn.limits]
        self.conns = {zone.name: ConnTable(bytearray(zone.zone.size), bytes(16), bytearray(8 * 512)) for zone in zones}
        self.service.limit_connections(self.conns)
        if rows:
            self.table = claimed(SessionTable("sessions", rows, 1, [(server.protocol, server.protocol)]))
            self.service.enlist(self.table)
        self.service.start(self._loop, 0, 1, (*listeners, self.ended.append), self.lines)
        self._thread = threading.Thread(target=self._loop.run, daemon=True)
        self._thread.start()

    def counts(self, *without: str) -> dict[str, int]:
        """The counters that are not 0, by their labels without those of the server; without times and vitals."""
        totals = {
            name: value
            for name, value in self.counters.read().totals.items()
            if not name.startswith((CONNECTIONS, LATEST, LOOP_LAG, MEMORY, STARTED))
        }
        names = {name: name.replace(f"\0{self.address[0]}:{self.address[1]}\0", "\0") for name in totals}
        return {
            names[name].replace("\0", " "): value
            for name, value in totals.items()
            if value and "_seconds\0" not in name and not name.startswith(without or "\0")
        }

    def await_row(self, holds: Callable[[SessionRow], bool]) -> SessionRow:
        """The first session for which `holds` returns true."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            for row in self.table.rows():
                if holds(row):
                    return row
            time.sleep(0.002)
        raise AssertionError([*self.table.rows()])

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._listening.getsockname()[:2]
        return host, port

    def connect(self, receive_buffer: int | None = None, source: str = "") -> Peer:
        """A client of this proxy, from `source` if that is given."""
        return Peer.connect(self.address, receive_buffer, source)

    def call(self, function: Callable[[], None]) -> None:
        """Run `function` in the loop's thread."""
        self._wire.call(function)

    def service_is_idle(self) -> None:
        """Wait until no session is left."""
        self.connections_in_use(1)

    def connections_in_use(self, count: int) -> None:
        """Wait until this many connections are in use, the listener among them."""
        end = time.monotonic() + PATIENCE
        connections = self.service._connections
        pause = 0.0001  # often it is a matter of one more round of the loop
        while connections.in_use != count:
            assert time.monotonic() < end, f"{connections.in_use} connections: {self.log.lines}"
            time.sleep(pause)
            pause = min(2 * pause, 0.002)

    def stop(self) -> None:
        self.call(lambda: self.service.shutdown_gracefully(self._loop.stop))
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), f"sessions are left: {self.log.lines}"
        self._loop.close()
        self._wire.close()
        self._listening.close()
        assert not self.bugs
        assert not self.service._sessions.live
        assert all(record.reason for record in self.ended)
        assert len(set(self.ended)) == len(self.ended)
        alerts = [line for line in self.log.lines if line.startswith("[alert]")]
        assert self.alerts_expected or not alerts, alerts
