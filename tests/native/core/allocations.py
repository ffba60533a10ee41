"""Fails each allocation of a session's life once, one after the other.

    python -m tests.native.core.allocations PROTOCOL [verbose] [tls] [limited]

The proxy, its peers and its client take turns in one thread, so that only the proxy's steps lack memory. A line is
printed for each allocation after whose failure anything is left: a descriptor, a counted connection, a record, a guest,
or a row. With `verbose` the log takes all lines, so sessions begin at accept and not in a lobby. With `tls` the
client comes by TLS. With `limited` there are limits, counters and access logs.
"""

from __future__ import annotations

import gc
import linecache
import socket
import ssl
import sys
import tempfile
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any, Final

from mailworker.config.access_log import On
from mailworker.config.listen import Endpoint, Listen
from mailworker.event.listener import BoundListener
from mailworker.event.loop import Loop
from mailworker.log.log import Log
from mailworker.mail.server import ServerTls
from mailworker.mail.service import MailService
from mailworker.mail.vitals import words_of_workers
from mailworker.model import InetAddress, Level
from mailworker.shm.conn_table import ConnTable
from mailworker.shm.counters import Counters
from mailworker.shm.sessions import SessionTable
from mailworker.tls.context import TlsContext
from tests.mail.cases import WITH_SIEVE, Case
from tests.mail.crowds import limits
from tests.mail.limits.settings import limit, zone
from tests.mail.limits.settings import settings as limit_auth
from tests.support.auth import accepted
from tests.support.certificates import Certificate, CertificateAuthority, ecdsa_key
from tests.support.lines import Lines
from tests.support.proxy import claimed
from tests.support.recorded_log import RecordedLog
from tests.support.settings import (
    access_log,
    auth_http_settings,
    configuration,
    limit_tables,
    mail_server,
    ssl_settings,
)

memory: Final[Any] = import_module("_testcapi")

# Allocations in a row whose failure changes nothing, after which a step is done with.
ENOUGH: Final = 12

# Turns without a byte for the client, after which nothing more comes.
QUIET: Final = 10

# Bytes that the client does not read at once, so that the proxy has to keep some.
LARGE: Final = bytes(16_000)
COMMAND: Final = b"a2 NOOP\r\n"
SMALL_BUFFER: Final = 4096

ACCESS_LOG: Final = (
    b"$remote_addr $remote_port $remote_user $session_id $bytes_received $bytes_sent $session_time "
    b"$time_local $session_end"
)

# Blocks of memory that a walk may leave: caches, and the free lists of Python.
MOST_BLOCKS: Final = 100

Failing = tuple[int, int]
"""A step of the proxy, and its allocation that fails; both are numbered from 0."""

NOWHERE: Final = (-1, 0)


class BackendPeer:
    """A connection to the backend, which gives its next answer to each line."""

    def __init__(self, stream: socket.socket, case: Case) -> None:
        self.stream = stream
        self._answers = [*case.backend[1:], LARGE]
        self._left = case.backend[0]

    def serve(self) -> bool:
        """Hear and answer what there is; False at the end."""
        with suppress(BlockingIOError):
            data = self.stream.recv(1 << 16)
            if not data:
                return False
            for line in data.splitlines():
                self._left += self._answer(line)
        with suppress(BlockingIOError):
            self._left = self._left[self.stream.send(self._left) :] if self._left else b""
        return True

    def _answer(self, line: bytes) -> bytes:
        if line == b"CAPA":  # which a known POP3 backend is asked once
            return b"-ERR unknown\r\n"
        if line.startswith(b"XCLIENT"):  # a known SMTP backend gets no EHLO before it
            while not self._answers[0].startswith(b"220"):
                del self._answers[0]
        return self._answers.pop(0) if self._answers else b""


class AuthPeer:
    """A connection to the auth service, which closes it after its answer."""

    def __init__(self, stream: socket.socket, answer: bytes) -> None:
        self.stream = stream
        self._answer = answer

    def serve(self) -> bool:
        """As BackendPeer."""
        with suppress(BlockingIOError):
            if self.stream.recv(1 << 16).endswith(b"\r\n\r\n"):
                self.stream.send(self._answer)
            return False
        return True


