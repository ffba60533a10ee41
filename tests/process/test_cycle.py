from __future__ import annotations

import errno
import gc
import socket
import tracemalloc
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest

from mailworker.config.listen import Endpoint, Listen
from mailworker.config.status import StatusSettings
from mailworker.errors import StartError
from mailworker.event.listener import BoundListener
from mailworker.model import InetAddress, UnixAddress
from mailworker.process.child_process import FromMaster
from mailworker.process.cycle import Cycle
from mailworker.process.invocation import Invocation
from mailworker.process.link import open_link
from mailworker.process.status_process import StatusProcess
from mailworker.process.steps import at_once
from mailworker.shm.ticket_keys import TicketKeys
from tests.support.recorded_log import RecordedLog
from tests.support.settings import configuration

MANY = 400


def cycle(numbers: range) -> Cycle:
    """One whose listeners have these ports."""
    made = Cycle(configuration(), (), RecordedLog().log)
    addresses = [InetAddress("127.0.0.1", number) for number in numbers]
    made.listeners = [BoundListener((Endpoint(Listen(address), 0),), socket.socket()) for address in addresses]
    return made


def test_a_cycle_keeps_open_what_its_survivor_listens_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """And looks for each listener once: with 4,000 of them a reload took twice the CPU of a start."""
    old, new = cycle(range(MANY)), cycle(range(MANY // 2, MANY))
    sockets = [listener.socket for listener in old.listeners]
    compared: list[object] = []
    equal = InetAddress.__eq__

    def noted(one: InetAddress, other: object) -> bool:
        compared.append(other)
        return equal(one, other)

    monkeypatch.setattr(InetAddress, "__eq__", noted)
    old.close(new)
    assert [made.fileno() >= 0 for made in sockets] == [number >= MANY // 2 for number in range(MANY)]
    assert len(compared) < 2 * MANY
    for made in [*sockets, *(listener.socket for listener in new.listeners)]:
        made.close()


def test_a_reload_tells_which_unix_sockets_it_deletes(tmp_path: Path) -> None:
    old, new, noted = cycle(range(0)), cycle(range(0)), RecordedLog()
    new.log = noted.log
    for name in ("gone", "kept"):
        address = UnixAddress(str(tmp_path / name))
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(address.path)
        old.listeners.append(BoundListener((Endpoint(Listen(address), 0),), listening))
    new.listeners = [old.listeners[-1]]
    old.close(new)
    new.close()
    assert noted.lines == [f"[warn] deleting socket {tmp_path}/gone"]
    assert not [*tmp_path.iterdir()]


def test_a_unix_socket_that_cannot_be_removed_keeps_no_other_open(tmp_path: Path) -> None:
    """As on a read-only file system. A reload ended there, with the new configuration and the old workers."""
    old, new, noted = cycle(range(0)), cycle(range(0)), RecordedLog()
    new.log = noted.log
    for name in ("stuck", "gone"):
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(tmp_path / name))
        old.listeners.append(BoundListener((Endpoint(Listen(UnixAddress(str(tmp_path / name))), 0),), listening))
    closed = [each.socket for each in old.listeners]
    (tmp_path / "stuck").unlink()
    (tmp_path / "stuck").mkdir()
    old.close(new)
    assert noted.lines == [
        f"[warn] deleting socket {tmp_path}/stuck",
        f"[emerg] unlink() {tmp_path}/stuck failed (21: Is a directory)",
        f"[warn] deleting socket {tmp_path}/gone",
    ]
    assert [each.fileno() for each in closed] == [-1, -1]
    assert [*tmp_path.iterdir()] == [tmp_path / "stuck"]


def memory_of(folder: Path, servers: int) -> int:
    """The bytes of an open cycle with so many `server` blocks."""
    path = folder / "mailworker.conf"
    blocks = "".join(f"server {{ listen unix:{folder}/{number}; protocol imap; }}\n" for number in range(servers))
    path.write_text(f"error_log error.log; events {{}} mail {{ auth_http 127.0.0.1:1; {blocks} }}")
    log = RecordedLog().log
    gc.collect()
    tracemalloc.start()
    try:
        cycle = Cycle.load(Invocation((), folder, path, None), log)
        at_once(cycle.open())
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        cycle.close()


def test_a_status_process_looks_for_its_listeners_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 4,000 of them it looked through them for more than a second of CPU before it answered."""
    own, compared, equal = cycle(range(MANY)), [], InetAddress.__eq__
    shown = StatusSettings((Listen(InetAddress("127.0.0.1", MANY - 1)),), (), ())
    own.settings = replace(own.settings, status=shown)
    ours, theirs = open_link()
    process = StatusProcess(own, 0, FromMaster(0, theirs, 0))

    def noted(one: InetAddress, other: object) -> bool:
        compared.append(other)
        return equal(one, other)

    def refuse(_: StatusProcess) -> None:
        raise StartError("the rest is not of interest")

    monkeypatch.setattr(InetAddress, "__eq__", noted)
    monkeypatch.setattr(StatusProcess, "_load", refuse)
    with ours, theirs, pytest.raises(StartError):
        process._start()
    assert [listener.socket.fileno() >= 0 for listener in own.listeners] == [False] * (MANY - 1) + [True]
    assert len(compared) < 2 * MANY
    own.listeners[-1].close()
    process._signals.close()
    process._loop.close()


def test_a_server_that_inherits_its_settings_takes_little_memory(tmp_path: Path) -> None:
    few, many = 20, 220
    memory_of(tmp_path, few)  # what is made once in a process, such as the caches of its modules
    assert (memory_of(tmp_path, many) - memory_of(tmp_path, few)) / (many - few) < 2048


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.ENOMEM, "")])
def test_ticket_keys_that_cannot_be_published_are_tried_again(error: Exception) -> None:
    recorded, keys = RecordedLog(), Mock(spec=TicketKeys)
    keys.rotate.side_effect = error
    assert Cycle(configuration(), (), recorded.log, ticket_keys={keys: 300}).rotate_ticket_keys() == 10.0
    assert recorded.lines == ["[alert] ticket keys could not be published (12: Cannot allocate memory)"]
