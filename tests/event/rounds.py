"""Plans that a test plays round by round, by any implementation: what peers do before each round is a script."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from mailworker.errors import MailworkerError
from mailworker.event.stream import Step
from tests.event.bench import Bench
from tests.event.plays import Chain, carry_out, stream_plan
from tests.support.implementations import Implementation, implementations

# What a peer may do beside saying something: hear all that is there, end its side, go, let the stream's time pass,
# have the session interrupted or given up.
HEAR, END, GO, LATE, KICK, GIVE_UP = range(6)

# Of each session: the limit of its reads, whether it has a deadline, and the steps of its plans.
Session = tuple[int, bool, Sequence[Sequence[Step]]]
# Of each round: who acts before it, and how.
Round = Sequence[tuple[int, bytes | int]]

_SMALL_BUFFER = 4096
_DEADLINE = 60.0
_ROUNDS_AFTER = 4


class Kicked(MailworkerError):
    """What a session is interrupted by."""


class Talk:
    """A session and its peer, and what either has noticed."""

    def __init__(self, bench: Bench, session: Session) -> None:
        limit, hurried, plans = session
        ours, self._peer = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SMALL_BUFFER)
        self._peer.setblocking(False)
        self._loop = bench.loop
        self._stream = bench.stream(ours)
        if hurried:
            self._stream.deadline = bench.loop.now + _DEADLINE
        self._heard = 0
        left = [*plans]

        def follow() -> Any:
            return stream_plan(self._stream, tuple(left.pop(0)), then, self._chain.lost, limit) if left else None

        def then(usual: int, reply: bytes) -> Any:
            self._chain.told.append((usual, reply, self._stream.heard))
            return follow()

        self._chain = Chain(follow)
        self._task = bench.implementation.task.Task(bench.loop, carry_out(bench, self._chain))
        self._task.resume()

    def act(self, act: bytes | int) -> None:
        with suppress(OSError):  # of a peer that has gone
            if isinstance(act, bytes):
                self._peer.send(act)
            elif act == HEAR:
                while data := self._peer.recv(1 << 20):
                    self._heard += len(data)
            elif act == END:
                self._peer.shutdown(socket.SHUT_WR)
            elif act == GO:
                self._peer.close()
            elif act == LATE:
                self._loop.timers.expire(self._loop.now + 2 * _DEADLINE)
            elif act == KICK:
                self._task.interrupt(Kicked("kicked"))
            else:
                self._give_up()

    def _give_up(self) -> None:
        self._task.cancel()
        self._stream.close()

    def noticed(self) -> tuple[object, ...]:
        stream = self._stream
        told = [(type(each), str(each)) if isinstance(each, Exception) else each for each in self._chain.told]
        return told, stream.heard, stream.step, stream.received, stream.sent, stream.watched, self._heard

    def close(self) -> None:
        self._give_up()
        self._peer.close()


def played(it: Implementation, sessions: Sequence[Session], rounds: Sequence[Round]) -> list[object]:
    """What all have noticed after each round."""
    poller = it.poller.new_poller()
    bench = Bench(poller, it)
    talks = [Talk(bench, session) for session in sessions]
    noticed: list[object] = []
    try:
        for acts in (*rounds, *(_ROUNDS_AFTER * [()])):
            for who, act in acts:
                talks[who % len(talks)].act(act)
            bench.loop.serve_late()
            bench.loop.poller.dispatch(bench.loop, 0.0)
            bench.loop.serve_late()  # which the poller in C has done
            noticed.append(([talk.noticed() for talk in talks], bench.poller.registrations))
    finally:
        for talk in talks:
            talk.close()
        bench.close()
        poller.close()
    return [*noticed, [repr(bug) for bug in bench.bugs]]


def check_rounds(sessions: Sequence[Session], rounds: Sequence[Round]) -> None:
    """Both engines notice the same after each round."""
    first, *others = (played(it, sessions, rounds) for it in implementations().values())
    for other in others:
        for mine, its in zip(first, other, strict=True):
            assert mine == its
