"""Ports that the kernel chose."""

from __future__ import annotations

import socket


class Ports(dict[str, int]):
    """Ports of `host` by name; a name that is asked for the first time gets a free one.

    Each is kept bound: the kernel then gives it to no other process, yet lets a server with SO_REUSEADDR listen on it.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        super().__init__()
        self._host = host
        self._reservations: list[socket.socket] = []

    def __missing__(self, name: str) -> int:
        reservation = socket.socket(socket.AF_INET6 if ":" in self._host else socket.AF_INET)
        reservation.bind((self._host, 0))
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reservations.append(reservation)
        self[name] = int(reservation.getsockname()[1])
        return self[name]

    def close(self) -> None:
        """Release all ports."""
        for reservation in self._reservations:
            reservation.close()
