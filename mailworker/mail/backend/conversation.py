"""What is said to a backend and heard from it: one command at a time, and the whole of its reply."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, NamedTuple, TypeVar

from mailworker.errors import ConnectionLost, Party, PeerError
from mailworker.event.plan import Link, Plan
from mailworker.event.stream import SocketStream
from mailworker.mail.session_log import SessionLog
from mailworker.wire.backend import Reply, ReplyReader, Rule

READING = "reading response from upstream"
"""What a session is doing then, for the log."""

# The calls that read, as they are called when they fail.
_READS = ("recv()", "SSL_read()")


class Wanted(NamedTuple):
    """What a reply must be for the login to go on.

    `last` and `others` are how the usual one looks, see `Rule`; `expect` takes it, and tells of any other reply: it
    raises InvalidReply. `command` is how the log calls what was asked, None for the greeting.
    """

    last: bytes
    others: bytes | None
    command: str | None
    expect: Callable[[Reply], None]


def wanted(rule: Rule, command: str | None) -> Wanted:
    """What a rule says."""
    return Wanted(rule.last, rule.others, command, rule.expect)


Step = tuple[bytes | None, Wanted]
"""A command, None for the greeting, and what its reply must be."""

ValueT = TypeVar("ValueT")

Talk = Generator[tuple[Step, ...], Reply, ValueT]
"""Gives steps to be taken one after the other, takes the reply to the last of them, and comes to a value.

Raises a PeerError.
"""


def anything(_reply: Reply) -> None:
    """The caller knows more of what the reply must be, or it is the client's to judge."""


def sending(wanted: Wanted) -> str:
    """What a session is doing until it has the reply, for the log."""
    return f"sending {wanted.command} to upstream"


class Conversation:
    """With the backend of `stream`, whose replies `reader` cuts out; none is longer than `limit` (`proxy_buffer`).

    `greeted` tells whether it has said its first words already, `stepwise` whether somebody wants to see each reply.
    `failed` gives what follows when it breaks off.
    """

    __slots__ = ("_done", "_limit", "_steps", "_talk", "failed", "greeted", "log", "reader", "stepwise", "stream")

    _talk: Talk[Any]
    _done: Callable[[Any], Link]
    _steps: tuple[Step, ...]
    failed: Callable[[PeerError], Link]

    def __init__(
        self, stream: SocketStream, new_reader: Callable[[int], ReplyReader], limit: int, log: SessionLog
    ) -> None:
        self.stream = stream
        self.reader = new_reader(limit)
        self.log = log
        self._limit = limit
        self.greeted = self.stepwise = False

    def converse(self, talk: Talk[ValueT], done: Callable[[ValueT], Link]) -> Link:
        """The link that carries out a talk; `done` gives the next one for what it comes to."""
        self._talk = talk
        self._done = done
        return self._follow(None)

    def take_over(self, talk: Talk[ValueT], done: Callable[[ValueT], Link], reply: bytes | None) -> None:
        """As `converse`, where somebody else has begun to carry out the first steps of that talk.

        With the last usual `reply` to them, to carry out those behind it.
        """
        self._talk = talk
        self._done = done
        self._steps = next(talk)
        if reply is not None:
            self.reader.skip(len(self._steps))
            self._steps = talk.send(Reply(reply))

    def _plan(self, steps: tuple[Step, ...]) -> Link:
        self._steps = steps = steps[1:] if self.greeted and steps[0][0] is None else steps
        if self.reader.unread or self.stepwise:
            return self._go_on(self._say_all(steps))
        return Plan(self.stream, self._limit, steps, self.heard, self.lost)

    def heard(self, usual: int, data: bytes) -> Link:
        """A plan's call, see `Plan.then`."""
        if usual < len(self._steps) or self.log.verbose:
            return self._go_on(self._judge(self._steps, usual, data))
        self.reader.skip(usual)
        self.log.action = READING
        return self._follow(Reply(data))

    def lost(self, error: PeerError) -> Link:
        """A plan's call, see `Plan.lost`."""
        self._prepare_all(self._steps, self.stream.step)
        if isinstance(error, ConnectionLost) and error.call in _READS:
            self.log.action = READING
        return self._break_off(error)

    def _break_off(self, error: PeerError) -> Link:
        self._talk.close()
        del self._done, self._talk  # they and this may keep each other
        return self.failed(error)

    def _follow(self, reply: Reply | None) -> Link:
        try:
            steps = self._talk.send(reply)  # type: ignore[arg-type]  # None begins a generator
        except StopIteration as end:
            done = self._done
            del self._done  # it and this may keep each other
            return done(end.value)
        except PeerError as error:
            return self._break_off(error)
        return self._plan(steps)

    async def _go_on(self, replying: Awaitable[Reply]) -> Link:
        """What a plan has no words for: replies that come in pieces, or are not the usual ones."""
        try:
            reply = await replying
        except PeerError as error:
            return self._break_off(error)
        return self._follow(reply)

    async def _judge(self, steps: tuple[Step, ...], usual: int, data: bytes) -> Reply:
        """Go on with `data`, before which the first `usual` steps had their replies."""
        if not data or self.log.verbose:
            self._prepare_all(steps, usual)
        self.reader.skip(usual)
        if usual == len(steps):
            self.log.action = READING
            return Reply(data)
        self._take(data)
        reply = await self._reply()
        steps[usual][1].expect(reply)
        return await self._say_all(steps[usual + 1 :]) if steps[usual + 1 :] else reply

    async def _say_all(self, steps: tuple[Step, ...]) -> Reply:
        for command, wanted in steps:
            self.prepare(wanted)
            if command is not None:
                await self.stream.write(command)
            reply = await self._reply()
            wanted.expect(reply)
        return reply

    def prepare(self, wanted: Wanted) -> None:
        """What goes wrong from now on belongs to this command."""
        if wanted.command is not None:
            self.log.action = sending(wanted)
            if self.log.verbose:
                self.log.debug("login goes on")

    def _prepare_all(self, steps: tuple[Step, ...], last: int) -> None:
        for _, wanted in steps[: last + 1]:
            self.prepare(wanted)

    async def _reply(self) -> Reply:
        while (reply := self.reader.next()) is None:
            try:
                data = await self.stream.read(self._limit)
            except ConnectionLost:
                self.log.action = READING
                raise
            self._take(data)
        return reply

    def _take(self, data: bytes) -> None:
        if not data:
            raise ConnectionLost(Party.BACKEND, "recv()", 0)
        self.log.action = READING
        if not self.reader.begun:
            self.log.greeted()
        self.reader.feed(data)
