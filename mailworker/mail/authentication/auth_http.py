"""Authentication by an HTTP service (nginx's auth_http).

Each attempt has a connection of its own, unless `auth_http_keepalive` keeps some open for later ones.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace

from mailworker.config.auth_http import AuthHttpSettings
from mailworker.errors import ConnectionLost, Party, PeerError, ProtocolError, TimedOut
from mailworker.event import sockets
from mailworker.event.plan import UNKNOWN, Link, Plan
from mailworker.event.stream import SocketStream
from mailworker.mail.authentication.idle import IdleConnections
from mailworker.mail.authentication.source import Applicant
from mailworker.native.core.line import Line
from mailworker.variables.render import Render
from mailworker.variables.template import Template
from mailworker.variables.variables import Variables
from mailworker.wire.auth_answers import Answer, Answers
from mailworker.wire.auth_request import HEADER_VALUE, AuthHttpTemplate, AuthRequest
from mailworker.wire.auth_response import InvalidResponse, Rejected, Verdict, Wait

# Each login needs it, and Python 3.11 takes some 850 instructions to find a member in its enum.
_AUTH_SERVICE = Party.AUTH_SERVICE

_READ_SIZE = 4096
# Bytes that go in one packet on any network.
_SEGMENT = 1200
# A service that answers WAIT for ever would hold the session for ever; nginx asks it for ever.
_MOST_WAITS = 100


class AuthHttp:
    """See `LoginSource`."""

    __slots__ = ("action", "answers", "authzid", "idle", "name", "settings", "template", "told")

    kind = "http"

    def __init__(
        self,
        settings: AuthHttpSettings,
        answers: Answers,
        variables: Variables | None = None,
        told: Collection[str] = (),
    ) -> None:
        """`answers` reads those of the service. `variables` are those that values of headers hold, None for none.

        `told` are the headers of answers that somebody asks for, in lower case with "_" for "-".
        """
        self.settings = settings
        self.answers = answers
        self.told = told
        self.idle = IdleConnections(settings.keepalive)
        self.template = AuthHttpTemplate(
            settings.uri, settings.host, _bound(settings.headers, variables), keepalive=settings.keepalive > 0
        )
        self.name = settings.name
        self.action = "in http auth state"
        self.authzid = settings.authzid

    def judge(self, request: AuthRequest, applicant: Applicant) -> Link:
        """See `LoginSource.judge`."""
        return _Question(self, request, applicant).ask()

    def close(self) -> None:
        """See `LoginSource.close`."""
        self.idle.close()


class _Question:
    """One login that the service is asked about, as often as it says WAIT."""

    __slots__ = ("_applicant", "_asked", "_head", "_request", "_reused", "_service", "_stream", "_wait", "_waits")

    _head: bytes
    _reused: bool
    _stream: SocketStream

    def __init__(self, service: AuthHttp, request: AuthRequest, applicant: Applicant) -> None:
        self._service = service
        self._asked = self._request = request
        self._applicant = applicant
        self._wait: Wait | None = None  # the last one
        self._waits = 0

    def ask(self) -> Link:
        """The link that asks, and comes to the verdict."""
        service = self._service
        self._head = service.template.request(self._request)
        idle = service.idle.take(self._applicant.connections) if service.settings.keepalive else None
        self._reused = idle is not None
        return self._say(idle)

    def _say(self, idle: SocketStream | None) -> Link:
        """The link that asks on a connection that is there, or on a new one."""
        settings, connections, head = self._service.settings, self._applicant.connections, self._head
        self._stream = stream = connections.connect(settings.address, _AUTH_SERVICE) if idle is None else idle
        stream.deadline = connections.loop.now + settings.timeout
        if len(head) > _SEGMENT:
            sockets.no_delay(stream.descriptor)  # else its end may wait for an acknowledgment of its beginning
        return Plan(stream, _READ_SIZE, ((head, UNKNOWN),), self._heard, self._lost)

    def _heard(self, _usual: int, data: bytes) -> Link:
        if not data:
            return self._lost(ConnectionLost(_AUTH_SERVICE, "recv()", 0))
        try:
            answer = None if self._service.told else self._service.answers.read(data)
        except InvalidResponse as error:
            return self._broken(error)
        if answer is None:
            return self._read_on(data)
        if self._service.settings.keepalive:
            return self._finish(answer) if answer.body else self._settle(answer, whole=answer.body == 0)
        return self._settle(answer, whole=False)

    async def _read_on(self, data: bytes) -> Link:
        """An answer that does not come whole, or whose headers somebody asks for."""
        parser = self._service.answers.parser()
        parser.feed(data)
        try:
            while (verdict := parser.next()) is None:
                data = await self._stream.read(_READ_SIZE)
                if not data:
                    raise ConnectionLost(_AUTH_SERVICE, "recv()", 0)
                parser.feed(data)
        except PeerError as error:
            return self._broken(error)
        if self._service.told:
            self._asked.answer = parser.headers(self._service.told)
        return await self._finish(Answer(verdict, parser.missing()))

    async def _finish(self, answer: Answer) -> Link:
        """Read what is left of a response whose verdict is known, where its connection can be used again."""
        missing = answer.body if self._service.settings.keepalive else None
        with suppress(ConnectionLost, TimedOut):
            while missing:
                data = await self._stream.read(min(missing, _READ_SIZE))
                missing = missing - len(data) if data else None
        return self._settle(answer, whole=missing == 0)

    def _settle(self, answer: Answer, *, whole: bool) -> Link:
        if whole:
            self._service.idle.keep(self._applicant.connections, self._stream)
        self._stream.close()
        verdict = answer.verdict
        if self._wait is not None:
            verdict = _carry_over(self._wait, verdict)
        return self._pause(verdict) if isinstance(verdict, Wait) else self._applicant.judged(verdict)

    async def _pause(self, wait: Wait) -> Link:
        self._waits += 1
        if self._waits > _MOST_WAITS:
            raise ProtocolError(_AUTH_SERVICE, "sent WAIT too many times")
        await self._applicant.pause(wait.seconds)
        self._request = _as_told(self._request, wait)
        self._wait = wait
        return self.ask()

    def _broken(self, error: PeerError) -> Link:
        self._stream.close()
        if isinstance(error, InvalidResponse) and error.login is not None:
            self._applicant.log.login = error.login
        return self._applicant.fail(error)

    def _lost(self, error: PeerError) -> Link:
        self._stream.close()
        if not isinstance(error, ConnectionLost):
            return self._applicant.fail(error)
        if self._reused and not self._stream.received:
            self._reused = False  # the service closed it when we had just begun, as it may (RFC 9112 section 9.3.1)
            return self._say(None)
        # As nginx reports it, which meets a refused connection when it reads.
        return self._applicant.fail(ConnectionLost(error.party, "recv()", error.errno))


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
    """The request with what WAIT has replaced in it."""
    login = request.login
    told = replace(
        login,
        name=login.name if wait.login is None else wait.login,
        password=login.password if wait.password is None else wait.password,
    )
    return replace(request, login=told)


def _carry_over(wait: Wait, verdict: Verdict) -> Verdict:
    """What WAIT has replaced stays replaced, unless `verdict` does it again."""
    login = wait.login if verdict.login is None else verdict.login
    if isinstance(verdict, Rejected):
        return replace(verdict, login=login)
    return replace(verdict, login=login, password=wait.password if verdict.password is None else verdict.password)
