"""Row 92: input that costs work and yields nothing holds nobody up for long, and its sender is sent away."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.process.conftest import Install
from tests.process.tls.servers import key_pair
from tests.security.speech import SPEECHES
from tests.support.auth import AuthService, accepted
from tests.support.backend import ScriptedServer
from tests.support.certificates import self_signed
from tests.support.hostile_tls import HostileClient
from tests.support.patience import PATIENCE
from tests.support.ports import Ports
from tests.support.process import Mailworker

pytestmark = pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="no times of processes here")

IMAP = SPEECHES[0]
UPDATES = 20_000  # 540 KB: without a bound they take 0.2 s of a CPU
MOST_CPU = 0.1  # seconds


@dataclass(slots=True)
class Service:
    """A mailworker with one worker, so that all have to share it."""

    mailworker: Mailworker
    worker: int
    ports: Ports

    def connect(self, port: str) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.ports[port]), timeout=PATIENCE)

    def log_in(self) -> float:
        """How many seconds it takes somebody else to log in."""
        begin = time.monotonic()
        with self.connect("plain") as client:
            assert client.recv(100) == IMAP.greeting
            client.sendall(IMAP.login)
            assert client.recv(100) == IMAP.welcome
        return time.monotonic() - begin

    def cpu(self) -> float:
        """Seconds of a CPU that the worker has had."""
        return int(Path(f"/proc/{self.worker}/schedstat").read_text().split()[0]) / 1e9


@pytest.fixture
def service(install: Install, folder: Path, ports: Ports) -> Iterator[Service]:
    certificate = self_signed(folder, "mail", "/CN=mail.example")
    with ExitStack() as stack:
        backend = ScriptedServer(IMAP.backend)
        stack.callback(backend.stop)
        auth = AuthService(accepted(backend.address))
        stack.callback(auth.stop)
        mailworker = install(f"""
            error_log logs/error.log info;
            worker_processes 1;
            events {{ }}
            mail {{
                auth_http {auth.address}/;
                timeout {int(PATIENCE)}s;
                {key_pair(certificate)}
                server {{ listen 127.0.0.1:{ports["plain"]}; protocol imap; }}
                server {{ listen 127.0.0.1:{ports["secure"]} ssl; protocol imap; }}
                server {{ listen 127.0.0.1:{ports["behind"]} proxy_protocol; protocol imap; }}
            }}
        """)
        mailworker.start()
        (worker,) = mailworker.await_workers(1)
        service = Service(mailworker, worker, ports)
        service.log_in()
        yield service
        assert mailworker.await_workers(1) == [worker]


def attack(service: Service, attacker: socket.socket, data: bytes) -> float:
    """Send all of it while somebody else logs in; the seconds of a CPU that the worker has spent."""

    def send() -> None:
        with suppress(OSError):  # the attacker is sent away
            attacker.sendall(data)
            attacker.shutdown(socket.SHUT_WR)
        with suppress(OSError):
            while attacker.recv(1 << 16):
                pass

    before = service.cpu()
    thread = threading.Thread(target=send)
    thread.start()
    service.log_in()
    thread.join()
    return service.cpu() - before


@pytest.mark.parametrize("logged_in", [False, True], ids=["before the login", "in the relay"])
def test_key_updates_without_data_hold_nobody_up(service: Service, logged_in: bool) -> None:
    with service.connect("secure") as connected, closing(HostileClient(connected)) as hostile:
        assert hostile.read() == IMAP.greeting
        if logged_in:
            connected.sendall(hostile.data(IMAP.login))
            assert hostile.read() == IMAP.welcome
        assert attack(service, connected, hostile.key_updates(UPDATES)) < MOST_CPU
    doing = "proxying and reading from client" if logged_in else "in auth state"
    service.mailworker.await_line(rf"\[info\] .* SSL_read\(\) failed \(SSL: .*too many key updates\) while {doing}")


def test_a_handshake_in_pieces_holds_nobody_up(service: Service) -> None:
    size = 131_396  # the longest ClientHello that OpenSSL waits for
    message = b"\1" + size.to_bytes(3, "big") + bytes(size)
    pieces = b"".join(struct.pack("!BHHB", 22, 0x0301, 1, byte) for byte in message)
    with service.connect("secure") as connected:
        assert attack(service, connected, pieces) < MOST_CPU
    service.mailworker.await_line(r"\[info\] .* SSL_do_handshake\(\) failed \(SSL: .*excessive message size\)")


def test_the_padding_of_a_proxy_header_holds_nobody_up(service: Service) -> None:
    for size, told in ((4080, IMAP.greeting), (65519, b"")):
        header = b"\r\n\r\n\0\r\nQUIT\n" + struct.pack("!BBH", 0x20, 0, size) + b"\4" * size
        with service.connect("behind") as connected:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            before = service.cpu()
            with suppress(OSError):
                for start in range(0, len(header), 16):
                    connected.sendall(header[start : start + 16])
            service.log_in()
            heard = b""
            with suppress(ConnectionResetError):
                heard = connected.recv(100)
        assert heard == told
        assert service.cpu() - before < MOST_CPU
