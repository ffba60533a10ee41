"""Row 44: records and handshakes that no honest client sends end one connection, and nothing else."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from tlslite.constants import ContentType, KeyUpdateMessageType
from tlslite.errors import BaseTLSException
from tlslite.handshakesettings import HandshakeSettings
from tlslite.messages import Alert, ApplicationData
from tlslite.tlsconnection import TLSConnection

from tests.long.site import WORKERS, Site, running
from tests.support.patience import PATIENCE

MANY = 3000
HANDSHAKE, ALERT, CHANGE_CIPHER_SPEC, HEARTBEAT, DATA = 22, 21, 20, 24, 23
VERSIONS = ((3, 3), (3, 4))


def record(kind: int, content: bytes, version: int = 0x0301, length: int | None = None) -> bytes:
    return struct.pack("!BHH", kind, version, len(content) if length is None else length) + content


def client_hello() -> bytes:
    """An honest one of TLS 1.2, without its record."""
    suites = struct.pack("!2H", 0xC02B, 0xC02F)
    groups = struct.pack("!HHHH", 10, 4, 2, 23) + struct.pack("!HHHHH", 13, 6, 4, 0x0403, 0x0804)
    body = struct.pack("!H", 0x0303) + b"r" * 32 + b"\0" + struct.pack("!H", len(suites)) + suites + b"\1\0"
    body += struct.pack("!H", len(groups)) + groups
    return b"\1" + len(body).to_bytes(3, "big") + body


HELLO = client_hello()
BEFORE = {
    "a byte in each record": b"".join(record(HANDSHAKE, HELLO[i : i + 1]) for i in range(len(HELLO))),
    "a record that is too long": record(HANDSHAKE, b"\1" + b"\0" * 20000, length=20000),
    "the longest length": record(HANDSHAKE, b"x" * 100, length=65535),
    "empty records without end": record(HANDSHAKE, b"") * MANY,
    "an unknown kind of record": record(99, b"x"),
    "an unknown version": record(HANDSHAKE, HELLO, version=0x0909),
    "data before the handshake": record(DATA, b"a NOOP\r\n"),
    "warnings without end": record(ALERT, b"\1\x5a") * MANY,
    "a fatal alert": record(ALERT, b"\2\x28"),
    "an alert of three bytes": record(ALERT, b"\1\2\3"),
    "CCS before the handshake": record(CHANGE_CIPHER_SPEC, b"\1"),
    "CCS inside the handshake": record(HANDSHAKE, HELLO) + record(CHANGE_CIPHER_SPEC, b"\1") * 5,
    "a heartbeat that claims more than it has": record(HEARTBEAT, b"\1\x40\0x"),
    "a heartbeat inside the handshake": record(HANDSHAKE, HELLO) + record(HEARTBEAT, b"\1\x40\0x"),
    "a message of 16 MB": record(HANDSHAKE, b"\1\xff\xff\xff" + b"\0" * 16000) + record(HANDSHAKE, b"\0" * 16000) * 60,
    "hello twice": record(HANDSHAKE, HELLO) * 2,
    "a finish at once": record(HANDSHAKE, b"\x14\0\0\x0c" + b"f" * 12),
    "SSL 2": b"\x80\x2e\1\0\2\0\x15\0\0\0\x10" + b"\1\0\x80" * 7 + b"c" * 16,
}


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running(timeout="5s") as running_site:
        assert running_site.served()
        yield running_site


def secure_ports(site: Site) -> list[int]:
    return [door.port for door in site.doors if door.secure]


def all_is_well(site: Site, workers: list[int]) -> bool:
    return site.served() and site.mailworker.await_workers(WORKERS) == workers and site.alerts() == []


@pytest.mark.parametrize("name", BEFORE)
def test_bytes_that_are_no_handshake(site: Site, name: str) -> None:
    workers = site.mailworker.await_workers(WORKERS)
    for port in secure_ports(site):
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client, suppress(OSError):
            client.sendall(BEFORE[name])
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass
    assert all_is_well(site, workers)


class Attacker(TLSConnection):  # type: ignore[misc]
    """A client that is past its handshake."""

    def send_raw(self, kind: int, content: bytes) -> None:
        """A record that is not encrypted."""
        self.sock.socket.sendall(record(kind, content, version=0x0303))

    def send_message(self, message: object) -> None:
        """A record as it should be."""
        for _ in self._sendMsg(message):
            pass


def garbage(attacker: Attacker) -> None:
    attacker.send_raw(DATA, b"\0" * 64)


def plaintext(attacker: Attacker) -> None:
    attacker.send_raw(DATA, b"a NOOP\r\n")


def oversized(attacker: Attacker) -> None:
    attacker.send_raw(DATA, b"\0" * 17000)


def empty_data(attacker: Attacker) -> None:
    for _ in range(MANY):
        attacker.send_message(ApplicationData().create(bytearray()))


def warnings(attacker: Attacker) -> None:
    for _ in range(MANY):
        attacker.send_message(Alert().create(90, 1))


def new_hello(attacker: Attacker) -> None:
    attacker.send_message(ApplicationData().create(bytearray(b"a NOOP\r\n")))
    attacker.send_raw(HANDSHAKE, HELLO)


def key_updates(attacker: Attacker) -> None:
    if attacker.version < (3, 4):
        return
    for _ in range(MANY // 10):  # this library is slow at it
        for _ in attacker.send_keyupdate_request(KeyUpdateMessageType.update_requested):
            pass


def half_a_record(attacker: Attacker) -> None:
    attacker.sock.socket.sendall(record(ContentType.application_data, b"x" * 10, version=0x0303, length=100))


AFTER = (garbage, plaintext, oversized, empty_data, warnings, new_hello, key_updates, half_a_record)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("attack", AFTER)
def test_records_that_nobody_sends(site: Site, version: tuple[int, int], attack: Callable[[Attacker], None]) -> None:
    workers = site.mailworker.await_workers(WORKERS)
    settings = HandshakeSettings()
    settings.minVersion = settings.maxVersion = version
    for port in secure_ports(site):
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
            attacker = Attacker(client)
            attacker.handshakeClientCert(settings=settings)
            with suppress(OSError, BaseTLSException):
                attack(attacker)
                client.shutdown(socket.SHUT_WR)
                while client.recv(65536):
                    pass
    assert all_is_well(site, workers)
