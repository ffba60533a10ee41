"""Listening sockets, and accepting connections on them."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from mailworker.config.events import EventsSettings
from mailworker.config.listen import Endpoint
from mailworker.errors import StartError
from mailworker.event import sockets
from mailworker.event.loop import Loop
from mailworker.event.timers import Timed
from mailworker.log.line import describe
from mailworker.log.log import Log
from mailworker.model import Address, Level, UnixAddress

# The peer disconnected between its connect and our accept; see accept(2), "Error handling".
_GONE = (errno.ECONNABORTED, errno.EPROTO, errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EINTR)
# The errors of a call that a sandbox refuses.
_REFUSED = (errno.ENOSYS, errno.EPERM, errno.EACCES)

OnAccept = Callable[[int, Address], None]
"""Called with a connection's descriptor, which is non-blocking, and its peer's address; closes it where it fails."""


class BoundListener:
    """A listening socket and the endpoints that are reached through it.

    `endpoints` has more than one member if a wildcard address also serves other addresses of its port: the local
    address of a connection tells them apart. The first one is the address that is bound. A `borrowed` socket
    belongs to a service manager, which keeps it after us.
    """

    __slots__ = ("borrowed", "endpoints", "socket")

    def __init__(self, endpoints: Sequence[Endpoint], listening: socket.socket, *, borrowed: bool = False) -> None:
        self.borrowed = borrowed
        self.endpoints = endpoints
        self.socket = listening

    @property
    def address(self) -> Address:
        """The address that is bound."""
        return self.endpoints[0].listen.address

    def close(self) -> None:
        """Close the socket in this process; other processes may go on listening."""
        self.socket.close()

    def remove(self, log: Log) -> None:
        """Close the socket for good: a unix socket of ours disappears from its folder, else `log` tells why not."""
        self.close()
        if isinstance(self.address, UnixAddress) and not self.borrowed:
            try:
                Path(self.address.path).unlink(missing_ok=True)
            except OSError as error:
                log.write(Level.EMERG, f"unlink() {self.address.path} failed {describe(error)}")


def check_accepting() -> None:
    """Raise StartError if a sandbox, or a limit of no descriptors, refuses accept(): clients would wait in vain.

    The probe does not listen: without a sandbox, the call fails with EINVAL.
    """
    with _probe() as probe:
        number = -sockets.hand_on(probe.fileno(), lambda descriptor, peer: None)
    if number in _REFUSED:
        raise StartError(f"accept() failed {describe(OSError(number, os.strerror(number)))}")


def _probe() -> socket.socket:
    try:
        return socket.socket()
    except OSError as error:
        if error.errno != errno.EMFILE:
            raise  # another try may succeed
        raise StartError(f"socket() failed {describe(error)}") from error


class Listener(Timed):
    """Accepts connections on one listening socket, which may be shared with other processes.

    `listening` is its descriptor. `receive` gets that when the first connection has come, as most of many addresses may
    have no clients, and returns the function that gets each connection. `failed` gets the OSError of an accept that
    failed, such as for lack of descriptors or memory; then nothing is accepted for accept_mutex_delay.
    """

    __slots__ = ("_accepted", "_at_once", "_descriptor", "_failed", "_listening", "_loop", "_pause", "_receive")

    def __init__(
        self,
        loop: Loop,
        listening: int,
        receive: Callable[[int], OnAccept],
        failed: Callable[[OSError], None],
        settings: EventsSettings,
    ) -> None:
        super().__init__()
        self._loop = loop
        self._listening = listening
        self._accepted: OnAccept | None = None
        self._receive = receive
        self._failed = failed
        self._at_once = 512 if settings.multi_accept else 1
        self._pause = settings.accept_mutex_delay
        self._descriptor = -1  # while nothing is accepted

    def open(self) -> None:
        """Begin to accept."""
        self.watch(self._listening)
        self._descriptor = self._listening

    def watch(self, descriptor: int) -> None:
        """Watch for connections; of all processes that watch the socket, at least one is called for each."""
        self._loop.watch_exclusive(descriptor, self)

    def receive_anew(self) -> None:
        """Call `receive` again for the next connection, as it would make another function now."""
        self._accepted = None

    def close(self) -> None:
        """Accept no more; the socket itself stays open."""
        self._loop.cancel_deadline(self)
        if self._descriptor >= 0:
            self._loop.unwatch(self._descriptor)
            self._descriptor = -1

    def drain(self, most: int) -> None:
        """Accept up to `most` connections that wait already: the kernel resets them once no process has the socket."""
        while most > 0 and self._descriptor >= 0:
            failure = sockets.hand_on(self._descriptor, self._accepted or self._accept_first)
            if failure and not self._may_go_on(failure):
                return
            most -= 1

    def ready(self, mask: int) -> None:
        """Called by the poller: connections may be waiting."""
        if self._at_once > 1:
            self.drain(self._at_once)
        elif self._descriptor >= 0:  # it may be closed in the present round
            failure = sockets.hand_on(self._descriptor, self._accepted or self._accept_first)
            if failure:
                self._may_go_on(failure)

    def expire(self) -> None:
        """The pause is over."""
        try:
            self.open()
        except OSError as error:
            self._rest(error)

    def _accept_first(self, descriptor: int, peer: Address) -> None:
        try:
            self._accepted = accepted = self._receive(self._listening)
        except BaseException:  # such as MemoryError
            os.close(descriptor)
            raise
        accepted(descriptor, peer)

    def _may_go_on(self, failure: int) -> bool:
        """Whether more connections may wait after a failed call; a shortage makes the listener pause."""
        if failure in sockets.WOULD_BLOCK:  # another process was faster
            return False
        if -failure in _GONE:
            return True
        self._rest(OSError(-failure, os.strerror(-failure)))
        return False

    def _rest(self, error: OSError) -> None:
        self.close()
        self._loop.set_deadline(self, self._loop.now + self._pause)
        self._failed(error)
