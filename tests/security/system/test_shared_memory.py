"""Row 42: whatever happens to the memory that workers share, clients get full handshakes and nothing worse."""

from __future__ import annotations

import os
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.process.conftest import Install
from tests.process.tls.clients import client_context, visit
from tests.process.tls.servers import configuration, key_pair, start, tls_server
from tests.support.certificates import Certificate

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


def zone_of(master: int) -> tuple[int, int]:
    """Where the shared memory is in the master, and in all that were forked from it."""
    mappings = Path(f"/proc/{master}/maps").read_text()
    found = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) rw-s .*/dev/zero \(deleted\)$", mappings, re.MULTILINE)
    (zone,) = found
    return int(zone[0], 16), int(zone[1], 16)


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
