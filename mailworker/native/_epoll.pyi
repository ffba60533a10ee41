"""An epoll instance as `selectors.BaseSelector` describes it, and what goes beyond that.

What is watched is given by its descriptor, or has `fileno()`; keys and the map have the descriptor alone.
"""

from collections.abc import Callable, Mapping
from selectors import SelectorKey
from typing import Any, Protocol

class Loop(Protocol):
    """What is told the time, and whether it must see to something before there is another round."""

    now: float
    urgent: bool

class Timers(Protocol):
    """See _timers.pyi."""

    @property
    def first(self) -> float: ...
    def delay(self, now: float, /) -> float | None: ...

class Epoll:
    """Level triggered; `data` has to be a handler, with a method `ready(mask)`, where `dispatch` is used."""

    def register(self, fileobj: Any, events: int, data: Any = None) -> SelectorKey:
        """Start to watch; raises KeyError for what is watched already, OSError, and ValueError for no descriptor."""

    def register_exclusive(self, fileobj: int, data: Any) -> None:
        """Watch a listening socket that other processes watch too: a connection wakes few of them, not all."""

    def unregister(self, fileobj: Any) -> SelectorKey:
        """Stop to watch; raises KeyError for what is not watched, and OSError."""

    def forget(self, fileobj: int) -> None:
        """Stop to watch a descriptor that is closed at once, which takes it out of epoll too."""

    def modify(self, fileobj: Any, events: int, data: Any = None) -> SelectorKey:
        """Watch for other events, or for another handler; raises KeyError and OSError."""

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        """Wait up to `timeout` seconds (None: for ever) and say which keys are ready for what."""

    def dispatch(self, loop: Loop, clock: Callable[[], float], timers: Timers, timeout: float | None) -> None:
        """As `select`, but set `loop.now` to what `clock` says and call `data.ready(mask)` of all who are ready.

        And wait once more, as long as `timers` say, until `loop.urgent` is true or something of `timers` is due.
        Who is given up before its turn is not called. What a call raises is raised at once; who had no turn is ready
        still in the next round.
        """

    def get_map(self) -> Mapping[Any, SelectorKey]:
        """What is watched at this moment, by descriptor."""

    def close(self) -> None:
        """Close the epoll descriptor; may be called again."""
