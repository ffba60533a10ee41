from __future__ import annotations

import errno
import mmap
import os
import re
import signal
import socket
import ssl
from pathlib import Path

import psutil
import pytest

from mailworker.process.handover.zones import VARIABLE, announced, take_over
from mailworker.process.system.inherited_state import foreign_descriptors
from mailworker.shm.ticket_keys import TicketKeys
from mailworker.shm.tls_sessions import TlsSessions
from tests.process.conftest import Install
from tests.support.certificates import self_signed
from tests.support.daemon import wait_until
from tests.support.patience import PATIENCE
from tests.support.process import GREETING, configuration
from tests.support.recorded_log import RecordedLog

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="no files in memory here")
SIZE = 1 << 16


def marked(name: str, size: int = SIZE) -> TlsSessions:
    zone = TlsSessions(name, size)
    zone.memory[:4] = b"head"
    zone.memory[-4:] = b"body"
    return zone


def test_zones_of_the_same_name_and_size_are_filled() -> None:
    with announced([marked("one"), marked("two")], RecordedLog().log) as environment:
        one, two, other, larger = (
            TlsSessions("one", SIZE),
            TlsSessions("two", SIZE),
            TlsSessions("other", SIZE),
            TlsSessions("two", 2 * SIZE),
        )
        value = "".join(f"{os.dup(int(text))};" for text in environment[VARIABLE].split(";")[:-1])
        take_over(value, [one, other, larger])
        value = "".join(f"{os.dup(int(text))};" for text in environment[VARIABLE].split(";")[:-1])
        take_over(value, [two])
    for zone in (one, two):
        assert bytes(zone.memory) == b"head" + bytes(SIZE - 8) + b"body"
    assert not any(bytes(other.memory))
    assert not any(bytes(larger.memory))


def test_a_zone_that_is_nearly_empty_takes_no_memory_for_its_size() -> None:
    """An empty zone of 100 MB took as much in the copy, and for good in the new binary."""
    size = 3344 * 1024
    with announced([marked("one", size)], RecordedLog().log) as environment:
        (descriptor,) = map(int, environment[VARIABLE].split(";")[:-1])
        assert os.fstat(descriptor).st_blocks * 512 <= 8 * mmap.PAGESIZE
        assert os.fstat(descriptor).st_size > size
        new = TlsSessions("one", size)
        take_over(environment[VARIABLE], [new])
        reopen(environment[VARIABLE])
    pattern = r"/dev/zero \(deleted\)\nSize: +3344 kB\n(?:(?!Rss).*\n)*Rss: +(\d+) kB"
    resident = map(int, re.findall(pattern, Path("/proc/self/smaps").read_text()))
    assert min(resident) * 1024 <= 8 * mmap.PAGESIZE
    assert new.memory[:4] == b"head"
    assert new.memory[-4:] == b"body"


@pytest.mark.parametrize("name", ["one", "two"])
def test_ticket_keys_go_on_under_their_name(name: str) -> None:
    old, new = TicketKeys("one"), TicketKeys(name)
    old.rotate(1.0, 300.0)
    with announced([marked("one"), old], RecordedLog().log) as environment:
        take_over(environment[VARIABLE], [TlsSessions("one", SIZE), new])
        reopen(environment[VARIABLE])
    new.rotate(2.0, 300.0)
    assert (new.read() == old.read()) is (name == "one")


def reopen(value: str) -> None:
    """Give `announced` something to close again."""
    for text in value.split(";")[:-1]:
        null = os.open(os.devnull, os.O_RDONLY)
        if null != int(text):
            os.dup2(null, int(text))
            os.close(null)


def test_another_layout_is_not_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = TicketKeys("one"), TicketKeys("one")
    old.rotate(1.0, 300.0)
    with announced([old], RecordedLog().log) as environment:
        monkeypatch.setattr(TicketKeys, "layout", 2)
        take_over(environment[VARIABLE], [new])
        reopen(environment[VARIABLE])
    new.rotate(2.0, 300.0)
    assert new.read() != old.read()


