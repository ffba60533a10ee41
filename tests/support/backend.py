"""Servers behind the proxy that follow a script, well-behaved or not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from mailworker.model import InetAddress
from tests.support.patience import PATIENCE
from tests.support.peer import Peer

Script = Callable[[Peer], None]


class ScriptedServer:
    """Runs `script` on each connection, in a thread of its own; `peers` are all connections so far."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.peers: list[Peer] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = InetAddress(*self._listening.getsockname())
        self._arrived = threading.Condition()
        self._names: list[tuple[str, int]] = []  # of the peers
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def peer(self, number: int = 0) -> Peer:
        """The connection of this number, from 0; waits until it has come."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.peers) > number, PATIENCE)
            return self.peers[number]

    def heard(self, number: int = 0) -> bytes:
        """All that the connection of this number has received, once its script has ended."""
        peer = self.peer(number)
        self._threads[number + 1].join(PATIENCE)
        return peer.received

    def overheard(self, number: int = 0) -> bytes:
        """As `heard`, but b"" if the connection of this number has not been made."""
        with socket.create_connection(self.address) as last:  # all others are accepted before
            name = last.getsockname()
        with self._arrived:
            assert self._arrived.wait_for(lambda: name in self._names, PATIENCE)
        return self.heard(number)

    def stop(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._threads[0].join()
        for peer in self.peers:
            peer.give_up()
        for thread in self._threads[1:]:
            thread.join()
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                connected, name = self._listening.accept()
            except OSError:
                return
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer = Peer(connected)
            thread = threading.Thread(target=self._follow, args=(peer,), daemon=True)
            with self._arrived:
                self._names.append(name)
                self.peers.append(peer)  # before anything can depend on it
                self._threads.append(thread)
                thread.start()
                self._arrived.notify_all()

    def _follow(self, peer: Peer) -> None:
        try:
            self.script(peer)
        except OSError:
            return  # the proxy has closed first; the test checks that from the other side
        finally:
            peer.close()


def conversation(*replies: bytes, then: Script | None = None) -> Script:
    """Send the first of `replies`, and each other one after a line; then run `then`, or wait for the end.

    A proxy that asks a POP3 backend for its capabilities gets a refusal, which is none of `replies`.
    """

    def follow(peer: Peer) -> None:
        peer.send(replies[0])
        for reply in replies[1:]:
            while (line := peer.line()) == b"CAPA\r\n":
                peer.send(b"-ERR\r\n")
            if not line:
                return
            peer.send(reply)
        (then or hang)(peer)

    return follow


def hang(peer: Peer) -> None:
    """Send nothing until the other side has closed."""
    peer.rest()


def hang_up(peer: Peer) -> None:
    """Send nothing and close."""


def reset(peer: Peer) -> None:
    """Send nothing and reset the connection."""
    peer.reset()


def echo(peer: Peer) -> None:
    """Send each line back, and close when the other side has ended."""
    while line := peer.line():
        peer.send(line)
