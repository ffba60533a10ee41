"""The costs of status and control: rows of sessions, a list of 50,000, and /metrics of a large host.

nginx has no counterpart for mail: where its column is filled, that is mailworker without the feature.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from bench.arena import Arena, Duel, Running, Setup, Site
from bench.measure import Goal, Measure
from bench.memory import CONNECTIONS, MEGABYTE, SESSIONS, own_size
from bench.processes import PROC, pss
from mailworker.event.rows import Rows
from mailworker.mail.session_id import clock_and_process
from mailworker.model import InetAddress
from mailworker.shm.sessions import SessionTable
from tests.support.daemon import wait_until
from tests.support.process import is_status_process

WORKERS = 64
SERVERS = 20
MANY = 4000  # servers, each of which has metrics of its own
SCRAPES = 20
LISTED = 50_000
ROWS = 10_000  # of each process that seems to have the sessions
LISTS = 5
LATER = 5
PAIRS = 5
LOGINS = 2000
_PAGE = 4096
_LINE = 64  # bytes of a cache line: rows of different workers never share one


@dataclass(frozen=True, slots=True)
class Shown:
    """A server with a status page and a control socket."""

    server: Running
    page: Path
    control: Path

    @property
    def process(self) -> int:
        """The status process."""
        return next(pid for pid in self.server.tree.workers if is_status_process(psutil.Process(pid)))


@contextmanager
def shown(arena: Arena, workers: int = 1, site: Site | None = None) -> Iterator[Shown]:
    folder = arena.new_folder("sockets")
    page, control = folder / "page", folder / "control"
    main = f"session_table {ROWS}; status {{ listen unix:{page}; }} control {{ listen unix:{control}; }}"
    connections = 1024 + (site.servers if site else 0)
    with arena.running("mailworker", Setup(workers, connections, main=main, site=site)) as server:
        yield Shown(server, page, control)


def ask(path: Path, request: bytes, last: Callable[[bytes], bool]) -> bytes:
    """The answer, up to a part for which `last` returns true, or to the end."""
    parts = []
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(request)
        while part := client.recv(1 << 16):
            parts.append(part)
            if last(part):
                break
    return b"".join(parts)


def scrape(page: Path) -> bytes:
    return ask(page, b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n", lambda part: False)


def sessions(control: Path) -> int:
    """The number of sessions listed."""
    answer = ask(control, b'{"cmd":"sessions"}\n', lambda part: b'{"ok"' in part)
    return answer.count(b'{"session"')


def fill(server: Running) -> None:
    """Fill a server's session table with LISTED rows, in the names of workers that do not exist.

    As many real sessions would take 200,000 descriptors, and more kernel memory than most machines have for them.
    """
    target = _table_of(server.pid)
    workers, table = 0, SessionTable("bench", ROWS, 1, [("", "")])
    while _size(table) < os.fstat(target).st_size:
        workers += 1
        table = SessionTable("bench", ROWS, workers, [("", "")])
    for worker in range(workers - LISTED // ROWS, workers):
        _fill(table, worker)
    _copy(table, target)
    os.close(target)


def _fill(table: SessionTable, worker: int) -> None:
    table.claim(worker)
    assert table.own is not None
    rows, now = Rows(*table.own, *clock_and_process()), time.monotonic()
    for number in range(ROWS):
        client = InetAddress(f"192.0.2.{number % 256}", number)
        row = rows.open(table, number, now, 0, client)
        rows.ask(row, b"user%d@example.com" % number, now)
        rows.dial(row, client, now)
        rows.relay(row, now)


def _copy(table: SessionTable, target: int) -> None:
    """Copy all that is not 0."""
    assert table.descriptor is not None
    for place in range(0, _size(table), _PAGE):
        page = os.pread(table.descriptor, _PAGE, place)
        for offset in range(0, _PAGE, _LINE) if any(page) else ():
            if any(line := page[offset : offset + _LINE]):
                os.pwrite(target, line, place + offset)


def _size(table: SessionTable) -> int:
    assert table.descriptor is not None
    return os.fstat(table.descriptor).st_size


def _table_of(master: int) -> int:
    """A descriptor for the memory of the master's session table."""
    paths = (PROC / str(master) / "fd").iterdir()
    return os.open(next(path for path in paths if "memfd:sessions" in str(path.readlink())), os.O_RDWR)


