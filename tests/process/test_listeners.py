from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest

from mailworker.config.listen import Access, Endpoint, Keepalive, Listen
from mailworker.errors import StartError
from mailworker.event.listener import BoundListener
from mailworker.model import InetAddress, UnixAddress
from mailworker.process.listeners import Opening, rehearse
from tests.support.ports import Ports
from tests.support.recorded_log import RecordedLog

Inet = Callable[[], Listen]


def finish(opening: Iterator[float]) -> None:
    """Run an opening that need not wait."""
    assert list(opening) == []


def open_all(wanted: Sequence[Listen], inherited: Sequence[BoundListener] = ()) -> list[BoundListener]:
    opened: list[BoundListener] = []
    finish(Opening(inherited, RecordedLog().log, opened).run([(Endpoint(listen, 0),) for listen in wanted]))
    return opened


@pytest.fixture
def inet(ports: Ports) -> Inet:
    """Makes a new address each time."""
    return lambda: Listen(InetAddress("127.0.0.1", ports[f"number {len(ports)}"]))


def test_options_are_set(inet: Inet) -> None:
    keepalive = Keepalive(True, idle=77, interval=7, count=3)
    (listener,) = open_all([replace(inet(), rcvbuf=65536, sndbuf=32768, so_keepalive=keepalive, reuseport=True)])
    with closing(listener.socket) as listening:
        assert listening.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
        assert listening.getblocking() is False
        assert listening.get_inheritable() is False
        assert listening.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) in (65536, 131072)  # Linux doubles it
        assert listening.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) in (32768, 65536)
        assert listening.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 77
        assert listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 7
        assert listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 3


def test_keepalive_can_be_switched_off(inet: Inet) -> None:
    (listener,) = open_all([replace(inet(), so_keepalive=Keepalive(False))])
    with closing(listener.socket) as listening:
        assert not listening.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_an_option_that_the_system_refuses_is_told_and_done_without(inet: Inet) -> None:
    log, opened, listen = (
        RecordedLog(),
        list[BoundListener](),
        replace(inet(), so_keepalive=Keepalive(True, idle=1 << 20)),
    )
    finish(Opening((), log.log, opened).run([(Endpoint(listen, 0),)]))
    refused = f"setsockopt({socket.TCP_KEEPIDLE}, {1 << 20}) {listen.address} failed, ignored (22: Invalid argument)"
    assert log.lines == [f"[alert] {refused}"]
    opened[0].close()


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
@pytest.mark.parametrize("ipv6only", [True, False])
def test_ipv6_takes_ipv4_in_only_where_that_is_wanted(ipv6only: bool) -> None:
    (listener,) = open_all([Listen(InetAddress("::", 0), ipv6only=ipv6only)])
    with closing(listener.socket) as listening:
        assert listening.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == ipv6only


def test_sockets_are_taken_over_where_the_address_is_the_same(inet: Inet) -> None:
    same, gone, new = inet(), inet(), inet()
    old = open_all([same, gone])
    opened = open_all([replace(same, backlog=3), new], old)
    assert opened[0].socket is old[0].socket
    assert opened[1].address == new.address
    for listener in (*old, opened[1]):
        listener.close()


def test_a_failure_closes_what_was_opened_and_keeps_what_was_taken_over(inet: Inet) -> None:
    same, new = inet(), inet()
    (old,) = open_all([same])
    foreign = Listen(InetAddress("192.0.2.1", 143))
    with pytest.raises(
        StartError, match=r"^bind\(\) to 192\.0\.2\.1:143 failed \(99: Cannot assign requested address\)$"
    ):
        open_all([same, new, foreign], [old])
    open_all([new])[0].close()
    assert old.socket.fileno() >= 0
    old.close()


