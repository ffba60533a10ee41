"""Logging in to the backend in the client's name (nginx's ngx_mail_proxy_module)."""

from __future__ import annotations

from dataclasses import dataclass

from mailworker.config.settings import Address, ProxySettings
from mailworker.errors import ConnectionLost, Party
from mailworker.event.stream import Stream
from mailworker.mail.dialogue.dialogue import Login
from mailworker.mail.session_log import SessionLog
from mailworker.wire.secret import Secret
from mailworker.wire.upstream import ImapReplyReader, Pop3ReplyReader, Reply, SmtpReplyReader

ReplyReader = ImapReplyReader | Pop3ReplyReader | SmtpReplyReader


@dataclass(slots=True)
class Introduction:
    """Who logs in, and what the backend is told of them.

    `login` is what the client asked for; `name` and `password` may be the auth service's. `client_host` is the
    name found for `client`, or "[UNAVAILABLE]".
    """

    login: Login
    name: bytes
    password: Secret | None
    client: Address
    client_host: bytes
    server_name: bytes
    proxy: ProxySettings


class Upstream:
    """A backend during login: one command at a time, and the whole of its reply."""

    __slots__ = ("_limit", "_log", "_reader", "stream")

    def __init__(self, stream: Stream, reader: ReplyReader, limit: int, log: SessionLog) -> None:
        self.stream = stream
        self._reader = reader
        self._limit = limit
        self._log = log

    def prepare(self, what: str) -> None:
        """What goes wrong from now on belongs to a command that the log calls `what`."""
        self._log.action = f"sending {what} to upstream"
        if self._log.verbose:
            self._log.debug("login goes on")

    async def ask(self, command: bytes, what: str) -> Reply:
        """Send `command`, which the log calls `what`, and give the reply.

        Raises ConnectionLost, TimedOut and TooLongReply.
        """
        self.prepare(what)
        await self.stream.write(command)
        return await self.reply()

    async def reply(self) -> Reply:
        """The next reply; the first one is the greeting."""
        while (reply := self._reader.next()) is None:
            try:
                data = await self.stream.read(self._limit)
            except ConnectionLost:
                self._log.action = "reading response from upstream"
                raise
            if not data:
                raise ConnectionLost(Party.UPSTREAM, "recv()", 0)
            self._log.action = "reading response from upstream"
            self._reader.feed(data)
        return reply

    def rest(self) -> bytes:
        """What the backend has sent beyond its last reply, for the client."""
        return self._reader.rest()