class Site:
    """A proxy, its auth service and its backend."""

    def __init__(self, case: Case, level: Level, certificate: Certificate | None, limited: bool) -> None:
        self.case = case
        self.certificate = certificate
        self._limited = limited
        self._counters: Counters | None = None
        self._client_context = ssl._create_unverified_context()
        self.bugs: list[str] = []
        self.log, self._lines = RecordedLog(), Lines()
        self._front, self._auth, self._back = _listening(), _listening(), _listening()
        self._front.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BUFFER)
        self._answer = accepted(InetAddress(*self._back.getsockname()))
        self._peers: list[BackendPeer | AuthPeer] = []
        self._loop = Loop(lambda bug: self.bugs.append(repr(bug)))
        self._table = SessionTable("sessions", 8, 1, [(case.protocol, case.protocol)])
        self._conns = {name: ConnTable(bytearray(8192), bytes(16), bytearray(8 * 512)) for name in ("users", "hosts")}
        self._service = self._started(Log([(level, self.log)]))
        self.before = _descriptors()

    def _started(self, log: Log) -> MailService:
        listen = Listen(InetAddress(*self._front.getsockname()), ssl=self.certificate is not None)
        source = auth_http_settings(InetAddress(*self._auth.getsockname()))
        server = mail_server(
            self.case.protocol, source=source, listens=(listen,), **(_limits() if self._limited else {})
        )
        context = None
        if self.certificate is not None:
            settings = ssl_settings(self.certificate)
            server = replace(server, ssl=settings)
            context = TlsContext.build(settings, self.case.protocol.encode())
        bound = BoundListener([Endpoint(listen, 0)], self._front)
        service = MailService(configuration(server), [bound], [ServerTls(context)], log, [log])
        service.prepare(limit_tables())
        service.enlist(claimed(self._table))
        if self._limited:
            self._counters = claimed(Counters("status", words_of_workers(service._settings.servers)))
            service.count(self._counters)
            service.limit_connections(self._conns)
        service.start(self._loop, 0, 1, (), self._lines)
        return service

    def _step(self, failing: int | None = None) -> None:
        """A round of the loop that waits for nothing; the allocation of the number `failing` fails."""
        loop = self._loop
        loop.urgent = True
        if failing is not None:
            gc.collect()  # empties Python's free lists, from which an allocation would not fail
            memory.set_nomemory(failing, failing + 1)
        try:
            loop.serve_late()
            loop.poller.dispatch(loop, 0.0)
        except Exception as bug:
            self.bugs.append(repr(bug))
        finally:
            memory.remove_mem_hooks()

    def _turn(self) -> None:
        """The turn of all peers."""
        for listening, make in ((self._auth, self._auth_peer), (self._back, self._backend_peer)):
            with suppress(BlockingIOError):
                while True:
                    self._peers.append(make(_unblocked(listening.accept()[0])))
        for peer in self._peers.copy():
            try:
                goes_on = peer.serve()
            except OSError:
                goes_on = False
            if not goes_on:
                peer.stream.close()
                self._peers.remove(peer)

    def _auth_peer(self, stream: socket.socket) -> AuthPeer:
        return AuthPeer(stream, self._answer)

    def _backend_peer(self, stream: socket.socket) -> BackendPeer:
        return BackendPeer(stream, self.case)

    def play(self, failing: Failing) -> tuple[bool, int]:
        """A session; gives whether it went as it should, and how many steps the proxy took for it."""
        self.bugs.clear()
        self.log.lines.clear()
        self._lines.sent.clear()
        case, heard, quiet, steps = self.case, b"", 0, 0
        words = {case.greeting: case.login, case.greeting + case.answer: COMMAND}
        whole = case.greeting + case.answer + LARGE
        with self._client() as client:
            while heard != whole and quiet < QUIET:
                self._step(failing[1] if steps == failing[0] else None)
                self._turn()
                steps += 1
                before = heard
                with suppress(OSError):
                    if heard in words:
                        client.send(words.pop(heard))
                    heard += client.recv(1 << 16)
                quiet = quiet + 1 if heard == before else 0
        for _ in range(QUIET):
            self._step()
            self._turn()
        return heard == whole and not self.bugs and "[alert]" not in str(self.log.lines), steps

    def _client(self) -> socket.socket:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        client.connect(self._front.getsockname())
        if self.certificate is not None:
            client = self._client_context.wrap_socket(client, do_handshake_on_connect=False)
        return _unblocked(client)

    def _counted_clients(self) -> int:
        """Clients that are counted as accepted and not as ended."""
        totals = {} if self._counters is None else self._counters.read().totals
        ended = sum(value for name, value in totals.items() if name.startswith("ended\0"))
        return sum(value for name, value in totals.items() if name.startswith("accepted\0")) - ended

    def let_time_pass(self) -> None:
        """An hour: timers keep their buckets, also empty ones, until these are due."""
        self._loop.now += 3600.0
        self._loop.timers.expire(self._loop.now)

    def left(self) -> dict[str, int]:
        """What is left of sessions that have ended; nothing, where all is well."""
        service = self._service
        found = {
            "connections": service._connections.in_use - 1,  # the listener's
            "descriptors": _descriptors() - self.before,
            "records": len(service._sessions.live),
            "guests": sum(len(lobby.guests) for lobby in service._beginnings._lobbies.values()),
            "rows": len([*self._table.rows()]),
            "connections of keys": sum(conns.usage()[1] for conns in self._conns.values()),
            "sessions without a row": self._table.unlisted,
            "counted clients": self._counted_clients(),
        }
        return {name: number for name, number in found.items() if number}


