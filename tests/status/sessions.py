"""Sessions as a table of them would give."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class State(IntEnum):
    LOGIN = 1
    RELAY = 4


@dataclass(frozen=True)
class Session:
    """See `mailworker.status.listing.Listed`."""

    number: int = 0
    user: str = "bob@example.com"
    protocol: str = "imap"
    client: str = "192.0.2.1"
    client_port: int = 4711
    server: str = "in"
    backend: str | None = "198.51.100.1:143"
    state: State = State.RELAY
    age: int = 60
    idle: int = 5
    received: int = 100
    sent: int = 200
    worker: int = 2
    foreign: bool = False
    shortened: bool = False
    whole: bytes = b""
    path: bytes = b""

    @property
    def id(self) -> str:
        return f"id{self.number}"

    @property
    def name(self) -> bytes:
        return self.user.encode()

    def is_of(self, user: bytes) -> bool:
        return user == (self.whole if self.shortened else self.name)

    def is_at(self, path: bytes) -> bool:
        return bool(path) and path == self.path