def test_a_zone_that_cannot_be_copied_leaves_the_others_to_be_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> int:
        if name == "large":
            raise OSError(errno.ENOMEM, "")
        return created(name)

    created = os.memfd_create
    monkeypatch.setattr(os, "memfd_create", refuse)
    log, filled = RecordedLog(), TlsSessions("one", SIZE)
    with announced([marked("large"), marked("one")], log.log) as environment:
        assert log.lines == ['[error] cannot hand over shared memory zone "large" (12: Cannot allocate memory)']
        take_over(f"{os.dup(int(environment[VARIABLE].rstrip(';')))};", [filled])
    assert bytes(filled.memory[:4]) == b"head"


def test_a_zone_that_there_is_no_memory_to_copy_leaves_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    """All children inherited it from then on, and the binary was not changed."""

    def lack(_descriptor: int, _content: object) -> None:
        raise MemoryError

    before = foreign_descriptors({})
    monkeypatch.setattr("mailworker.process.handover.zones._append", lack)
    log = RecordedLog()
    with announced([marked("one")], log.log) as environment:
        assert environment == {}
        assert foreign_descriptors({}) == before
    assert log.lines == ['[error] cannot hand over shared memory zone "one" (12: Cannot allocate memory)']


def test_a_zone_may_have_a_long_name() -> None:
    name = "ü" * 1000
    log, filled = RecordedLog(), TlsSessions(name, SIZE)
    with announced([marked(name)], log.log) as environment:
        take_over(f"{os.dup(int(environment[VARIABLE].rstrip(';')))};", [filled])
    assert (log.lines, bytes(filled.memory[:4])) == ([], b"head")
    assert TicketKeys(name).failure is None


def test_a_copy_is_for_nobody_else() -> None:
    with announced([marked("one")], RecordedLog().log) as environment:
        assert os.fstat(int(environment[VARIABLE].rstrip(";"))).st_mode & 0o777 == 0o600


def test_copies_are_inherited_and_end_with_their_announcement() -> None:
    with announced([marked("one")], RecordedLog().log) as environment:
        descriptor = int(environment[VARIABLE].rstrip(";"))
        assert os.get_inheritable(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_without_zones_there_is_nothing_to_announce() -> None:
    with announced([], RecordedLog().log) as environment:
        assert environment == {}


@pytest.mark.parametrize("value", ["", ";", "x;", "7000;", "-1;", "9" * 18 + ";", "9" * 5000 + ";"])
def test_what_is_no_copy_leaves_the_zone_empty(value: str) -> None:
    zone = TlsSessions("one", SIZE)
    take_over(value, [zone])
    assert not any(bytes(zone.memory))


@pytest.mark.parametrize(
    ("version", "tickets"),
    [(ssl.TLSVersion.TLSv1_2, "off"), (ssl.TLSVersion.TLSv1_2, "on"), (ssl.TLSVersion.TLSv1_3, "on")],
)
def test_tls_sessions_resume_across_a_change_of_the_binary(
    install: Install, port: int, folder: Path, version: ssl.TLSVersion, tickets: str
) -> None:
    certificate = self_signed(folder, "mail", "/CN=mail.example")
    text = configuration(
        port,
        main="worker_processes 2;",
        server=f"ssl_certificate {certificate.certificate}; ssl_certificate_key {certificate.key};"
        f"ssl_session_cache shared:mail:1m; ssl_session_tickets {tickets};",
    ).replace(f"127.0.0.1:{port};", f"127.0.0.1:{port} ssl;")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certificate.certificate)
    context.check_hostname = False
    context.minimum_version = context.maximum_version = version
    mailworker = install(text)
    mailworker.start()
    session, _ = visit(context, port)
    assert visit(context, port, session)[1]
    old, _ = mailworker.upgrade()
    os.kill(old, signal.SIGQUIT)
    assert mailworker.await_exit() == 0
    wait_until(lambda: not psutil.pid_exists(old), "the old master's end")
    assert [visit(context, port, session)[1] for _ in range(4)] == [True] * 4


def visit(
    context: ssl.SSLContext, port: int, session: ssl.SSLSession | None = None
) -> tuple[ssl.SSLSession | None, bool | None]:
    """The session of a new connection, and whether it is the one that was offered."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connected,
        context.wrap_socket(connected, session=session) as client,
    ):
        assert client.recv(100) == GREETING  # and, in TLS 1.3, the tickets
        return client.session, client.session_reused
