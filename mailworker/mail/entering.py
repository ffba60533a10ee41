"""The way of a session into its backend: the connection, the login there, and the start of the relay."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from mailworker.errors import BACKEND, PeerError
from mailworker.event import sockets
from mailworker.event.connections import Connections
from mailworker.event.plan import Link, Plan
from mailworker.event.stream import SocketStream
from mailworker.mail.asking import IN_AUTH, Asking
from mailworker.mail.backend.backend import Backend, Dispensable
from mailworker.mail.backend.conversation import Foreseen
from mailworker.mail.backend.judgement import judgement
from mailworker.mail.end import End, Farewell
from mailworker.mail.leaving import end_by
from mailworker.mail.record import SessionRecord
from mailworker.mail.relay import Relays
from mailworker.mail.targets import CONNECTING, Target
from mailworker.native.core import accelerator
from mailworker.wire.auth_response import Accepted, Rejected


class Entering(Asking):
    """A session that logs in to its backend once its login is allowed.

    `_agreed` are the terms of the relay. native/mail/session.c implements the end of a usual login in C.
    """

    __slots__ = ("_accepted", "_agreed", "_relays", "_steps")

    _accepted: Accepted
    _steps: tuple[Foreseen, ...]

    def __init__(self, record: SessionRecord, connections: Connections, relays: Relays) -> None:
        super().__init__(record, connections)
        self._relays = relays
        self.look_around()

    def look_around(self) -> None:
        """See `Asking.look_around`."""
        super().look_around()
        self._agreed = self._relays.agreed(self.server)

    def enter(self, accepted: Accepted) -> Link:
        """Connect to the backend, log in there, and leave the rest to a relay."""
        self._accepted = accepted
        server, log = self.server, self.log
        target = server.targets.given(accepted.address)
        if target is None:
            return self._choose(accepted)
        if not self._quiet:
            self._began = self.connections.loop.now
        log.action = CONNECTING
        log.backend = target.text
        try:
            stream = self.connections.connect(target.address, BACKEND, server.settings.timeout)
            return self._connected(stream, target)
        except PeerError as error:
            return self._refused(error)

    def _choose(self, accepted: Accepted) -> Link:
        """Connect to one of several addresses."""
        server, self._began = self.server, self.connections.loop.now
        candidates = server.targets.candidates(accepted)
        link = candidates.connect(self.connections, server.settings.timeout, self.log, self._connected)
        if (rows := server.rows) is not None:
            rows.dial(self.stream.row, None, self._began)
        return _unless_refused(link, self._refused)

    def _connected(self, stream: SocketStream, target: Target) -> Link:
        server = self.server
        proxy = server.settings.proxy
        self.backend = self.log.backend_bytes = stream
        if not self._quiet and (rows := server.rows) is not None:
            rows.dial(self.stream.row, target.address, self.connections.loop.now)
        if proxy.socket_keepalive:
            sockets.keep_alive(stream.descriptor)
        if server.logs_in_at_once:
            steps = self.protocol.first_steps(self, self.login)
            if steps is not None:
                self._steps = steps
                return Plan(stream, proxy.buffer, steps, self._answered, self._unanswered)
        tls = server.backend_tls
        peer = None if tls is None else tls.peer(target.address, target.name)
        watch = self.facts.follow_try if server.waits_for_facts and self.facts is not None else None
        return self._new_backend(stream).enter(peer, self._entered, self._refused, watch)

    def _new_backend(self, stream: SocketStream) -> Backend:
        return Backend(stream, self.protocol, self.login, self.client, self.server, self.log)

    def _answered(self, usual: int, data: bytes) -> Link:
        """Take the backend's replies: after usual ones the login is done, others start a conversation."""
        if usual < len(self._steps) or self._talkative:
            return self._converse(usual, data)
        return self._entered(self.protocol.welcome or data)

    def _converse(self, usual: int, data: bytes) -> Link:
        backend, usual = self._backend_at_work(usual)
        return backend.heard(usual, data)

    def _unanswered(self, error: PeerError) -> Link:
        assert self.backend is not None
        backend, step = self._backend_at_work(self.backend.step)
        return backend.lost_at(step, error)

    def _backend_at_work(self, usual: int) -> tuple[Backend, int]:
        assert self.backend is not None
        backend = self._new_backend(self.backend)
        return backend, backend.resume(self._entered, self._refused, self._steps, usual)

    def _entered(self, words: bytes) -> Link:
        """Start the relay, with `words` from the backend and the bytes that the client has sent after its login."""
        log, stream = self.log, self.backend
        assert stream is not None
        if not self._quiet and (refused := self._note_entry()) is not None:
            return refused
        log.action = None
        rest = b"" if self._dialogue is None else self._dialogue.take_input()
        self._relays.start(self._agreed, log, self.stream, rest, stream, words)
        self.backend = None
        return None

    def _note_entry(self) -> Link:
        """Tell the parts that follow the session of its login; gives the next link if a limit refuses it, else None."""
        server, log = self.server, self.log
        if self.login.passed_on:  # the backend has decided only now
            if server.policed is not None:
                server.policed.learn(self._request, self, None)
            if not self.let_in():
                return self.turn_away()
        log.action = None
        if log.entrance.log.informative:
            log.info("client logged in")
        if server.counted is not None:
            server.counted.log_in(self.login.method, self._began)
        if self.facts is not None:
            self.facts.log_in()
        return None

    def _refused(self, error: PeerError) -> Link:
        if isinstance(error, Dispensable):
            self.log.gave_up(error.error)
            self.close_backend()
            return self.enter(self._accepted)
        if (counted := self.server.counted) is not None:
            counted.fail_at_backend(end_by(error, self.stream, self.backend))
        codes = self.server.settings.proxy.pass_error_codes
        rejected = judgement(error, self.login, self.protocol, self.log, codes=codes)
        if rejected is None:
            return self.fail(error)
        if (policed := self.server.policed) is not None and self.login.passed_on:
            policed.learn(self._request, self, rejected)
        self.close_backend()
        return self._reject(rejected)

    async def _reject(self, verdict: Rejected) -> Link:
        """Tell the client that the backend has refused."""
        raise NotImplementedError

    def turn_away(self) -> Link:
        """Tell the client that `limit_conn` allows no more connections, and end the session."""
        crowded = self.protocol.refusals.crowded
        self.log.refuse(crowded)
        self.log.action = IN_AUTH
        return self.part(Farewell(End.LIMIT_CONN, self.dialogue.rejection(crowded)))


if accelerator is not None:
    accelerator.note_entering(Entering)


async def _unless_refused(link: Coroutine[Any, Any, Link], refused: Callable[[PeerError], Link]) -> Link:
    """What `link` gives, or what `refused` gives for its PeerError."""
    try:
        return await link
    except PeerError as error:
        return refused(error)
