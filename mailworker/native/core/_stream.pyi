"""A descriptor that a task reads from and writes to as if it blocked."""

from collections.abc import Awaitable, Callable
from typing import Any

from mailworker.errors import Party
from mailworker.native.core._task import Task

# A command, None where something is read first, and how the last and the other lines of its reply start.
Step = tuple[bytes | None, tuple[Any, ...]]

class Stream:
    """See mailworker.event.stream, which adds what can go wrong, and TLS."""

    deadline: float
    watched: int
    tls: Any
    task: Task | None
    received: int
    sent: int

    def __init__(
        self, loop: Any, descriptor: int, party: Party, closed: Callable[[], None], *, watched: int = 0
    ) -> None: ...
    @property
    def loop(self) -> Any: ...
    @property
    def descriptor(self) -> int: ...
    @property
    def party(self) -> Party: ...
    @property
    def step(self) -> int: ...
    def read(self, limit: int) -> Awaitable[bytes]: ...
    def peek(self, limit: int) -> Awaitable[bytes]: ...
    def write(self, data: bytes) -> Awaitable[None]: ...
    def wait(self, events: int) -> Awaitable[None]: ...
    def exchange(
        self, limit: int, steps: tuple[tuple[bytes | None, tuple[Any, ...]], ...]
    ) -> Awaitable[tuple[int, bytes]]:
        """How many replies were usual, and the last one that was read."""
    def park(self, task: Task) -> None: ...
    def ready(self, mask: int) -> None: ...
    def hand_over(self) -> tuple[int, Any, int]: ...
    def close(self) -> None: ...
