"""Chains of plans for tests, and what peers hear of any of them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from mailworker.errors import PeerError
from mailworker.event.plan import UNKNOWN, Link, Plan
from mailworker.event.stream import SocketStream, Step
from mailworker.event.task import Task
from tests.event.bench import Bench
from tests.support.implementations import Implementation, implementations

OK = b"OK", None
LINES = b"OK ", b"OK-"
KNOWN = frozenset((b"OK\r\n", b"OK-1\r\nOK 2\r\n")), None

COMMANDS = (b"a\r\n", b"bb\r\n", b"c" * 70 + b"\r\n")
# With what is usual there; no part of a reply is, which would be taken for the whole.
REPLIES = (
    *((reply, usual) for reply in (b"OK\r\n", b"NO\r\n", b"\r\n", b"OK") for usual in (OK, LINES, UNKNOWN, KNOWN)),
    *((reply, usual) for reply in (b"OK-1\r\nOK 2\r\n", b"NO-1\r\nNO 2\r\n") for usual in (LINES, UNKNOWN, KNOWN)),
)
_MOST_STEPS = 12


class Chain:
    """Begins with `first`; `told` is what its plans and its end were told."""

    def __init__(self, first: Callable[[], Link], *, bug_in_fail: bool = False) -> None:
        self.begin = first
        self.told: list[object] = []
        self._bug_in_fail = bug_in_fail

    async def fail(self, error: Exception) -> None:
        self.told.append(str(error))
        if self._bug_in_fail:
            raise LookupError("in the end")

    def then(self, follow: Link | Callable[[], Link] = None) -> Callable[[int, bytes], Link]:
        def heard(usual: int, reply: bytes) -> Link:
            self.told.append((usual, reply))
            return follow() if callable(follow) else follow

        return heard

    def lost(self, error: PeerError) -> Link:
        self.told.append(error)
        return None

    def plan(self, stream: SocketStream, *steps: Step, follow: Link | Callable[[], Link] = None) -> Plan:
        return stream_plan(stream, steps, self.then(follow), self.lost)


def stream_plan(
    stream: SocketStream,
    steps: tuple[Step, ...],
    then: Callable[[int, bytes], Link],
    lost: Callable[[PeerError], Link],
    limit: int = 4096,
) -> Plan:
    return plans_of(stream)(stream, limit, steps, then, lost)


def plans_of(stream: SocketStream) -> Callable[..., Plan]:
    """What makes plans that goes with a stream's implementation."""
    for it in implementations().values():
        if isinstance(stream, it.stream.SocketStream):
            found: Callable[..., Plan] = it.plan.Plan
            return found
    raise AssertionError("a stream of no implementation")


def carry_out(bench: Bench, chain: Chain) -> Coroutine[Any, None, None]:
    engine: Coroutine[Any, None, None] = bench.implementation.plan.carry_out(chain)
    return engine


# Of each step: the command, the reply, how a usual one looks, and where the reply is cut.
Usual = tuple[bytes | frozenset[bytes], bytes | None]
Script = Sequence[tuple[int, Sequence[tuple[bytes, bytes, Usual, int]]]]


class Play:
    """What the chain of a script is `told`, and what its peers have `heard`; each reply is cut at its number."""

    def __init__(self, it: Implementation, script: Script) -> None:
        poller = it.poller.new_poller()
        bench = Bench(poller, it)
        pairs = [socket.socketpair() for _ in range(3)]
        self._it = it
        self._script = script
        self._streams = [bench.stream(ours) for ours, _ in pairs]
        self._peers = [bench.stream(theirs) for _, theirs in pairs]
        self.heard = [b""] * 3
        self._chain = Chain(lambda: self._link(0))
        self.told = self._chain.told
        try:
            bench.run(carry_out(bench, self._chain), *(self._peer(number) for number in range(3)))
        finally:
            bench.close()
            poller.close()
        assert not bench.bugs

    async def _peer(self, number: int) -> None:
        for command, reply, _, cut in (step for which, steps in self._script if which == number for step in steps):
            missing = len(command)
            while missing:
                said = await self._peers[number].read(missing)
                self.heard[number] += said
                missing -= len(said)
            for piece in (reply[:cut], reply[cut:]):
                await self._peers[number].write(piece)
                await self._it.task.wait_for(Turn())

    def _link(self, number: int) -> Link:
        if number == len(self._script):
            return None
        which, steps = self._script[number]

        def then(usual: int, reply: bytes) -> Link:
            self.told.append((number, usual, reply))
            last = usual - 1 if usual == len(steps) else usual
            return self._go_on(number, last, len(reply))

        taken = tuple((command, kind) for command, _, kind, _ in steps)
        return stream_plan(self._streams[which], taken, then, self._chain.lost)

    async def _go_on(self, number: int, last: int, length: int) -> Link:
        """What is left of the last reply, of which so many bytes are there, and the steps behind it, one by one."""
        which, steps = self._script[number]
        stream = self._streams[which]
        await _skip(stream, len(steps[last][1]) - length)
        for command, reply, _, _ in steps[last + 1 :]:
            await stream.write(command)
            await _skip(stream, len(reply))
        return self._link(number + 1)


class Turn:
    """Lets others have theirs: whoever can read what was just written does."""

    _task: Task

    def park(self, task: Task) -> None:
        self._task = task
        task.loop.again(self)

    def ready(self, _mask: int) -> None:
        self._task.resume()

    def timed_out(self) -> None:
        raise AssertionError("it has no deadline")


async def _skip(stream: SocketStream, length: int) -> None:
    while length > 0:
        length -= len(await stream.read(length))


def check_both_engines(script: Script) -> None:
    """They say the same to all peers, which is what the script says, and tell the chain the same."""
    played = [Play(it, script) for it in implementations().values()]
    for play in played:
        assert (play.told, play.heard) == (played[0].told, played[0].heard)
    for number, heard in enumerate(played[0].heard):
        assert heard == b"".join(step[0] for which, steps in script if which == number for step in steps)


def script_of(data: bytes) -> Script:
    """The script that any bytes are: three for each step, which begins a new plan where the first of them is even."""
    script: list[tuple[int, list[tuple[bytes, bytes, Usual, int]]]] = []
    for place in range(0, min(len(data) - 2, 3 * _MOST_STEPS), 3):
        which, reply, cut = data[place : place + 3]
        if not script or not which % 2:
            script.append((which // 2 % 3, []))
        script[-1][1].append((COMMANDS[which // 6 % 3], *REPLIES[reply % len(REPLIES)], cut % 16))
    return script
