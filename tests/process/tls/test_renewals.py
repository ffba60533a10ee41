"""Certificates that are renewed while clients come: nobody is refused, nothing grows."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.process.conftest import Install
from tests.process.tls.clients import client_context
from tests.process.tls.folders import Certbot
from tests.process.tls.servers import configuration, start
from tests.process.tls.test_certificate_directory import serial
from tests.support.certificates import CertificateAuthority
from tests.support.patience import PATIENCE
from tests.support.process import GREETING

RENEWALS = int(os.environ.get("MAILWORKER_RENEWALS", "6"))
NAMES = ("a.example", "b.example")
_GROWTH = 4 << 20  # bytes for a worker; a pair that stayed would take 10 KB, so 2 MB in the long form

pytestmark = pytest.mark.timeout(0 if "MAILWORKER_RENEWALS" in os.environ else 120)


class Load:
    """Clients that come one after the other, and resume now and then; `failures` is what went wrong."""

    def __init__(self, port: int) -> None:
        self.failures: list[str] = []
        self.handshakes = 0
        self._port = port
        self._over = threading.Event()

    def run(self) -> None:
        contexts = [client_context(version) for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)]
        sessions: dict[tuple[int, str], ssl.SSLSession | None] = {}
        while not self._over.is_set():
            for number, context in enumerate(contexts):
                for name in NAMES:
                    self._come(context, name, sessions, (number, name))

    def _come(
        self,
        context: ssl.SSLContext,
        name: str,
        sessions: dict[tuple[int, str], ssl.SSLSession | None],
        key: tuple[int, str],
    ) -> None:
        try:
            with (
                socket.create_connection(("127.0.0.1", self._port), PATIENCE) as plain,
                context.wrap_socket(plain, server_hostname=name, session=sessions.get(key)) as client,
            ):
                if client.recv(100) != GREETING:
                    self.failures.append(f"{name}: another greeting")
                sessions[key] = None if client.session_reused else client.session
        except OSError as error:
            self.failures.append(f"{name}: {error}")
        self.handshakes += 1

    @contextmanager
    def going(self) -> Iterator[None]:
        threads = [threading.Thread(target=self.run) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join(PATIENCE)


def test_renewals_cost_no_handshake_no_session_and_no_memory(
    install: Install, port: int, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "maker").mkdir()
    certbot = Certbot(folder / "letsencrypt", CertificateAuthority(tmp_path / "maker"))
    for name in NAMES:
        certbot.issue(name)
    text = configuration(
        f"server {{ listen 127.0.0.1:{port} ssl; protocol imap; ssl_certificate_directory {certbot.live}; }}",
        workers=2,
        mail="ssl_session_cache shared:SSL:1m; timeout 1h;",
    )
    mailworker = start(install, text, workers=2)
    workers = mailworker.workers()
    load = Load(port)
    with ExitStack() as stack:
        plain = stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))
        session = stack.enter_context(
            client_context(ssl.TLSVersion.TLSv1_3).wrap_socket(plain, server_hostname=NAMES[0])
        )
        assert session.recv(100) == GREETING
        stack.enter_context(load.going())
        mailworker.await_true(lambda: load.handshakes >= 50, "a load")
        before = [_resources(worker) for worker in workers]
        for _ in range(RENEWALS):
            earlier = {name: serial(port, name) for name in NAMES}
            for name in NAMES:
                certbot.issue(name)
            mailworker.await_true(partial(_all_are_others, port, earlier), "a renewal")
        after = [_resources(worker) for worker in workers]
        session.sendall(b"a NOOP\r\n")
        assert session.recv(100) == b"a OK completed\r\n"
    assert load.failures == []
    assert load.handshakes > RENEWALS
    for (memory, descriptors), (memory_now, descriptors_now) in zip(before, after, strict=True):
        assert memory_now - memory < _GROWTH
        assert descriptors_now <= descriptors + 4  # connections that come and go
    assert [worker.pid for worker in mailworker.workers()] == [worker.pid for worker in workers]
    assert mailworker.lines(r"\[(?:warn|error|crit)\]") == []


def _all_are_others(port: int, earlier: dict[str, int]) -> bool:
    return all(serial(port, name) != earlier[name] for name in NAMES for _ in range(4))


def _resources(worker: psutil.Process) -> tuple[int, int]:
    return worker.memory_info().rss, worker.num_fds()
