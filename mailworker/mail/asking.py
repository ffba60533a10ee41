"""The question of a session to the login source, and who is told of it."""

from __future__ import annotations

from typing import Final

from mailworker.event.connections import Connections
from mailworker.event.plan import Link
from mailworker.mail.attempting import Attempting
from mailworker.mail.dialogue.dialogue import AnyDialogue, catch_up
from mailworker.mail.record import SessionRecord
from mailworker.model import AuthMethod
from mailworker.wire.auth_request import AuthRequest, TlsFacts
from mailworker.wire.auth_response import Accepted, Rejected
from mailworker.wire.login import Login

IN_AUTH: Final = "in auth state"
"""The action of a session while its client logs in."""

_NONE: Final = AuthMethod.NONE  # Python 3.11 takes some 850 instructions to find one in its enum


class Asking(Attempting):
    """A session that asks the login source about its client's login.

    `attempts` counts how often it was asked about a `login`, `_asks` tells whether it is being asked now, and `_began`
    when that began, or the login at the backend. `_quiet`: no log takes [info], nothing is limited, and no policy
    service, counters, session table or variables need the results. `_plain_source` is the source if plain questions are
    enough for it, else None. `_first_login` is that of the protocol, None if no login is accepted without a dialogue.
    """

    __slots__ = (
        "_asks", "_began", "_first_login", "_plain_source", "_quiet", "_request", "_talkative", "attempts", "login",
    )  # fmt: skip

    _began: float
    _request: AuthRequest
    login: Login

    def __init__(self, record: SessionRecord, connections: Connections) -> None:
        super().__init__(record, connections)
        self._asks = False
        self.attempts = 0

    def look_around(self) -> None:
        """Note what the server and its log expect of the session."""
        server, log = self.server, self.log.entrance.log
        self._first_login = None if self.log.entrance.opening is None else self.protocol.first_login
        self._plain_source = server.plain_source
        self._talkative = log.talkative
        followed = (server.policed, server.counted, server.rows, self.facts, server.guard, server.limits)
        self._quiet = not log.informative and all(each is None for each in followed)
        self.limited_here = server.guard is not None or server.limits is not None

    def _change_server(self) -> None:
        super()._change_server()
        self.look_around()

    def _log_in(self, login: Login) -> Link:
        """Ask the login source about a login, unless the limits refuse it."""
        log = self.log
        self.login = login
        log.action = self.server.login_source.action
        log.login = login.name
        self.attempts += 1
        return self.ask() if self._quiet else self._note_attempt()

    def _note_attempt(self) -> Link:
        """Tell the parts that follow the session of its attempt; the limits let it ask, now or later, or refuse it."""
        server, log, login = self.server, self.log, self.login
        if self._talkative:
            log.debug(f"asking {server.login_source.name}, method {login.method.name}, attempt {self.attempts}")
        self._asks = True
        self._began = now = self.connections.loop.now
        if self.facts is not None:
            self.facts.attempt(login, self.attempts)  # keys of limits may depend on it
        if (rows := server.rows) is not None:
            rows.ask(self.stream.row, login.name, now)
        if (guard := server.guard) is not None:
            if guard.quick is None or login.method is _NONE:
                return guard.enter(login, self)
            if not (entered := guard.quick.enter(log.client, login.name)):
                return guard.go_on(entered, self)
            self.attempt = entered
        return self.ask()

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

    @property
    def _tls_facts(self) -> TlsFacts | None:
        agreement = self.stream.agreement
        return None if agreement is None else self.server.agreements.facts(agreement)

    def tls_headers(self) -> bytes:
        """See `Plain.tls_headers`."""
        facts = self._tls_facts
        return b"" if facts is None else facts.headers

    def plain_request(self) -> AuthRequest:
        """See `Plain.plain_request`."""
        source, log = self._plain_source, self.log
        assert source is not None
        return source.request(self.login, self.server.settings.protocol, self.attempts, log.client, self._tls_facts)

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