@pytest.mark.parametrize("number", [errno.EADDRINUSE, errno.EACCES])
def test_a_socket_that_was_taken_over_listens_as_before_where_its_backlog_cannot_change(
    inet: Inet, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Its socket was closed, so all later reloads failed."""
    log, opened, same = RecordedLog(), list[BoundListener](), inet()
    (old,) = open_all([same])

    def refuse(_socket: socket.socket, _backlog: int) -> None:
        raise OSError(number, "")

    monkeypatch.setattr(socket.socket, "listen", refuse)
    finish(Opening([old], log.log, opened).run([(Endpoint(same, 0),)]))
    assert [listener.socket for listener in opened] == [old.socket]
    (line,) = log.lines
    assert line.startswith(f"[alert] listen() to {same.address}, backlog 511 failed, ignored ({number}: ")
    with socket.create_connection(old.socket.getsockname()):
        old.close()


def test_an_address_that_somebody_else_begins_to_listen_on_meanwhile_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with `reuseport`: listen() tells of it, not bind()."""
    path, log, opened = tmp_path / "s", RecordedLog(), list[BoundListener]()
    opening = Opening((), log.log, opened).run([(Endpoint(Listen(UnixAddress(str(path))), 0),)])
    with monkeypatch.context() as patched:
        patched.setattr(socket.socket, "listen", Mock(side_effect=OSError(errno.EADDRINUSE, "")))
        assert next(opening) == 0.5
    assert not path.exists()
    assert log.lines[0] == f"[emerg] listen() to unix:{path}, backlog 511 failed (98: Address already in use)"
    finish(opening)
    opened[0].remove(log.log)


def test_an_address_in_use_is_tried_five_times(inet: Inet) -> None:
    log = RecordedLog()
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        address = InetAddress(*occupied.getsockname())
        free = inet()
        opening = Opening((), log.log, []).run([(Endpoint(free, 0),), (Endpoint(Listen(address), 0),)])
        assert [next(opening) for _ in range(5)] == [0.5] * 5
        with pytest.raises(StartError, match=r"^still could not bind\(\)$"):
            next(opening)
    assert log.lines.count(f"[emerg] bind() to {address} failed (98: Address already in use)") == 5
    assert log.lines.count("[notice] try again to bind() after 500ms") == 5
    open_all([free])[0].close()


def test_an_address_that_becomes_free_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        opened: list[BoundListener] = []
        opening = Opening((), RecordedLog().log, opened).run(
            [(Endpoint(Listen(InetAddress(*occupied.getsockname())), 0),)]
        )
        assert next(opening) == 0.5
    finish(opening)
    (listener,) = opened
    listener.close()


def test_an_abandoned_opening_closes_what_it_opened(inet: Inet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        free = inet()
        opening = Opening((), RecordedLog().log, []).run(
            [(Endpoint(free, 0),), (Endpoint(Listen(InetAddress(*occupied.getsockname())), 0),)]
        )
        next(opening)
        opening.close()
    open_all([free])[0].close()


def test_a_unix_socket_is_for_everybody_and_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "imap.sock"
    (listener,) = open_all([Listen(UnixAddress(str(path)))])
    assert path.stat().st_mode & 0o777 == 0o666
    listener.remove(RecordedLog().log)
    assert not path.exists()


def test_a_unix_socket_can_be_somebodys_alone(tmp_path: Path) -> None:
    uid, gid = (1, 2) if os.geteuid() == 0 else (os.getuid(), os.getgid())
    listen = Listen(UnixAddress(str(tmp_path / "s")), access=Access(0o640, uid, gid))
    (listener,) = open_all([listen])
    state = (tmp_path / "s").stat()
    assert (stat.S_IMODE(state.st_mode), state.st_uid, state.st_gid) == (0o640, uid, gid)
    again = open_all([replace(listen, access=Access())], [listener])
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600
    (tmp_path / "s").unlink()
    assert open_all([listen], again)[0].socket is listener.socket  # somebody has removed it, which ends no reload
    listener.close()


def test_no_socket_is_open_to_others_where_its_owner_cannot_be_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.chown", Mock(side_effect=OSError(errno.EPERM, "")))
    with pytest.raises(StartError, match=r"^chown\(\) unix:.* failed \(1: Operation not permitted\)$"):
        open_all([Listen(UnixAddress(str(tmp_path / "s")), access=Access(0o640, 1, 2))])
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(("mode", "owner"), [(0o777, 0), (0o775, 0), (0o1777, 0), (0o755, 1)])
def test_no_socket_is_somebodys_alone_in_a_folder_of_others(tmp_path: Path, mode: int, owner: int) -> None:
    if owner and os.geteuid() != 0:
        pytest.skip("only root can have folders of others")
    for folder in (tmp_path / "f", tmp_path / "f" / "g"):
        folder.mkdir()
    (tmp_path / "f").chmod(mode)
    os.chown(tmp_path / "f", owner or os.getuid(), -1)
    within = [tmp_path / "f" / "s"] if mode == 0o1777 else [tmp_path / "f" / "s", tmp_path / "f" / "g" / "s"]
    for path in within:  # who can write a folder above can put another one in its place
        listen = Listen(UnixAddress(str(path)), access=Access())
        refused = pytest.raises(StartError, match=r'is in the folder ".*/f", which other users can write to')
        with refused:
            open_all([listen])
        with refused:
            rehearse([(Endpoint(listen, 0),)], RecordedLog().log)
    with pytest.raises(StartError, match="stat"):
        open_all([Listen(UnixAddress(str(tmp_path / "none" / "s")), access=Access())])


def test_a_sticky_folder_above_is_no_folder_of_others(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    (tmp_path / "f").mkdir()
    (listener,) = open_all([Listen(UnixAddress(str(tmp_path / "f" / "s")), access=Access())])
    listener.remove(RecordedLog().log)


def test_a_unix_socket_in_use_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "imap.sock"
    (listener,) = open_all([Listen(UnixAddress(str(path)))])
    log = RecordedLog()
    opening = Opening((), log.log, []).run([(Endpoint(Listen(UnixAddress(str(path))), 0),)])
    assert next(opening) == 0.5
    assert log.lines[0] == f"[emerg] bind() to unix:{path} failed (98: Address already in use)"
    assert path.is_socket()
    opening.close()
    listener.remove(RecordedLog().log)


def test_a_file_is_never_taken_for_a_stale_socket(tmp_path: Path) -> None:
    path = tmp_path / "imap.sock"
    path.write_text("precious")
    opening = Opening((), RecordedLog().log, []).run([(Endpoint(Listen(UnixAddress(str(path))), 0),)])
    assert next(opening) == 0.5
    opening.close()
    assert path.read_text() == "precious"


def test_a_unix_socket_that_somebody_has_bound_and_will_listen_on_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "imap.sock"
    opening = Opening((), RecordedLog().log, []).run([(Endpoint(Listen(UnixAddress(str(path))), 0),)])
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))
        assert next(opening) == 0.5
        opening.close()
        assert path.is_socket()
    (listener,) = open_all([Listen(UnixAddress(str(path)))])  # now it is stale
    listener.remove(RecordedLog().log)


def test_a_rehearsal_passes_over_addresses_in_use_in_silence(tmp_path: Path) -> None:
    log = RecordedLog()
    path = tmp_path / "imap.sock"
    with socket.create_server(("127.0.0.1", 0)) as occupied, socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))
        addresses = InetAddress(*occupied.getsockname()), UnixAddress(str(path))
        rehearse([(Endpoint(Listen(address), 0),) for address in addresses], log.log)
    assert log.lines == []
    assert path.is_socket()


def test_a_rehearsal_tells_what_cannot_be_bound_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "imap.sock"
    rehearse([(Endpoint(Listen(UnixAddress(str(path))), 0),)], RecordedLog().log)
    assert not path.exists()
    foreign = Listen(InetAddress("192.0.2.1", 143))
    with pytest.raises(StartError, match=r"^bind\(\) to 192\.0\.2\.1:143 failed \(99: "):
        rehearse([(Endpoint(foreign, 0),)], RecordedLog().log)


def test_a_rehearsal_takes_no_connections_from_those_who_listen_by_reuseport(
    inet: Inet, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen = replace(inet(), reuseport=True)
    (listener,) = open_all([listen])
    bound: list[object] = []
    monkeypatch.setattr(socket.socket, "listen", lambda *_: bound.append("listens"))
    monkeypatch.setattr("mailworker.process.listeners._configure", lambda *_: bound.append("is bound"))
    rehearse([(Endpoint(listen, 0),)], RecordedLog().log)
    rehearse([(Endpoint(inet(), 0),)], RecordedLog().log)
    assert bound == ["is bound"]
    listener.remove(RecordedLog().log)
