"""Authentication by an HTTP service (nginx's auth_http).

Each attempt has a connection of its own, unless `auth_http_keepalive` keeps some open for later ones.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from mailworker.config.auth_http import AuthHttpSettings
from mailworker.errors import ConnectionLost, Party, PeerError, ProtocolError
from mailworker.event import sockets
from mailworker.event.connections import Connections
from mailworker.event.stream import SocketStream, Stream
from mailworker.mail.authentication.idle import IdleConnections
from mailworker.mail.authentication.source import Pause
from mailworker.mail.session_log import SessionLog
from mailworker.variables.render import Render
from mailworker.variables.template import Template
from mailworker.variables.variables import Variables
from mailworker.wire.auth_answers import Answer, Answers
from mailworker.wire.auth_request import HEADER_VALUE, AuthHttpTemplate, AuthRequest
from mailworker.wire.auth_response import Accepted, InvalidResponse, Rejected, Verdict, Wait

_READ_SIZE = 4096
# Bytes that go in one packet on any network.
_SEGMENT = 1200
# A service that answers WAIT for ever would hold the session for ever; nginx asks it for ever.
_MOST_WAITS = 100


class AuthHttp:
    """See `LoginSource`."""

    __slots__ = ("_answers", "_idle", "_settings", "_template", "_told", "action", "authzid", "name")

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
        self._settings = settings
        self._answers = answers
        self._told = told
        self._idle = IdleConnections(settings.keepalive)
        self._template = AuthHttpTemplate(
            settings.uri, settings.host, _bound(settings.headers, variables), keepalive=settings.keepalive > 0
        )
        self.name = settings.name
        self.action = "in http auth state"
        self.authzid = settings.authzid

    async def authenticate(
        self, connections: Connections, request: AuthRequest, pause: Pause, log: SessionLog
    ) -> Accepted | Rejected:
        """See `LoginSource.authenticate`."""
        asked = request
        try:
            verdict = await self._ask(connections, request)
            for _ in range(_MOST_WAITS):
                if not isinstance(verdict, Wait):
                    asked.answer = request.answer
                    return verdict
                await pause(verdict.seconds)
                request = _as_told(request, verdict)
                verdict = _carry_over(verdict, await self._ask(connections, request))
        except InvalidResponse as error:
            if error.login is not None:
                log.login = error.login
            raise
        raise ProtocolError(Party.AUTH_SERVICE, "sent WAIT too many times")

    def close(self) -> None:
        """See `LoginSource.close`."""
        self._idle.close()

    async def _ask(self, connections: Connections, request: AuthRequest) -> Verdict:
        head = self._template.request(request)
        idle = self._idle.take(connections)
        if idle is not None:
            try:
                return await self._converse(connections, idle, head, request)
            except ConnectionLost:
                if idle.received:
                    raise
                # The service closed it when we had just begun, as it may (RFC 9112 section 9.3.1): ask once more.
        stream = connections.connect(self._settings.address, Party.AUTH_SERVICE)
        return await self._converse(connections, stream, head, request)

    async def _converse(
        self, connections: Connections, stream: SocketStream, head: bytes, request: AuthRequest
    ) -> Verdict:
        stream.deadline = connections.loop.now + self._settings.timeout
        if len(head) > _SEGMENT:
            sockets.no_delay(stream.descriptor)  # else its end may wait for an acknowledgment of its beginning
        try:
            try:
                await stream.write(head)
            except ConnectionLost as error:  # reported as by nginx, which meets a refused connection when it reads
                raise ConnectionLost(error.party, "recv()", error.errno) from None
            data = await _read(stream)
            known = None if self._told else self._answers.read(data)
            answer = known or await self._read_on(stream, data, request)
            if self._settings.keepalive and await _finish(stream, answer.body):
                self._idle.keep(connections, stream)
        finally:
            stream.close()
        return answer.verdict

    async def _read_on(self, stream: Stream, data: bytes, request: AuthRequest) -> Answer:
        """An answer that does not come whole, or whose headers somebody asks for."""
        parser = self._answers.parser()
        parser.feed(data)
        while (verdict := parser.next()) is None:
            parser.feed(await _read(stream))
        if self._told:
            request.answer = parser.headers(self._told)
        return Answer(verdict, parser.missing())


async def _read(stream: Stream) -> bytes:
    data = await stream.read(_READ_SIZE)
    if not data:
        raise ConnectionLost(Party.AUTH_SERVICE, "recv()", 0)
    return data


def _bound(
    headers: tuple[tuple[bytes, bytes | Template], ...], variables: Variables | None
) -> tuple[tuple[bytes, bytes | Render], ...]:
    """The headers with the functions that give their values."""
    if variables is None:
        return tuple((name, value) for name, value in headers if isinstance(value, bytes))
    return tuple(
        (name, value if isinstance(value, bytes) else variables.bind(value, HEADER_VALUE)) for name, value in headers
    )


async def _finish(stream: Stream, missing: int | None) -> bool:
    """Read what is `missing` of a response whose verdict is known; whether the connection can be used again."""
    if missing is None:
        return False
    try:
        while missing:
            data = await stream.read(min(missing, _READ_SIZE))
            if not data:
                return False
            missing -= len(data)
    except PeerError:
        return False
    return True


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
