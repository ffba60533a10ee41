"""The record of a session whose variables are used: it is told of each event.

native/mail/facts.c implements in C the parts that run for each login.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from mailworker.errors import PeerError
from mailworker.event.poller import READ, WRITE
from mailworker.event.sockets import peek
from mailworker.event.stream import SocketStream
from mailworker.log.access import LineSink
from mailworker.log.access_logs import ReadyLog, write_lines
from mailworker.mail.client.client import Client
from mailworker.mail.client.host import UNAVAILABLE
from mailworker.mail.end import End
from mailworker.mail.record import SessionRecord
from mailworker.mail.session_facts import Rare, SessionFacts, Who
from mailworker.native.core import accelerator
from mailworker.wire.auth_response import Accepted, Rejected
from mailworker.wire.login import Login


class FactsRecord(SessionFacts):
    """The record of a session whose facts are used: it is told of each event, and writes the access logs."""

    __slots__ = ()

    def come_from(self, client: str, port: int | None) -> None:
        """See `SessionLog`."""
        self.client = client
        self.port = port

    def learn(self, client: Client) -> None:
        """Keep what is known about the client besides its address: its name, a PROXY header."""
        self.who = client

    def shaken_hands(self, seconds: float) -> None:
        """Note the duration of the client's handshake."""
        if self.entrance.server.asks_for_handshake:
            self._rare().handshake = seconds

    def attempt(self, login: Login, number: int) -> None:
        """Note that the `number`-th attempt to log in begins."""
        self.attempts = number
        self.auth_user = login.name
        self.method = login.method
        if login.helo or login.client_id or login.envelope is not None:
            self._introduce(login)

    def _introduce(self, login: Login) -> None:
        rare = self._rare()
        rare.helo, rare.client_id, rare.envelope = login.helo, login.client_id, login.envelope

    def settle(
        self, verdict: Accepted | Rejected, headers: Mapping[str, bytes] | None, began: float
    ) -> Accepted | Rejected:
        """Note the verdict on the attempt that `began` then; gives it, with a backend added if it names none.

        `headers` are the headers of the answer that variables use. Raises ProtocolError if there is no backend.
        """
        entrance = self.entrance
        now = entrance.sessions.loop.now
        self.auth_ms = int((now - began) * 1000 + 0.5)
        if headers is not None:
            self._keep_headers(headers)
        if not verdict.accepted:
            return verdict
        if verdict.address is None and entrance.server.backend is not None:
            verdict = self._choose(verdict)
        self.started = now
        return verdict

    def _keep_headers(self, headers: Mapping[str, bytes]) -> None:
        self._rare().headers = headers

    def _choose(self, verdict: Accepted) -> Accepted:
        """Add the backend that the configuration names."""
        choose = self.entrance.server.backend
        assert choose is not None
        self.action = "choosing upstream"
        return replace(verdict, address=choose(self))

    async def follow_try(self, stream: SocketStream) -> None:
        """Wait for those times of a connection, made or pending, that variables use. Raises TimedOut."""
        server, loop, rare, started = self.entrance.server, self.entrance.sessions.loop, self._rare(), self.started
        assert started is not None
        used = server.settings.access_log.used
        if "upstream_connect_time" in used:
            await stream.wait(WRITE)
            rare.connect = loop.now - started if stream.connected else None
        if "upstream_first_byte_time" in used and server.backend_tls is None:
            await stream.wait(READ)
            rare.first_byte = loop.now - started if stream.connected and peek(stream.descriptor, 1) else None

    def greeted(self) -> None:
        """See `SessionLog`."""
        if self.started is not None and "upstream_first_byte_time" in self.entrance.server.settings.access_log.used:
            rare = self._rare()
            rare.first_byte = rare.first_byte or self.entrance.sessions.loop.now - self.started

    def gave_up(self, error: PeerError) -> None:
        """See `SessionLog`."""
        self._end_try()
        self.started = self.entrance.sessions.loop.now
        super().gave_up(error)

    def limit_connections(self, status: bytes) -> None:
        """Note the result of `limit_conn`."""
        self._rare().limit_conn = status

    def limit(self, status: bytes, zone: bytes) -> None:
        """Note the result of `limit_auth` for the attempt, and its zone."""
        self._rare().limited = status, zone

    def refuse(self, rejected: Rejected) -> None:
        """See `SessionRecord`."""
        self._end_try()
        super().refuse(rejected)
        rare = self._rare()
        rare.refused_for_now = rejected.temporary
        if not rejected.temporary:
            rare.refusals += 1
        logs = self.entrance.server.access_logs.at_failure
        if logs:
            self.report("failure", logs)

    def log_in(self) -> None:
        """Note that the client is logged in, and drop what the relay does not need."""
        entrance, started = self.entrance, self.started
        assert started is not None
        self.login_ms = int((entrance.sessions.loop.now - started) * 1000 + 0.5)
        logs = entrance.server.access_logs.at_login
        if logs:
            self.report("login", logs)
        self.started = None
        if self.who is not None:
            self._keep_who()

    def _keep_who(self) -> None:
        who = self.who
        assert who is not None
        plain = who.proxy_header is None and who.host is UNAVAILABLE and self.port is not None
        self.who = None if plain else Who(who.peer, who.host, who.proxy_header)

    def end(self, reason: End) -> None:
        """See `SessionRecord`."""
        if self.reason is None:
            SessionRecord.end(self, reason)
            logs = self.entrance.server.access_logs.at_end
            if logs and (self.client_bytes.received or self._is_logged(reason)):
                self.report("end", logs)

    def _is_logged(self, reason: End) -> bool:
        """Whether the session is logged; one without a byte from its client may not be."""
        return not (reason in _SILENT and self._is_null)

    def report(self, event: str, logs: tuple[ReadyLog, ...]) -> None:
        """Write the lines of these logs about an event of the session. Raises nothing."""
        lines = self.entrance.sessions.lines
        if lines is None:
            return
        self.event = event
        try:
            write_lines(logs, self, lines)
        except Exception as error:
            self._misreport(error)

    def _write_line(self, log: ReadyLog, lines: LineSink) -> None:
        write_lines((log,), self, lines)

    def _misreport(self, error: Exception) -> None:
        if isinstance(error, PeerError):  # a variable's regular expression takes too long for the client's data
            self.info(str(error))
        else:
            self.bug(error)

    @property
    def _is_null(self) -> bool:
        """Whether a session without a byte from its client need not be logged."""
        stream = self.client_bytes
        if self.entrance.server.access_logs.null_sessions:
            return False
        return self.reason is not End.TLS_TIMEOUT or not (stream.tls and stream.tls.received)

    def _rare(self) -> Rare:
        rare = self.rare
        if rare is None:
            self.rare = rare = Rare()
        return rare

    def _end_try(self) -> None:
        """Finish the current try of a backend, if there is one."""
        if self.started is not None and self.backend is not None:
            rare = self._rare()
            rare.tries.append(self.last_try())
            rare.connect = rare.first_byte = None
        self.started = None


# The ends that make a session a null session if the client has sent nothing.
_SILENT: Final = (End.NO_BYTES, End.CLIENT_LEFT, End.CLIENT_TIMEOUT, End.TLS_TIMEOUT, End.SHUTDOWN)


if accelerator is not None:
    accelerator.note_facts(FactsRecord)
