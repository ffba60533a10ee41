"""A server that stands between a proxy and a real backend, and records what the backend is told."""

from __future__ import annotations

import socket
import threading

from tests.support.backend import ScriptedServer
from tests.support.daemon import Address
from tests.support.patience import PATIENCE
from tests.support.peer import Peer


class Wiretap(ScriptedServer):
    """Passes each connection on to `backend`; `heard` is what the backend was told, once it has closed."""

    def __init__(self, backend: Address) -> None:
        self._backend = backend
        super().__init__(self._pass_on)

    def __enter__(self) -> Wiretap:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    @property
    def there(self) -> Address:
        """Where it listens."""
        return self.address.host, self.address.port

    def _pass_on(self, peer: Peer) -> None:
        with socket.create_connection(self._backend, PATIENCE) as backend:
            back = threading.Thread(target=_carry_back, args=(backend, peer))
            back.start()
            while data := peer.skip(1):
                backend.sendall(data + peer.skip(peer.unread))
            backend.shutdown(socket.SHUT_WR)
            back.join()


def _carry_back(backend: socket.socket, peer: Peer) -> None:
    while data := backend.recv(65536):
        peer.send(data)
    peer.end()