def _limits() -> dict[str, Any]:
    """The settings of a server with limits and access logs."""
    return {
        "limit_conn": limits(("users", "$remote_user", 4), ("hosts", "$binary_remote_addr", 4)),
        "limit_auth": limit_auth(limit(9), limit(9, of=zone("$remote_user", name="names"))),
        "access_log": access_log(ACCESS_LOG, On.ALL),
    }


def _unblocked(stream: socket.socket) -> socket.socket:
    stream.setblocking(False)
    return stream


def _listening() -> socket.socket:
    return _unblocked(socket.create_server(("127.0.0.1", 0)))


def _descriptors() -> int:
    return len([*Path("/dev/fd").iterdir()])


def _blocks() -> int:
    """Blocks of memory, without the lines of source that tracebacks have read."""
    linecache.clearcache()
    gc.collect()
    return sys.getallocatedblocks()


def _warm(case: Case, level: Level, certificate: Certificate | None, limited: bool) -> tuple[Site, int]:
    """A site whose caches are filled, and how many steps a session takes there."""
    site = Site(case, level, certificate, limited)
    for _ in range(3):
        fine, steps = site.play(NOWHERE)
        assert fine, site.log.lines
    site.play((steps // 2, 0))
    site.before = _descriptors()
    gc.freeze()  # so that a collection before each step costs little
    return site, steps


def walk(case: Case, level: Level, certificate: Certificate | None, limited: bool) -> int:
    """Walk over all allocations; gives how many of them mattered."""
    site, steps = _warm(case, level, certificate, limited)
    mattered, blocks = 0, _blocks()
    for step in range(steps):
        last = 0
        for number in count():
            fine, _ = site.play((step, number))
            if left := site.left():
                print(case.protocol, "step", step, "allocation", number, "left", left, site.bugs, site.log.lines)
                site, _ = _warm(case, level, certificate, limited)
            if not fine:
                mattered, last = mattered + 1, number
            if number > last + ENOUGH:
                break
    site.let_time_pass()
    if (more := _blocks() - blocks) > MOST_BLOCKS:
        print(case.protocol, "left", more, "blocks of memory")
    return mattered


def main() -> None:
    """Walk, and print how many allocations mattered."""
    protocol, *options = sys.argv[1:]
    (case,) = (each for each in WITH_SIEVE if each.protocol == protocol)
    with tempfile.TemporaryDirectory() as folder:
        authority = CertificateAuthority(Path(folder))
        certificate = authority.issue_server("server", ecdsa_key(), ("localhost",)) if "tls" in options else None
        level = Level.INFO if "verbose" in options else Level.ERROR
        print(walk(case, level, certificate, "limited" in options), "allocations matter")


if __name__ == "__main__":
    main()
