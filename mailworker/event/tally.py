"""Counters in words of 64 bits that other processes read; native/shm/tally.c has `SessionTally` in C."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from math import inf
from time import time
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from mailworker.event.loop import LoopState
from mailworker.event.timers import Timed
from mailworker.native.core import accelerator

__all__ = ["Places", "SessionTally", "Tally"]

_MICROSECONDS: Final = 1_000_000
_WRAP: Final = (1 << 64) - 1


class ByteCounts(Protocol):
    """Byte counters of a connection."""

    @property
    def received(self) -> int: ...
    @property
    def sent(self) -> int: ...


class Reason(Protocol):
    """Why a session has ended, as a number."""

    @property
    def number(self) -> int: ...


class Ended(Protocol):
    """A session that has ended; it logged in at `logged_in`, a time of the loop's clock, None if it did not."""

    @property
    def reason(self) -> Reason | None: ...
    @property
    def logged_in(self) -> float | None: ...
    @property
    def client_bytes(self) -> ByteCounts: ...
    @property
    def backend_bytes(self) -> ByteCounts | None: ...


class _Counts:
    """Methods that count in `_words`."""

    __slots__ = ()

    _words: memoryview

    def add(self, place: int, /) -> None:
        """Add one to a word."""
        self.gain(place, 1)

    def gain(self, place: int, amount: int, /) -> None:
        """Add `amount` to a word."""
        if place < 0:
            raise IndexError(place)
        self._words[place] = (self._words[place] + amount) & _WRAP

    def observe(self, place: int, bounds: tuple[float, ...], seconds: float, /, *also: int) -> None:
        """Count a time in a histogram: buckets from `place` on, one beyond the last of `bounds`, and the sum.

        A bucket counts times up to its bound; the sum is in microseconds. A time below 0, too long or NaN counts as 0.
        Words at `also` are increased by one.
        """
        seconds = max(seconds, 0.0) if seconds < 1e12 else 0.0
        self.gain(place + bisect_left(bounds, seconds), 1)
        self.gain(place + len(bounds) + 1, int(seconds * _MICROSECONDS))
        for other in also:
            self.gain(other, 1)


class Tally(_Counts):
    """Counts in a row of words, of which it is the only writer; each write is atomic, so no reader sees half a word.

    Raises IndexError for a place that is not there; a word wraps around to 0.
    """

    __slots__ = ("_words",)

    def __init__(self, row: memoryview, /) -> None:
        """`row` has the format "Q"."""
        self._words = row


class Places(NamedTuple):
    """The places of the words that a SessionTally counts in; of several for a histogram or byte counts, the first.

    `allowed` has a word for each number of an AuthMethod, `ended` for each number of a reason; `odd` tells which of
    these reasons an administrator should look at. `latency` and `duration` are bounds of histograms. `by_backend`: the
    backend decides about logins, so one is allowed when the session is logged in.
    """

    accepted: int
    logins: int
    bytes: int
    latest: int
    auth_seconds: int
    login_seconds: int
    session_seconds: int
    allowed: tuple[int, ...]
    ended: tuple[int, ...]
    odd: tuple[bool, ...]
    latency: tuple[float, ...]
    duration: tuple[float, ...]
    by_backend: bool


class SessionTally(Tally):
    """Counts the events of sessions, one call for each. Durations end now; `began` is a time of the loop's clock.

    `alarm` is set while there are clients: `wake` is called for a client that comes while it is not.
    """

    __slots__ = ("_alarm", "_loop", "_places", "_wake")

    def __init__(
        self, row: memoryview, loop: LoopState, places: Places, alarm: Timed, wake: Callable[[], None], /
    ) -> None:
        super().__init__(row)
        self._alarm = alarm
        self._loop = loop
        self._places = places
        self._wake = wake

    def arrive(self) -> None:
        """A client has connected."""
        self.add(self._places.accepted)
        if self._alarm.deadline == inf:
            self._wake()

    def allow(self, method: int, began: float, /) -> None:
        """The source of logins, asked at `began`, has allowed a login; does nothing if the backend decides."""
        places = self._places
        if not places.by_backend:
            self.observe(places.auth_seconds, places.latency, self._loop.now - began, places.allowed[method])

    def log_in(self, method: int, began: float, /) -> None:
        """A client is logged in at a backend; connecting to that began at `began`."""
        places = self._places
        self.observe(places.login_seconds, places.latency, self._loop.now - began, places.logins)
        if places.by_backend:
            self.add(places.allowed[method])

    def end(self, session: Ended, /) -> None:
        """A session has ended; the latest odd reason is kept in one word, with the time."""
        places, logged_in = self._places, session.logged_in
        assert session.reason is not None
        number = session.reason.number
        self.add(places.ended[number])
        if places.odd[number]:
            self._words[places.latest] = int(time()) * len(places.ended) + number
        for index, connection in enumerate((session.client_bytes, session.backend_bytes)):
            if connection is not None:
                self.gain(places.bytes + 2 * index, connection.received)
                self.gain(places.bytes + 2 * index + 1, connection.sent)
        if logged_in is not None:
            self.observe(places.session_seconds, places.duration, self._loop.now - logged_in)


if accelerator is not None and not TYPE_CHECKING:

    class SessionTally(accelerator.SessionTally, _Counts):
        """The events in C; the methods of a Tally, which are rarely called, in Python."""

        __slots__ = ()
