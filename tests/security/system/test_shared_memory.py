"""Rows 42, 95 and 96: whatever a worker does to the memory that it shares, others and the master go on."""

from __future__ import annotations

import json
import os
import pwd
import re
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf, nan
from pathlib import Path

import psutil
import pytest

from tests.long.site import ROOT
from tests.process.conftest import Install
from tests.process.tls.clients import client_context, visit
from tests.process.tls.servers import configuration, key_pair, reload, start, tls_server
from tests.support.certificates import Certificate
from tests.support.process import descriptors

WORKERS = 2
PAGE = 4096
LOADS = 2
FLIPPED = bytes.maketrans(bytes(range(256)), bytes(255 - byte for byte in range(256)))
VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


class Load:
    """Clients that come back, each with the session it was given last."""

    def __init__(self, port: int, version: ssl.TLSVersion) -> None:
        self.failures: list[BaseException] = []
        self.visits = 0
        self._over = threading.Event()
        self._port = port
        self._version = version

    @contextmanager
    def running(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._come_back) for _ in range(LOADS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def _come_back(self) -> None:
        context, session = client_context(self._version), None
        while not self._over.is_set():
            try:
                session = visit(self._port, context, session).session
            except (AssertionError, OSError) as error:
                self.failures.append(error)
                return
            self.visits += 1


def zone_of(process: int, kind: str = r"rw-s .*/dev/zero") -> tuple[int, int]:
    """Where the sessions are in the master, and in all that were forked from it; `kind` is as the kernel lists it."""
    mappings = Path(f"/proc/{process}/maps").read_text()
    (zone,) = re.findall(rf"^([0-9a-f]+)-([0-9a-f]+) {kind}.* \(deleted\)$", mappings, re.MULTILINE)
    return int(zone[0], 16), int(zone[1], 16)


@contextmanager
def memory_of(process: int) -> Iterator[int]:
    descriptor = os.open(f"/proc/{process}/mem", os.O_RDWR)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes to another's memory")
@VERSIONS
@pytest.mark.parametrize("tickets", ["on", "off"])
def test_flipping_every_byte_of_a_zone_under_load_costs_resumptions_only(
    install: Install, port: int, ecdsa: Certificate, version: ssl.TLSVersion, tickets: str
) -> None:
    directives = f"{key_pair(ecdsa)} ssl_session_cache shared:SSL:1m; ssl_session_tickets {tickets};"
    mailworker = start(install, configuration(tls_server(port, directives), workers=WORKERS), WORKERS)
    workers = mailworker.await_workers(WORKERS)
    first, end = zone_of(mailworker.pid)
    load = Load(port, version)
    memory = os.open(f"/proc/{mailworker.pid}/mem", os.O_RDWR)
    try:
        with load.running():
            mailworker.await_true(lambda: load.visits >= LOADS * 3, "clients")
            for place in range(first, end, PAGE):
                os.pwrite(memory, os.pread(memory, PAGE, place).translate(FLIPPED), place)
                if place % (32 * PAGE) == 0:
                    visits = load.visits
                    mailworker.await_true(lambda so_far=visits: load.visits > so_far, "another client")  # type: ignore[misc]
            visits = load.visits
            mailworker.await_true(lambda: load.visits >= visits + LOADS * 3, "clients afterwards")
    finally:
        os.close(memory)
    assert load.failures == []
    assert mailworker.await_workers(WORKERS) == workers
    assert mailworker.lines(r"\[(alert|emerg|crit)\]") == []
    context = client_context(version)
    assert visit(port, context, visit(port, context).session).reused


NUMBERS = (nan, inf, -inf, 1e15, 1e308, -1.0, 0.0)
PATTERNS = (*(struct.pack("d", number) for number in NUMBERS), b"\xff", b"\0\0\0\x80", b"rubbish", b"\x01\0\0\0")


def repeated(pattern: bytes, size: int) -> bytes:
    return (pattern * (size // len(pattern) + 1))[:size]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes to another's memory")
@VERSIONS
def test_whatever_a_worker_writes_among_the_sessions_all_go_on(
    install: Install, port: int, ecdsa: Certificate, version: ssl.TLSVersion
) -> None:
    directives = f"{key_pair(ecdsa)} ssl_session_cache shared:SSL:1m; ssl_session_tickets off;"
    mailworker = start(install, configuration(tls_server(port, directives), workers=WORKERS), WORKERS)
    workers = mailworker.await_workers(WORKERS)
    first, end = zone_of(workers[0])
    context = client_context(version)
    visit(port, context)
    with memory_of(workers[0]) as memory:
        old_rows = os.pread(memory, end - first, first)
        for content in (*(repeated(pattern, end - first) for pattern in PATTERNS), old_rows):
            os.pwrite(memory, content, first)
            sessions = [visit(port, context).session for _ in range(3)]
            assert all(visit(port, context, session).reused for session in sessions)
    assert mailworker.await_workers(WORKERS) == workers
    assert mailworker.lines(r"\[(alert|emerg|crit)\]") == []
    reload(mailworker, WORKERS)


def published_keys(master: int) -> int:
    """The file of the master's ticket keys, opened as root may."""
    (path,) = (path for path, link in descriptors(master).items() if "ticket keys" in link)
    return os.open(path, os.O_RDWR)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes to another's memory")
def test_the_master_rotates_its_own_keys_whatever_is_in_the_memory_of_its_workers(
    install: Install, port: int, ecdsa: Certificate
) -> None:
    directives = f"{key_pair(ecdsa)} ssl_session_cache shared:SSL:1m; ssl_session_timeout 1s;"
    mailworker = start(install, configuration(tls_server(port, directives), workers=WORKERS), WORKERS)
    workers = mailworker.await_workers(WORKERS)
    for process in workers:
        first, end = zone_of(process, r"r--s .*/memfd:ticket keys SSL")
        with memory_of(process) as memory, pytest.raises(OSError, match="Input/output error"):
            os.pwrite(memory, bytes(end - first), first)
    master = psutil.Process(mailworker.pid)
    before = sum(master.cpu_times()[:2])
    published = published_keys(mailworker.pid)
    try:
        size = os.fstat(published).st_size
        for pattern in PATTERNS:
            os.pwrite(published, repeated(pattern, size), 0)
            visit(port, client_context(ssl.TLSVersion.TLSv1_3))  # with the keys of before
        garbage = os.pread(published, size, 0)
        mailworker.await_true(lambda: os.pread(published, size, 0) != garbage, "new keys")
    finally:
        os.close(published)
    assert sum(master.cpu_times()[:2]) - before < 0.5
    assert mailworker.await_workers(WORKERS) == workers
    reload(mailworker, WORKERS)
    assert mailworker.lines(r"\[(alert|emerg|crit)\]") == []
    mailworker.stop()


# Publishes keys as the master does, and tries to write them as a worker does that somebody has taken over, who has kept
# all that it inherited. Prints what succeeds.
HOSTILE_WORKER = """
import ctypes, json, mmap, os, re, struct, sys
from dataclasses import replace
from mailworker.config.core import User
from mailworker.log.log import Log
from mailworker.process.system import identity
from mailworker.shm.ticket_keys import TicketKeys
from tests.support.settings import configuration

libc = ctypes.CDLL(None, use_errno=True)
keys = TicketKeys("SSL")
keys.rotate(1.0, 300.0)
known, master = bytes(keys.memory), os.getpid()
start, end = (int(number, 16) for number in re.search(
    "^([0-9a-f]+)-([0-9a-f]+) .*ticket keys", open("/proc/self/maps").read(), re.M).groups())
descriptor = keys._publication.descriptor
pid = os.fork()
if pid:
    os.waitpid(pid, 0)
    print(json.dumps("unchanged" if bytes(keys.memory) == known else "changed"))
    sys.exit()

def call(function, *arguments):
    if function(*arguments) in (-1, 2**64 - 1):
        raise OSError(ctypes.get_errno(), "")

def write_memory(process):
    with open(f"/proc/{process}/mem", "r+b", buffering=0) as memory:
        memory.seek(start)
        memory.write(b"x" * 64)

def write_vector(process):
    content = ctypes.create_string_buffer(64)
    parts = struct.pack("PN", ctypes.addressof(content), 64), struct.pack("PN", start, 64)
    call(libc.process_vm_writev, process, parts[0], 1, parts[1], 1, 0)

def succeeds(attempt):
    try:
        attempt()
    except (OSError, ValueError):
        return False
    return True

identity.assume(replace(configuration().core, user=User("nobody", int(sys.argv[1]), int(sys.argv[2]))), 0, Log([]))
own, masters = f"/proc/self/fd/{descriptor}", f"/proc/{master}/fd/{descriptor}"
size = ctypes.c_size_t(end - start)
attempts = {
    "make the mapping writable": lambda: call(libc.mprotect, ctypes.c_void_p(start), size, 3),
    "map the file for writing": lambda: mmap.mmap(descriptor, 8),
    "write to the file": lambda: os.pwrite(descriptor, b"x" * 64, 0),
    "shorten the file": lambda: os.ftruncate(descriptor, 0),
    "punch a hole": lambda: os.posix_fallocate(descriptor, 0, 4096),
    "let others open it": lambda: os.chmod(own, 0o666),
    "hold up who opens it": lambda: call(libc.fcntl, descriptor, 1024, 0),
    "open it again": lambda: os.open(own, os.O_RDWR),
    "open it again to write": lambda: os.open(own, os.O_WRONLY),
    "open it again even to read": lambda: os.open(own, os.O_RDONLY),
    "open the mapped file": lambda: os.open(f"/proc/self/map_files/{start:x}-{end:x}", os.O_RDWR),
    "open the master's": lambda: os.open(masters, os.O_RDWR),
    "write to its own memory": lambda: write_memory("self"),
    "write to the master's memory": lambda: write_memory(master),
    "write to the master's memory at once": lambda: write_vector(master),
    "publish": lambda: keys.rotate(1000.0, 300.0),
}
print(json.dumps([name for name, attempt in attempts.items() if succeeds(attempt)]), flush=True)
os._exit(0)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has something to drop")
def test_a_worker_has_no_way_to_write_ticket_keys() -> None:
    nobody = pwd.getpwnam("nobody")
    command = [sys.executable, "-c", HOSTILE_WORKER, str(nobody.pw_uid), str(nobody.pw_gid)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()] == [[], "unchanged"]
