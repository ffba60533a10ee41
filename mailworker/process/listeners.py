"""Listening sockets: opening those that a configuration needs, passing them on to the next cycle."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Generator, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from mailworker.config.listen import Endpoint, Keepalive, Listen
from mailworker.errors import StartError
from mailworker.event.listener import BoundListener
from mailworker.log.line import describe
from mailworker.log.log import Log
from mailworker.model import Address, Level, UnixAddress

# nginx's: how often bind() to an address in use is tried, and the seconds between two tries.
_TRIES = 5
_PAUSE = 0.5
# nginx's NGX_LISTEN_BACKLOG on Linux; elsewhere it leaves the choice to the system.
_BACKLOG = 511
# All users who can reach the folder may connect. bind() makes the socket with mode 0666; a later chmod() would follow a
# link that has replaced the socket.
_UNIX_UMASK = 0o111
# For a socket with limited access: nobody may connect before its owner and mode are set.
_CLOSED_UMASK = 0o177
# Linux's IPPROTO_MPTCP, which Python may not name.
_MPTCP = 262


class Opening:
    """Opens the listeners of a new cycle.

    For an address of one of the `inherited` listeners, those of the old cycle, its socket is used. Each listener is
    appended to `opened` as soon as it is open.
    """

    __slots__ = ("_log", "_opened", "_reusable")

    def __init__(self, inherited: Iterable[BoundListener], log: Log, opened: list[BoundListener]) -> None:
        self._log = log
        self._opened = opened
        self._reusable = {listener.address: listener for listener in inherited}

    def run(self, planned: Sequence[tuple[Endpoint, ...]]) -> Generator[float, None, None]:
        """Open all `planned` sockets.

        Yields the seconds to wait before it is resumed, so that a running master does not sleep. If it raises
        StartError, or is closed before its end, the sockets that it opened are closed.
        """
        try:
            waiting = [endpoints for endpoints in planned if not self._take(endpoints)]
            for _ in range(_TRIES - 1):
                if not waiting:
                    break
                yield self._pause()
                waiting = [endpoints for endpoints in waiting if not self._take(endpoints)]
            if waiting:
                yield self._pause()  # nginx waits after the last try as well
                raise StartError("still could not bind()")
        except BaseException:
            self._undo()
            raise

    def _undo(self) -> None:
        """Close the sockets that were opened here, but not the inherited ones."""
        for listener in self._opened:
            if listener.address not in self._reusable:
                listener.remove(self._log)
        self._opened.clear()

    def _pause(self) -> float:
        self._log.write(Level.NOTICE, f"try again to bind() after {_PAUSE * 1000:.0f}ms")
        return _PAUSE

    def _take(self, endpoints: tuple[Endpoint, ...]) -> bool:
        """Open a listener; False if its address is in use."""
        listen = endpoints[0].listen
        inherited = self._reusable.get(listen.address)
        listening = self._bound(listen) if inherited is None else inherited.socket
        if listening is None:
            return False
        borrowed = inherited is not None and inherited.borrowed
        self._opened.append(BoundListener(endpoints, listening, borrowed=borrowed))
        _configure(listening, listen, self._log)
        if not borrowed:  # else the service manager has done so
            self._give(listen, fresh=inherited is None)
        return self._listen(listen, fresh=inherited is None)

    def _give(self, listen: Listen, *, fresh: bool) -> None:
        """Set owner and mode. Raises StartError only for a new socket: the file of an inherited one may be gone."""
        try:
            _give_access(listen)
        except StartError as error:
            if fresh:
                raise
            self._log.write(Level.ALERT, f"{error}, ignored")

    def _bound(self, listen: Listen) -> socket.socket | None:
        """A new socket, bound to the address; None if that is in use. Raises StartError."""
        _check_folder(listen)
        bound = _new_socket(listen)
        try:
            if isinstance(listen.address, UnixAddress):
                _remove_stale(Path(listen.address.path))
            _bind(bound, listen.address, _UNIX_UMASK if listen.access is None else _CLOSED_UMASK)
        except OSError as error:
            bound.close()
            self._only_in_use(error, f"bind() to {listen.address} failed {describe(error)}")
            return None
        return bound

    def _listen(self, listen: Listen, *, fresh: bool) -> bool:
        """Listen, or change the backlog of an inherited socket: that goes on with its former one if this fails."""
        backlog = _BACKLOG if listen.backlog is None else listen.backlog
        try:
            self._opened[-1].socket.listen(backlog)
        except OSError as error:
            message = f"listen() to {listen.address}, backlog {backlog} failed"
            if not fresh:
                self._log.write(Level.ALERT, f"{message}, ignored {describe(error)}")
                return True
            self._opened.pop().remove(self._log)
            self._only_in_use(error, f"{message} {describe(error)}")
            return False
        return True

    def _only_in_use(self, error: OSError, message: str) -> None:
        """Raise StartError unless the address is merely in use, which may pass."""
        if error.errno != errno.EADDRINUSE:
            raise StartError(message) from None
        self._log.write(Level.EMERG, message)


def rehearse(planned: Iterable[tuple[Endpoint, ...]], log: Log) -> None:
    """For `-t`, bind to each address of `planned` that is free, and close the socket at once; raises StartError.

    Other processes must not notice. So the sockets do not listen, `reuseport` is not set, and no unix socket is deleted
    but those made here: an existing one may have been bound by a process that is about to listen.
    """
    for listen, *_ in ((endpoint.listen for endpoint in endpoints) for endpoints in planned):
        _check_folder(listen)
        with _new_socket(replace(listen, reuseport=False)) as bound:
            try:
                _bind(bound, listen.address)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise StartError(f"bind() to {listen.address} failed {describe(error)}") from None
                continue
            if isinstance(listen.address, UnixAddress):
                Path(listen.address.path).unlink()
            _configure(bound, listen, log)


def _new_socket(listen: Listen) -> socket.socket:
    """A socket with the options of `listen` that must be set before bind(); raises StartError."""
    address = listen.address
    protocol = 0
    if isinstance(address, UnixAddress):
        family = socket.AF_UNIX
    else:
        family = socket.AF_INET6 if address.is_ipv6 else socket.AF_INET
        protocol = _MPTCP if listen.multipath else 0
    try:
        new = socket.socket(family, socket.SOCK_STREAM, protocol)
    except OSError as error:
        raise StartError(f"socket() {address} failed {describe(error)}") from None
    try:
        new.setblocking(False)
        new.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if listen.reuseport:
            new.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            new.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(listen.ipv6only))
    except OSError as error:
        new.close()
        raise StartError(f"setsockopt() {address} failed {describe(error)}") from None
    return new


def _bind(bound: socket.socket, address: Address, umask: int = _UNIX_UMASK) -> None:
    if isinstance(address, UnixAddress):
        umask = os.umask(umask)
        try:
            bound.bind(address.path)
        finally:
            os.umask(umask)
    else:
        bound.bind((address.host, address.port))


def _configure(listening: socket.socket, listen: Listen, log: Log) -> None:
    """Set the options that a reload may change; as in nginx, errors are ignored."""
    for level, name, value in _options(listen):
        try:
            listening.setsockopt(level, name, value)
        except OSError as error:
            message = f"setsockopt({name}, {value}) {listen.address} failed, ignored {describe(error)}"
            log.write(Level.ALERT, message)


def _options(listen: Listen) -> list[tuple[int, int, int]]:
    options = []
    if listen.rcvbuf is not None:
        options.append((socket.SOL_SOCKET, socket.SO_RCVBUF, listen.rcvbuf))
    if listen.sndbuf is not None:
        options.append((socket.SOL_SOCKET, socket.SO_SNDBUF, listen.sndbuf))
    if listen.so_keepalive is not None:
        options += _keepalive_options(listen.so_keepalive)
    return options


def _keepalive_options(keepalive: Keepalive) -> list[tuple[int, int, int]]:
    tcp = (
        ("TCP_KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE", keepalive.idle),
        ("TCP_KEEPINTVL", keepalive.interval),
        ("TCP_KEEPCNT", keepalive.count),
    )
    return [
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(keepalive.on)),
        *((socket.IPPROTO_TCP, getattr(socket, name), value) for name, value in tcp if value is not None),
    ]


def _check_folder(listen: Listen) -> None:
    """Raise StartError if other users could replace a socket with limited access by one of their own."""
    if listen.access is None or not isinstance(listen.address, UnixAddress):
        return
    folder = Path(listen.address.path).parent
    for each in (folder, *folder.parents):
        try:
            state = each.stat()
        except OSError as error:
            raise StartError(f'stat() "{each}" failed {describe(error)}') from None
        owned = state.st_uid in (0, os.geteuid())
        writable = state.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        sticky = each != folder and state.st_mode & stat.S_ISVTX  # as in /tmp: users can rename only their own files
        if not owned or (writable and not sticky):
            raise StartError(f'{listen.address} is in the folder "{each}", which other users can write to')


def _give_access(listen: Listen) -> None:
    """Set owner and mode; raises StartError. The chmod() follows no link of another user: see `_check_folder`."""
    access = listen.access
    if access is None or not isinstance(listen.address, UnixAddress):
        return
    path = listen.address.path
    call = "chown()"
    try:
        os.chown(path, -1 if access.uid is None else access.uid, -1 if access.gid is None else access.gid)
        call = "chmod()"
        Path(path).chmod(access.mode)
    except OSError as error:
        raise StartError(f"{call} {listen.address} failed {describe(error)}") from None


def _remove_stale(path: Path) -> None:
    """Delete a unix socket that no process listens on, as its owner was killed."""
    if not path.is_socket() or path.is_symlink() or _is_bound(path):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        if probe.connect_ex(os.fspath(path)) == errno.ECONNREFUSED:
            path.unlink()


def _is_bound(path: Path) -> bool:
    """Whether a socket is bound to this path: until it listens it refuses connections, as a stale one does."""
    try:
        rows = Path("/proc/net/unix").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return False
    return any(row.endswith(f" {path}") for row in rows)
