"""The way of a session into its backend: the connection, the login there, and the start of the relay."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

from mailworker.errors import BACKEND, PeerError
from mailworker.event import sockets
from mailworker.event.connections import Connections
from mailworker.event.plan import Link, Plan
from mailworker.event.stream import SocketStream
from mailworker.mail.attempting import Attempting
from mailworker.mail.backend.backend import Backend, Dispensable
from mailworker.mail.backend.conversation import Foreseen
from mailworker.mail.backend.judgement import judgement
from mailworker.mail.dialogue.dialogue import AnyDialogue, catch_up
from mailworker.mail.dialogue.sasl import failure
from mailworker.mail.end import End, Farewell
from mailworker.mail.leaving import end_by
from mailworker.mail.record import SessionRecord
from mailworker.mail.relay import Relays
from mailworker.mail.targets import CONNECTING, Target
from mailworker.wire.auth_request import AuthRequest
from mailworker.wire.auth_response import Accepted, Rejected
from mailworker.wire.login import Login

IN_AUTH: Final = "in auth state"
"""The action of a session while its client logs in."""


class Entering(Attempting):
    """A session that logs in to its backend once its login is allowed.

    `attempts` counts how often the login source was asked about a `login`, `_asks` tells whether it is being asked now,
    and `_began` when that began, or the login at the backend. `_quiet`: no log takes more than errors, nothing is
    limited, and no policy service, counters, session table or variables need the results. `_plain_source` is the source
    if plain questions are enough for it, else None. `_first_login` is that of the protocol, None if no login is
    accepted without a dialogue. `_agreed` are the terms of the relay.
    """

    __slots__ = (
        "_accepted", "_agreed", "_asks", "_began", "_first_login", "_plain_source", "_quiet", "_relays", "_request",
        "_steps", "_talkative", "attempts", "login",
    )  # fmt: skip

    _accepted: Accepted
    _began: float
    _request: AuthRequest
    _steps: tuple[Foreseen, ...]
    login: Login

    def __init__(self, record: SessionRecord, connections: Connections, relays: Relays) -> None:
        super().__init__(record, connections)
        self._asks = False
        self.attempts = 0
        self._relays = relays
        self.look_around()

    def look_around(self) -> None:
        """Note what the server and its log expect of the session."""
        server, log = self.server, self.log.entrance.log
        self._first_login = None if self.log.entrance.opening is None else self.protocol.first_login
        self._agreed = self._relays.agreed(server)
        self._plain_source = server.plain_source
        self._talkative = log.talkative
        followed = (server.policed, server.counted, server.rows, self.facts, server.guard, server.limits)
        self._quiet = not log.informative and all(each is None for each in followed)
        self.limited_here = server.guard is not None or server.limits is not None

    def _change_server(self) -> None:
        super()._change_server()
        self.look_around()

    def ask(self) -> Link:
        """See `LimitedApplicant.ask`."""
        source = self._plain_source
        if source is not None and self._client is None and self.login.envelope is None:
            return source.judge_plainly(self)
        server = self.server
        if server.by_backend is not None and self.facts is None:
            return server.by_backend.pass_on(self)
        self._request = request = self.client.auth_request(
            self.login, self.attempts, server.settings, tells_host=self.protocol.tells_host
        )
        request.facts = self.facts
        return server.login_source.judge(request, self)

    def tls_headers(self) -> bytes:
        """See `Plain.tls_headers`."""
        agreement = self.stream.agreement
        return b"" if agreement is None else self.server.agreements.facts(agreement).headers

    def plain_request(self) -> AuthRequest:
        """See `Plain.plain_request`."""
        server, source, agreement = self.server, self._plain_source, self.stream.agreement
        assert source is not None
        tls = None if agreement is None else server.agreements.facts(agreement)
        return source.request(self.login, server.settings.protocol, self.attempts, self.log.client, tls)

    def judged(self, verdict: Accepted | Rejected) -> Link:
        """See `Applicant.judged`."""
        raise NotImplementedError

    def _note(self, verdict: Accepted | Rejected) -> Accepted | Rejected:
        """Pass the verdict to the counters and variables, which may choose its backend."""
        self._asks = False
        if (counted := self.server.counted) is not None:
            if verdict.accepted:
                counted.allow(self.login.method, self._began)
            else:
                counted.reject(self.login.method, verdict, self.connections.loop.now - self._began)
        if self.facts is None:
            return verdict
        headers = None if self._plain_source is not None else self._request.answer
        return self.facts.settle(verdict, headers, self._began)

    def _new_dialogue(self) -> AnyDialogue:
        dialogue, heard = super()._new_dialogue(), self.stream.heard
        if self.attempts:
            dialogue.follow_login(self.login, heard)
        elif heard is not None:
            catch_up(dialogue, heard)
        return dialogue

    def enter(self, accepted: Accepted) -> Link:
        """Connect to the backend, log in there, and leave the rest to a relay."""
        self._accepted = accepted
        server, log = self.server, self.log
        target = server.targets.given(accepted)
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
            backend, usual = self._backend_at_work(usual)
            return backend.heard(usual, data)
        return self._entered(self.protocol.welcome or data)

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

    async def turn_away(self) -> Link:
        """Tell the client that `limit_conn` allows no more connections, and end the session."""
        crowded = self.protocol.refusals.crowded
        self.close_backend()
        self.log.refuse(crowded)
        self.renew_deadline()
        self.log.action = IN_AUTH
        answer = await failure(self.dialogue, self.login, crowded)
        return self.part(Farewell(End.LIMIT_CONN, answer))


async def _unless_refused(link: Coroutine[Any, Any, Link], refused: Callable[[PeerError], Link]) -> Link:
    """What `link` gives, or what `refused` gives for its PeerError."""
    try:
        return await link
    except PeerError as error:
        return refused(error)
