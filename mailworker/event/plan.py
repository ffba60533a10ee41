"""What a session does next, as a plan, and the engine that carries plans out; native/core/plan.c has that in C.

A session is a chain of links. Most are plans: what is said to whom, and who is asked what comes next when the answer is
there. A step that a plan has no words for is a coroutine. Either gives the link that follows.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from mailworker.errors import PeerError
from mailworker.event.stream import SocketStream, Step
from mailworker.native.core import accelerator


class Plan(NamedTuple):
    """Say something to a peer, hear it out, and ask what comes next.

    Each step is a command, None where the peer begins, and how a usual reply to it looks; see `SocketStream.exchange`.
    `then` gets how many replies were usual, and the last one; `lost` what went wrong instead. No read is of more than
    `limit` bytes.
    """

    stream: SocketStream
    limit: int
    steps: tuple[Step, ...]
    then: Callable[[int, bytes], Link]
    lost: Callable[[PeerError], Link]


Link = Plan | Coroutine[Any, Any, "Link"] | None
"""What a session does next; None where it has ended, or goes on without this engine."""

UNKNOWN = b"\n", None
"""How no reply looks: whatever one read brings is for `then`."""


class Chain(Protocol):
    """A session, for the engine."""

    def begin(self) -> Link:
        """The first link."""

    def begin_with(self, heard: bytes | PeerError, /) -> Link:
        """The first one where something was heard before: what a peer said first, or what went wrong with it."""

    def fail(self, error: Exception, /) -> Coroutine[Any, Any, None]:
        """The last link, where `error` was raised by another."""


async def carry_out(chain: Chain, heard: bytes | PeerError | None = None, /) -> None:
    """Go through all links of a session, which has `heard` something before unless that is None."""
    try:
        link = chain.begin() if heard is None else chain.begin_with(heard)
        while link is not None:
            link = await (_exchange(link) if isinstance(link, tuple) else link)
    except Exception as error:
        await chain.fail(error)


async def _exchange(plan: Plan) -> Link:
    stream, limit, steps, then, lost = plan
    try:
        usual, reply = await stream.exchange(limit, steps)
    except PeerError as error:
        return lost(error)
    return then(usual, reply)


if accelerator is not None and not TYPE_CHECKING:
    Plan, carry_out = accelerator.plan, accelerator.carry_out