def list_seconds(arena: Arena) -> Duel:
    duel = Duel([0.0], [])
    with shown(arena) as it:
        fill(it.server)
        for _ in range(LISTS):
            began = time.monotonic()
            count = sessions(it.control)
            duel.ours.append(time.monotonic() - began)
            if count < LISTED:
                raise RuntimeError(f"{count} sessions are listed")
    return duel


@contextmanager
def listing(control: Path) -> Iterator[None]:
    """List all sessions again and again meanwhile."""
    done = threading.Event()

    def go_on() -> None:
        while not done.is_set():
            sessions(control)

    reader = threading.Thread(target=go_on)
    reader.start()
    try:
        yield
    finally:
        done.set()
        reader.join()


def crowded_p99(arena: Arena) -> Duel:
    """Milliseconds from connect() to the login, alone and while all sessions are being listed."""
    duel = Duel([], [])
    with shown(arena) as it:
        fill(it.server)
        load = it.server.load("imap", count=LOGINS)
        it.server.clients.run(load)
        for _ in range(PAIRS):
            duel.theirs.append(it.server.clients.run(load).p99 / 1000)
            with listing(it.control):
                duel.ours.append(it.server.clients.run(load).p99 / 1000)
    return duel


def listed_session(arena: Arena) -> Duel:
    """Kilobytes of an idle session, without a row and with one."""
    mains = "", f"session_table {CONNECTIONS};"
    return Duel(*([own_size(arena, Setup(connections=CONNECTIONS, main=main), "imap")] for main in mains))


@contextmanager
def large(arena: Arena) -> Iterator[Shown]:
    """A server with WORKERS workers and SERVERS servers, once all workers count."""
    with shown(arena, WORKERS, Site(SERVERS, tls=False)) as it:
        wait_until(lambda: b'worker="%d"' % (WORKERS - 1) in scrape(it.page), "a metric of each worker")
        yield it


def scrape_time(arena: Arena) -> Duel:
    """Milliseconds until the whole answer has come."""
    duel = Duel([0.0], [])
    with large(arena) as it:
        for _ in range(SCRAPES):
            began = time.monotonic()
            scrape(it.page)
            duel.ours.append((time.monotonic() - began) * 1000)
    return duel


def status_size(arena: Arena) -> Duel:
    """Megabytes of the status process, once it has shown everything."""
    with large(arena) as it:
        fill(it.server)
        sessions(it.control)
        return Duel([0.0], [pss(it.process) / MEGABYTE])


@contextmanager
def many(arena: Arena) -> Iterator[Shown]:
    """A server with MANY servers, whose metrics were asked for once."""
    with shown(arena, site=Site(MANY, tls=False)) as it:
        scrape(it.page)
        yield it


def further_cpu(arena: Arena) -> Duel:
    """Seconds of CPU of the status process for an answer."""
    with many(arena) as it:
        process = psutil.Process(it.process)
        before = sum(process.cpu_times()[:2])
        for _ in range(LATER):
            scrape(it.page)
        return Duel([0.0], [(sum(process.cpu_times()[:2]) - before) / LATER])


def many_size(arena: Arena) -> Duel:
    """Megabytes of the status process."""
    with many(arena) as it:
        return Duel([0.0], [pss(it.process) / MEGABYTE])


def measures() -> Iterator[Measure]:
    figure = partial(Goal, of="figure")
    yield Measure("list", f"{LISTED} sessions listed by the control socket", "s", figure(1.0), list_seconds)
    yield Measure(
        "list-login",
        f"99th percentile of plain IMAP logins while {LISTED} sessions are listed (nginx: while nobody lists)",
        "ms",
        Goal(1.1),
        crowded_p99,
    )
    yield Measure(
        "imap-idle-listed",
        f"memory per idle IMAP session with its row, of {SESSIONS} (nginx: mailworker's without)",
        "KB",
        figure(1.0),
        listed_session,
    )
    where = f"of {WORKERS} workers and {SERVERS} servers"
    yield Measure("metrics", f"/metrics {where}", "ms", figure(20.0), scrape_time)
    yield Measure(
        "status-memory", f"PSS of the status process {where}, {LISTED} sessions", "MB", figure(40.0), status_size
    )
    where = f"of {MANY} servers, after the first answer"
    yield Measure(f"metrics-{MANY}", f"CPU of the status process for /metrics {where}", "s", figure(1.0), further_cpu)
    yield Measure(f"status-memory-{MANY}", f"PSS of the status process {where}", "MB", figure(250.0), many_size)
