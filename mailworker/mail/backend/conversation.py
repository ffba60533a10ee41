"""The conversation with a backend: one command at a time, and its complete reply."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, NamedTuple, TypeVar

from mailworker.errors import ConnectionLost, Party, PeerError
from mailworker.event.plan import Link, Plan
from mailworker.event.stream import SocketStream
from mailworker.mail.session_log import SessionLog
from mailworker.wire.backend import Known, Reply, Rule
from mailworker.wire.reply_reader import ReplyReader

READING = "reading response from upstream"
"""The action of a session during that, for the log."""

# The names of the reading calls in errors.
_READS = ("recv()", "SSL_read()")


class Wanted(NamedTuple):
    """The reply that the login needs to go on.

    `last` and `others` are the form of the usual reply, see `Rule`. `expect` accepts the reply or raises InvalidReply.
    `command` is the name of the command in the log, None for the greeting.
    """

    last: bytes
    others: bytes | None
    command: str | None
    expect: Callable[[Reply], None]


def wanted(rule: Rule, command: str | None) -> Wanted:
    """The Wanted of a rule."""
    return Wanted(rule.last, rule.others, command, rule.expect)


Step = tuple[bytes | None, Wanted]
"""A command, None for the greeting, and the reply that is wanted."""

Foreseen = tuple[bytes | None, Wanted | Known]
"""As Step, or with the known replies that the steps behind it depend on."""

ValueT = TypeVar("ValueT")

Talk = Generator[tuple[Step, ...], Reply, ValueT]
"""Yields steps to be taken one after the other, gets the reply to the last of them, and returns a value.

Raises a PeerError: its own, or the one that it gets in place of a reply. After a refusal it may yield steps instead.
"""


def anything(_reply: Reply) -> None:
    """Accept any reply: the caller will check it, or the client gets it as it is."""


def sending(wanted: Wanted) -> str:
    """The action of a session until it has the reply, for the log."""
    return f"sending {wanted.command} to upstream"


class Conversation:
    """The conversation with the backend of `stream`.

    `reader` splits its replies, none of which is longer than `limit` (`proxy_buffer`). `greeted` tells whether the
    backend has sent its greeting, `stepwise` whether each reply is needed separately. `failed` gives the link that
    follows an error.
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
        """The link that carries out a talk; `done` gets its value, and gives the next link."""
        self._talk = talk
        self._done = done
        return self._follow(None)

    def take_over(
        self, talk: Talk[ValueT], done: Callable[[ValueT], Link], steps: tuple[Foreseen, ...], usual: int
    ) -> int:
        """As `converse`, after a plan with the steps of that talk has had `usual` replies, but not yet the value.

        Gives how many of these are replies to the steps that the talk has yielded last.
        """
        self._talk = talk
        self._done = done
        self._steps = next(talk)
        while (length := len(self._steps)) < len(steps) and length <= usual:
            if self.log.verbose:
                self._prepare_all(self._steps, length)
            self.reader.skip(length)
            last = steps[length - 1][1].last
            self._steps = talk.send(self.reader.kind(last if isinstance(last, bytes) else next(iter(last))))
            steps, usual = steps[length:], usual - length
        return usual

    def _plan(self, steps: tuple[Step, ...]) -> Link:
        self._steps = steps = steps[1:] if self.greeted and steps[0][1].command is None else steps
        if self.reader.unread or self.stepwise:
            return self._go_on(self._say_all(steps))
        return Plan(self.stream, self._limit, steps, self.heard, self.lost)

    def heard(self, usual: int, data: bytes) -> Link:
        """A plan's call, see `Plan.then`."""
        if usual < len(self._steps) or self.log.verbose:
            return self._go_on(self._judge(self._steps, usual, data))
        self.reader.skip(usual)
        self.log.action = READING
        return self._follow(self.reader.kind(data))

    def lost(self, error: PeerError) -> Link:
        """A plan's call, see `Plan.lost`."""
        return self.lost_at(self.stream.step, error)

    def lost_at(self, step: int, error: PeerError) -> Link:
        """As `lost`; the error came at this one of the steps."""
        self._prepare_all(self._steps, step)
        if isinstance(error, ConnectionLost) and error.call in _READS:
            self.log.action = READING
        return self._break_off(error)

    def _break_off(self, error: PeerError) -> Link:
        try:
            steps = self._talk.throw(error)
        except PeerError as raised:
            del self._done, self._talk  # they may refer to this object: break the cycle
            return self.failed(raised.with_traceback(None))  # the same goes for its frames
        return self._plan(steps)

    def _follow(self, reply: Reply | None) -> Link:
        try:
            steps = self._talk.send(reply)  # type: ignore[arg-type]  # None begins a generator
        except StopIteration as end:
            done = self._done
            del self._done  # it may refer to this object: break the cycle
            return done(end.value)
        except PeerError as error:
            return self._break_off(error)
        return self._plan(steps)

    async def _go_on(self, replying: Awaitable[Reply]) -> Link:
        """Handle the replies that a plan cannot: those in pieces, and unusual ones."""
        try:
            reply = await replying
        except PeerError as error:
            return self._break_off(error)
        return self._follow(reply)

    async def _judge(self, steps: tuple[Step, ...], usual: int, data: bytes) -> Reply:
        """Go on with `data`, after the first `usual` steps have had their replies."""
        if not data or self.log.verbose:
            self._prepare_all(steps, usual)
        self.reader.skip(usual)
        if usual == len(steps):
            self.log.action = READING
            return self.reader.kind(data)
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
        """Attribute the errors that follow to this command."""
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
