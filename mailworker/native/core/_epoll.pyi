"""An epoll instance, and the handlers of the descriptors that it watches.

What is watched is given by its descriptor, or has `fileno()`.
"""

from collections.abc import Callable
from typing import Any, Protocol

class Loop(Protocol):
    """`dispatch` sets `now`, and returns as soon as `urgent` is true."""

    now: float
    urgent: bool

class Timers(Protocol):
    """See _timers.pyi."""

    @property
    def first(self) -> float: ...
    def delay(self, now: float, /) -> float | None: ...

class Epoll:
    """Level triggered; handlers have a method `ready(mask)`, which `dispatch` calls."""

    def watch(self, fileobj: Any, events: int, handler: Any, /) -> None:
        """Start to watch; raises KeyError for what is watched already, OSError, and ValueError for no descriptor."""

    def watch_exclusive(self, fileobj: Any, handler: Any, /) -> None:
        """Watch a listening socket that other processes watch too: a connection wakes few of them, not all."""

    def change(self, fileobj: Any, events: int, handler: Any, /) -> None:
        """Watch for other events, or for another handler; raises KeyError and OSError."""

    def unwatch(self, fileobj: Any, /) -> None:
        """Stop to watch; raises KeyError for what is not watched, and OSError."""

    def forget(self, fileobj: Any, /) -> None:
        """Stop to watch a descriptor that is closed at once, which takes it out of epoll too."""

    def wait(self, timeout: float | None, /) -> list[tuple[int, int]]:
        """Wait up to `timeout` seconds (None: for ever) and say which descriptors are ready for what."""

    def dispatch(self, loop: Loop, clock: Callable[[], float], timers: Timers, timeout: float | None, /) -> None:
        """As `wait`, but set `loop.now` to what `clock` says and call `handler.ready(mask)` for each ready descriptor.

        Then wait again, as long as `timers` allow, until `loop.urgent` is true or something of `timers` is due. A
        handler whose watch ends before its turn is not called. An exception of a handler is raised at once; descriptors
        that had no turn are still ready in the next round.
        """

    def watched(self) -> list[tuple[int, int, Any]]:
        """Descriptor, events and handler of all that is watched."""

    def close(self) -> None:
        """Close the epoll descriptor; may be called again."""
