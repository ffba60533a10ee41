"""One end of a relay, and the direction that begins there."""

from typing import Protocol

class Tls(Protocol):
    def free(self) -> None: ...

class Loop(Protocol):
    """Whose handlers sides are; see event/loop.py."""

    now: float

    def watch(self, descriptor: int, events: int, handler: Side, /) -> object: ...
    def change(self, descriptor: int, events: int, handler: Side, /) -> object: ...
    def unwatch(self, descriptor: int, /) -> object: ...
    def forget(self, descriptor: int, /) -> object: ...
    def again(self, handler: Side) -> None: ...

class Relay(Protocol):
    """Who is told of what is out of the ordinary. `error` is an errno, 0: OpenSSL's error queue tells."""

    def half_close(self) -> None:
        """The first side has ended its input."""

    def finish(self) -> None:
        """Both sides have and were told so, or the one that has not is gone."""

    def lose_source(self, side: Side, error: int) -> None:
        """Reading from `side` failed."""

    def lose_sink(self, side: Side, error: int) -> None:
        """Writing to `side` failed."""

    def abort(self, bug: Exception) -> None:
        """Something was raised that should not be."""

class Side:
    """Holds a connection and, while the other side takes no more, what was read from it: at most the pump's limit.

    The relay must close both sides in the end, or nothing of it is ever freed.
    """

    def __new__(
        cls,
        relay: Relay,
        pump: int,
        descriptor: int,
        watched: int,
        tls: Tls | None,
        connection: int,
        pending: bytes,
        received: int,
        sent: int,
    ) -> Side:
        """`pump` and `connection`, the SSL in `tls`, are addresses.

        `descriptor` is watched for `watched` by another handler, and `pending` was read from it already. `received` and
        `sent` are the bytes to begin the counts with.
        """

    @property
    def active(self) -> float:
        """When the loop last called for this side, by its clock."""

    @property
    def closed(self) -> bool: ...
    @property
    def ended(self) -> int:
        """0 while more input may come, 1 where it has ended first, 2 where the other side's had ended before."""

    @property
    def other(self) -> Side:
        """The other end; none is left once this one is closed."""

    @property
    def pending(self) -> bytes | None:
        """What was read here and not yet taken by the other side; nothing more is read before it is."""

    @property
    def received(self) -> int:
        """Bytes that came from the peer, in TLS those of its data; they can be asked for after the end too."""

    @property
    def sent(self) -> int:
        """Bytes that the peer has been sent."""

    @property
    def tls(self) -> Tls | None: ...
    def begin(self, other: Side) -> None:
        """Relay between this side and `other`, beginning with what was read before."""

    def ready(self, mask: int) -> None:
        """The selector's call."""

    def close(self) -> None:
        """Close the connection; over TLS with a goodbye if the peer takes it at once."""
