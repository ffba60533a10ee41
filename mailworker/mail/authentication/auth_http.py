"""Authentication by an HTTP service (nginx's auth_http).

Each attempt has a connection of its own, unless `auth_http_keepalive` keeps some open for later ones.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from operator import methodcaller
from typing import Final, Protocol

from mailworker.config.auth_http import AuthHttpSettings
from mailworker.errors import AUTH_SERVICE, ConnectionLost, PeerError, ProtocolError, TimedOut
from mailworker.event import sockets
from mailworker.event.copies import copied
from mailworker.event.plan import UNKNOWN, Link, Plan
from mailworker.event.stream import SocketStream
from mailworker.mail.authentication.idle import IdleConnections
from mailworker.mail.authentication.source import Applicant
from mailworker.native.core import accelerator
from mailworker.native.core.line import Line
from mailworker.variables.facts import Render
from mailworker.variables.source import asked
from mailworker.variables.template import Template
from mailworker.variables.variables import Variables
from mailworker.wire.auth_answers import Answer, Answers, Reading
from mailworker.wire.auth_request import (
    HEADER_VALUE,
    AuthHttpTemplate,
    AuthRequest,
    Places,
    TlsFacts,
    client_host,
)
from mailworker.wire.auth_response import InvalidResponse, Rejected, Verdict, Wait
from mailworker.wire.login import Login
from mailworker.wire.response_body import rest

__all__ = ["READING", "AuthHttp", "Plain", "recalled"]

READING: Final = (
    Reading(copied=copied) if accelerator is None else Reading(accelerator.counting, accelerator.recalled, copied)
)
"""The functions that read answers, in C where the C module was built."""

recalled = READING.recalled

_READ_SIZE = 4096
# Bytes that fit into one packet on any network.
_SEGMENT = 1200
# A service that always answers WAIT would hold the session for ever; nginx does not limit that.
_MOST_WAITS = 100


class AuthHttp:
    """See `LoginSource`."""

    __slots__ = (
        "_host", "_plain_text", "_question", "action", "answer_headers", "answers", "authzid", "idle", "name",
        "settings", "template",
    )  # fmt: skip

    kind = "http"

    def __init__(
        self,
        settings: AuthHttpSettings,
        answers: Answers,
        variables: Variables | None = None,
        answer_headers: Collection[str] = (),
        host: bytes | None = None,
    ) -> None:
        """`answers` reads the service's answers. `variables` are those of the header values, None if they have none.

        `answer_headers` are those that variables use, in lower case with "_" for "-". `host` is the client's host
        name in plain requests, None if they have none.
        """
        self.settings = settings
        self.answers = answers
        self.answer_headers = answer_headers
        self.idle = IdleConnections(settings.keepalive)
        self.template = AuthHttpTemplate(
            settings.uri,
            settings.host,
            _bound(settings.headers, variables),
            keepalive=settings.keepalive > 0,
            make=Line,
        )
        self.name = settings.name
        self.action = "in http auth state"
        self.authzid = settings.authzid
        self._question = _Question(self)
        self._host = host
        headers = b"" if host is None else client_host(host)
        self._plain_text = self.template.at(_PLACES._replace(headers=headers))

    def judge(self, request: AuthRequest, applicant: Applicant) -> Link:
        """See `LoginSource.judge`."""
        question = copied(self._question)
        question.applicant = applicant
        return question.ask(request)

    @property
    def is_plain(self) -> bool:
        """Whether requests contain no variables of the session, and no variable uses headers of the answer."""
        return not (self.settings.has_variables or self.answer_headers)

    def judge_plainly(self, applicant: Plain) -> Link:
        """As `judge`, where the request tells only the address of the client and the TLS of its connection."""
        question = copied(self._question)
        question.applicant = question.plain = applicant
        return question.say(self._plain_text(applicant))

    def request(self, login: Login, protocol: str, attempt: int, client_ip: str, tls: TlsFacts | None) -> AuthRequest:
        """The request of a plain question."""
        return AuthRequest(login, protocol, attempt, client_ip.encode(), self._host, tls=tls)

    def close(self) -> None:
        """See `LoginSource.close`."""
        self.idle.close()


class Plain(Applicant, Protocol):
    """An applicant that may be asked about plainly: `login` for the time `attempts`, counted from 1.

    The line of the request reads these, its address for the log and the protocol of its server.
    """

    attempts: int
    login: Login

    def tls_headers(self) -> bytes:
        """The headers about the TLS of its connection."""

    def plain_request(self) -> AuthRequest:
        """The request for its login, see `AuthHttp.request`."""


_PLACES: Final = Places(
    "login",
    "server.settings.protocol",
    "attempts",
    "log.client",
    asked(methodcaller("tls_headers"), when="stream.agreement"),
)


class _Question:
    """One login of the `applicant`; the service is asked again as often as it says WAIT.

    A question starts as a copy of a pattern. `plain` is the applicant if it is asked about plainly, else None.
    native/mail/question.c implements the usual steps in C.
    """

    __slots__ = (
        "_address", "_head", "_keeps", "_known", "_request", "_reused", "_service", "_stream", "_tell", "_timeout",
        "_wait", "_waits", "applicant", "plain",
    )  # fmt: skip

    _head: bytes
    _request: AuthRequest  # a plain question makes it when it is needed
    _stream: SocketStream
    applicant: Applicant

    def __init__(self, service: AuthHttp) -> None:
        settings = service.settings
        self._address = settings.address
        self._keeps = settings.keepalive > 0
        self._known: Mapping[bytes, Answer] = {} if service.answer_headers else service.answers.known
        self._reused = False
        self._service = service
        self._tell = service.answers.tell
        self._timeout = settings.timeout
        self._wait: Wait | None = None  # the last one
        self._waits = 0
        self.plain: Plain | None = None

    def ask(self, request: AuthRequest) -> Link:
        """The link that sends the request and gets the verdict."""
        self._request = request
        return self.say(self._service.template.request(request))

    def say(self, head: bytes) -> Link:
        """As `ask`, with the request as bytes."""
        return self._say_again(head) if self._keeps else self._say_anew(head)

    def _say_again(self, head: bytes) -> Link:
        """Send the request on a connection that was kept, if there is one."""
        connections = self.applicant.connections
        stream = self._service.idle.take(connections)
        self._head, self._reused = head, stream is not None
        if stream is None:
            return self._say_anew(head)
        stream.deadline = connections.loop.now + self._timeout
        self._stream = stream
        return self._plan(head)

    def _say_anew(self, head: bytes) -> Link:
        self._stream = self.applicant.connections.connect(self._address, AUTH_SERVICE, self._timeout)
        return self._plan(head)

    def _plan(self, head: bytes) -> Plan:
        if len(head) > _SEGMENT:
            sockets.no_delay(self._stream.descriptor)  # else its end may wait for an acknowledgment of its beginning
        return Plan(self._stream, _READ_SIZE, ((head, UNKNOWN),), self._heard, self._lost)

    def _heard(self, _usual: int, data: bytes) -> Link:
        answer = recalled(self._known, data, self._tell)
        if answer is None:
            return self._read(data)
        return self._follow(answer) if self._keeps else self._settle(answer.verdict)

    def _read(self, data: bytes) -> Link:
        """Read an answer that has not come before in the same words."""
        try:
            answer = None if self._service.answer_headers else self._service.answers.read(data)
        except InvalidResponse as error:
            return self._broken(error)
        if answer is None:
            return self._read_on(data) if data else self._lost(ConnectionLost(AUTH_SERVICE, "recv()", 0))
        return self._follow(answer)

    def _follow(self, answer: Answer) -> Link:
        """Act on an answer, whose connection may be kept."""
        if self._keeps and answer.body:
            return self._finish(answer)
        if self._keeps and answer.body is not None:
            self._keep()
        return self._settle(answer.verdict)

    def _keep(self) -> None:
        """Keep the connection, whose response has been read to its end."""
        self._service.idle.keep(self.applicant.connections, self._stream)

    async def _read_on(self, data: bytes) -> Link:
        """Read an answer that does not come whole, or whose headers are used by variables."""
        parser = self._service.answers.parser()
        parser.feed(data)
        try:
            while (verdict := parser.next()) is None:
                data = await self._stream.read(_READ_SIZE)
                if not data:
                    raise ConnectionLost(AUTH_SERVICE, "recv()", 0)
                parser.feed(data)
        except PeerError as error:
            return self._broken(error)
        if self._service.answer_headers:
            self._request.answer = parser.headers(self._service.answer_headers)
        return await self._finish(Answer(verdict, parser.missing()))

    async def _finish(self, answer: Answer) -> Link:
        """Read the rest of a response whose verdict is known, if its connection can be used again."""
        body = answer.body if self._keeps else None
        with suppress(ConnectionLost, TimedOut):
            while body:
                data = await self._stream.read(_READ_SIZE)
                body = rest(body, data) if data else None
            if body is not None:
                self._keep()
        return self._settle(answer.verdict)

    def _settle(self, verdict: Verdict) -> Link:
        self._stream.close()
        return self.applicant.judged(verdict) if verdict.accepted and self._wait is None else self._decide(verdict)

    def _decide(self, verdict: Verdict) -> Link:
        """Go on after any other verdict than a success without a wait before it."""
        if self._wait is not None:
            verdict = _carry_over(self._wait, verdict)
        return self._pause(verdict) if isinstance(verdict, Wait) else self.applicant.judged(verdict)

    async def _pause(self, wait: Wait) -> Link:
        self._waits += 1
        if self._waits > _MOST_WAITS:
            raise ProtocolError(AUTH_SERVICE, "sent WAIT too many times")
        await self.applicant.pause(wait.seconds)
        self._wait = wait
        request, self.plain = self._request if self.plain is None else self.plain.plain_request(), None
        return self.ask(_as_told(request, wait))

    def _broken(self, error: PeerError) -> Link:
        self._stream.close()
        if isinstance(error, InvalidResponse) and error.login is not None:
            self.applicant.log.login = error.login
        return self.applicant.fail(error)

    def _lost(self, error: PeerError) -> Link:
        self._stream.close()
        if not isinstance(error, ConnectionLost):
            return self.applicant.fail(error)
        if self._reused and not self._stream.received:
            # The service closed it just as we began, which is allowed (RFC 9112 section 9.3.1).
            self._reused = False
            return self._say_anew(self._head)
        if error.call == "send()":  # nginx notices a refused connection when it reads
            error = ConnectionLost(error.party, "recv()", error.errno)
        return self.applicant.fail(error)


if accelerator is not None:
    accelerator.note_questions(AuthHttp, _Question, AUTH_SERVICE, _READ_SIZE, UNKNOWN, _SEGMENT)


def _bound(
    headers: tuple[tuple[bytes, bytes | Template], ...], variables: Variables | None
) -> tuple[tuple[bytes, bytes | Render], ...]:
    """The headers with the functions that give their values."""
    if variables is None:
        return tuple((name, value) for name, value in headers if isinstance(value, bytes))
    return tuple(
        (name, value if isinstance(value, bytes) else variables.bind(value, HEADER_VALUE, Line))
        for name, value in headers
    )


def _as_told(request: AuthRequest, wait: Wait) -> AuthRequest:
    """The request with the values that WAIT has replaced."""
    login = request.login
    told = replace(
        login,
        name=login.name if wait.login is None else wait.login,
        password=login.password if wait.password is None else wait.password,
    )
    return replace(request, login=told)


def _carry_over(wait: Wait, verdict: Verdict) -> Verdict:
    """The verdict with the values that WAIT has replaced, unless `verdict` replaces them itself."""
    login = wait.login if verdict.login is None else verdict.login
    if isinstance(verdict, Rejected):
        return replace(verdict, login=login)
    return replace(verdict, login=login, password=wait.password if verdict.password is None else verdict.password)
