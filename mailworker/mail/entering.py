"""The way of a session into its backend: the connection, the login there, and the start of the relay."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Final

from mailworker.errors import Party, PeerError, ProtocolError
from mailworker.event import sockets
from mailworker.event.connections import Connections
from mailworker.event.plan import Link, Plan
from mailworker.event.stream import SocketStream
from mailworker.mail.attempting import Attempting
from mailworker.mail.backend.backend import Backend
from mailworker.mail.backend.conversation import READING, Step
from mailworker.mail.backend.judgement import judgement
from mailworker.mail.client.client import Client
from mailworker.mail.dialogue.dialogue import AnyDialogue, catch_up
from mailworker.mail.dialogue.sasl import failure
from mailworker.mail.end import End, Farewell
from mailworker.mail.record import SessionRecord
from mailworker.mail.relay import Relays
from mailworker.mail.targets import Target
from mailworker.wire.auth_request import AuthRequest
from mailworker.wire.auth_response import Accepted, Rejected
from mailworker.wire.login import Login

IN_AUTH: Final = "in auth state"
"""The action of a session while its client logs in."""


class Entering(Attempting):
    """A session that logs in to its backend once its login is allowed.

    `_attempts` counts how often the login source was asked, `_asks` tells whether it is being asked now, and `_began`
    when that began, or the login at the backend. `_quiet`: the server has no policy service, counters or session table
    that need the results. `_plain_source` is the source if plain questions are enough for it, else None.
    """

    __slots__ = (
        "_asks", "_attempts", "_began", "_login", "_plain_source", "_quiet", "_relays", "_request", "_steps", "_told",
    )  # fmt: skip

    _began: float
    _login: Login
    _request: AuthRequest
    _steps: tuple[Step, ...]
    _told: bytes | None  # the backend's reply to the first steps

    def __init__(self, client: Client, record: SessionRecord, connections: Connections, relays: Relays) -> None:
        super().__init__(client, record, connections)
        self._asks = False
        self._attempts = 0
        self._relays = relays
        self._look_around()

    def _look_around(self) -> None:
        """Note which parts of the server need the results of the session."""
        server = self.server
        self._plain_source = server.plain_source
        self._quiet = all(each is None for each in (server.policed, server.counted, server.rows))
        self.limited_here = server.guard is not None or server.limits is not None

    def _change_server(self) -> None:
        super()._change_server()
        self._look_around()

    def ask(self) -> Link:
        """See `LimitedApplicant.ask`."""
        server, login, attempt, source = self.server, self._login, self._attempts, self._plain_source
        if source is not None and self._client is None:
            agreement = self.stream.agreement
            tls = None if agreement is None else server.agreements.facts(agreement)
            return source.judge_plainly((login, server.settings.protocol, attempt, self.log.client), tls, self)
        request = self.client.auth_request(login, attempt, server.settings, tells_host=self.protocol.tells_host)
        self._request = request
        request.facts = self.facts
        return server.login_source.judge(request, self)

    def judged(self, verdict: Accepted | Rejected) -> Link:
        """See `Applicant.judged`."""
        raise NotImplementedError

    def _begin_to_ask(self) -> None:
        self._asks = True
        self._began = now = self.connections.loop.now
        if (rows := self.server.rows) is not None:
            rows.ask(self.log.row, self._login.name, now)

    def _new_dialogue(self) -> AnyDialogue:
        dialogue, heard = super()._new_dialogue(), self.stream.heard
        if self._attempts:
            dialogue.follow_login(self._login, heard)
        elif heard is not None:
            catch_up(dialogue, heard)
        return dialogue

    def enter(self, accepted: Accepted) -> Link:
        """Connect to the backend, log in there, and leave the rest to a relay."""
        if self._login.password is None and self.protocol.needs_password:
            raise ProtocolError(Party.AUTH_SERVICE, "did not send password")
        server = self.server
        if not self._quiet:
            self._began = self.connections.loop.now
        candidates = server.targets.candidates(accepted)
        link = candidates.connect(self.connections, server.settings.timeout, self.log, self._connected)
        if isinstance(link, tuple) or link is None:
            return link
        if (rows := server.rows) is not None and self.backend is None:
            rows.dial(self.log.row, None, self._began)
        return self._careful(link)

    async def _careful(self, link: Coroutine[Any, Any, Link]) -> Link:
        try:
            return await link
        except PeerError as error:
            return self._refused(error)

    def _connected(self, stream: SocketStream, target: Target) -> Link:
        server, settings = self.server, self.server.settings
        self.backend = self.log.backend_bytes = stream
        if (rows := server.rows) is not None:
            rows.dial(self.log.row, target.address, self.connections.loop.now)
        if settings.proxy.socket_keepalive:
            sockets.keep_alive(stream.descriptor)
        if server.logs_in_at_once:
            steps = self.protocol.first_steps(self, self._login)
            if steps is not None:
                self._steps, self._told = steps, None
                return Plan(stream, settings.proxy.buffer, steps, self._answered, self._unanswered)
        tls = server.backend_tls
        peer = None if tls is None else tls.peer(target.address, target.name)
        watch = self.facts.follow_try if server.waits_for_facts and self.facts is not None else None
        return self._new_backend(stream).enter(peer, self._entered, self._refused, watch)

    def _new_backend(self, stream: SocketStream) -> Backend:
        return Backend(stream, self.protocol, self._login, self.client, self.server, self.log)

    def _answered(self, usual: int, data: bytes) -> Link:
        """Take the backend's replies: after usual ones the login is done, others start a conversation."""
        if usual < len(self._steps) or self.log.entrance.log.talkative:
            return self._backend_at_work().heard(usual, data)
        if self.protocol.last_steps is None:
            return self._entered(data)
        return self._go_further(data) if self._told is None else self._entered(self.protocol.welcome)

    def _go_further(self, told: bytes) -> Link:
        """Plan the last steps of the login, which depend on the reply to the first ones."""
        protocol, proxy = self.protocol, self.server.settings.proxy
        assert protocol.last_steps is not None and self.backend is not None
        self.log.action = READING
        try:
            steps = protocol.last_steps(self, self._login, told)
        except PeerError as error:
            return self._refused(error)
        if steps is None:
            return self._backend_at_work().heard(len(self._steps), told)
        if not steps:
            return self._entered(protocol.welcome)
        self._told, self._steps = told, steps
        return Plan(self.backend, proxy.buffer, steps, self._answered, self._unanswered)

    def _unanswered(self, error: PeerError) -> Link:
        return self._backend_at_work().lost(error)

    def _backend_at_work(self) -> Backend:
        assert self.backend is not None
        backend = self._new_backend(self.backend)
        backend.resume(self._entered, self._refused, self._told)
        return backend

    def _entered(self, words: bytes) -> Link:
        """Start the relay, with `words` from the backend and the bytes that the client has sent after its login."""
        log, stream = self.log, self.backend
        assert stream is not None
        server = self.server
        if self._login.passed_on:  # the backend has decided only now
            if server.policed is not None:
                server.policed.learn(self._request, self, None)
            if not self.let_in():
                return self.turn_away()
        log.action = None
        if log.entrance.log.informative:
            log.info("client logged in")
        self.backend = None
        if (counted := server.counted) is not None:
            counted.log_in(self._login.method, self._began)
        if self.facts is not None:
            self.facts.log_in()
        sockets.no_delay(stream.descriptor)  # clients, unlike a login, do not wait for each reply
        rest = b"" if self._dialogue is None else self._dialogue.take_input()
        self._relays.start(log, self.stream, rest, stream, words)
        return None

    def _refused(self, error: PeerError) -> Link:
        codes = self.server.settings.proxy.pass_error_codes
        rejected = judgement(error, self._login, self.protocol, self.log, codes=codes)
        if rejected is None:
            return self.fail(error)
        if (policed := self.server.policed) is not None and self._login.passed_on:
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
        if self.facts is not None:
            self.facts.refuse(crowded)
        self.renew_deadline()
        self.log.action = IN_AUTH
        answer = await failure(self.dialogue, self._login, crowded)
        return self.part(Farewell(End.LIMIT_CONN, answer))
