"""Plans, the steps of a session, and the engine that carries them out; native/core/plan.c has that in C.

A session is a chain of links. Most links are plans: what is sent to which peer, and which function is called with the
reply. A link that cannot be written as a plan is a coroutine. Either returns the next link.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from mailworker.errors import PeerError
from mailworker.event.stream import SocketStream, Step
from mailworker.native.core import accelerator


class Plan(NamedTuple):
    """Send commands to a peer, read its replies, and call a function that returns the next link.

    Each step is a command, None if the peer begins, and the form of a usual reply to it; see `SocketStream.exchange`.
    `then` gets the number of usual replies, and the last reply; `lost` gets the error if the exchange fails. No read is
    of more than `limit` bytes.
    """

    stream: SocketStream
    limit: int
    steps: tuple[Step, ...]
    then: Callable[[int, bytes], Link]
    lost: Callable[[PeerError], Link]


Link = Plan | Coroutine[Any, Any, "Link"] | None
"""The next step of a session; None if it has ended, or continues without this engine."""

UNKNOWN = b"\n", None
"""A pattern that no reply fits: whatever the first read gives goes to `then`."""


class Chain(Protocol):
    """A session as the engine sees it."""

    def begin(self) -> Link:
        """The first link."""

    def begin_heard(self, words: bytes, /) -> Link:
        """The first link if a peer has sent these bytes already."""

    def begin_lost(self, error: PeerError, /) -> Link:
        """The first link if the connection of a peer has failed before it sent anything."""

    def fail(self, error: Exception, /) -> Coroutine[Any, Any, None]:
        """The last link, after another link has raised `error`."""


async def carry_out(chain: Chain, heard: bytes | PeerError | None = None, /) -> None:
    """Carry out all links of a session; `heard` is what its peer has sent already, None for nothing."""
    try:
        link = _first(chain, heard)
        while link is not None:
            link = await (_exchange(link) if isinstance(link, tuple) else link)
    except Exception as error:
        await chain.fail(error)


def _first(chain: Chain, heard: bytes | PeerError | None) -> Link:
    if heard is None:
        return chain.begin()
    return chain.begin_heard(heard) if isinstance(heard, bytes) else chain.begin_lost(heard)


async def _exchange(plan: Plan) -> Link:
    stream, limit, steps, then, lost = plan
    try:
        usual, reply = await stream.exchange(limit, steps)
    except PeerError as error:
        return lost(error)
    return then(usual, reply)


if accelerator is not None and not TYPE_CHECKING:
    Plan, carry_out = accelerator.plan, accelerator.carry_out
