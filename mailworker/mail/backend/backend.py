"""Logging in to the backend in the client's name (nginx's ngx_mail_proxy_module)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from mailworker.errors import ConnectionLost, Party, PeerError, ProtocolError
from mailworker.event.stream import SocketStream
from mailworker.mail.client.client import Client
from mailworker.mail.server import Server
from mailworker.mail.session_log import SessionLog
from mailworker.tls.backend import TlsPeer
from mailworker.wire.backend import Reply, ReplyReader
from mailworker.wire.identity import Identity, hops_left
from mailworker.wire.login import Login
from mailworker.wire.secret import Secret

_READING = "reading response from upstream"


class TlsRefused(ProtocolError):
    """The backend may not be told a password over this TLS connection."""

    def __init__(self, text: str) -> None:
        super().__init__(Party.BACKEND, text)


class Misconfigured(ProtocolError):
    """Nobody can log in at the backend before its administrator, or ours, has changed a setting."""

    def __init__(self, text: str) -> None:
        super().__init__(Party.BACKEND, text)


class Unsafe(ProtocolError):
    """Through the backend a client could do what it must not; `answer` is what the client is told before it has to go.

    `known`: the log tells of that backend already.
    """

    def __init__(self, text: str, answer: bytes, *, known: bool) -> None:
        super().__init__(Party.BACKEND, text)
        self.answer = answer
        self.known = known


class Wanted(NamedTuple):
    """What a reply must be for the login to go on.

    The usual one, which comes whole, has a last line that starts with `last`, and lines before it that start with
    `others`, None where there are none; keywords are in capitals. `expect` has to take it, and tells of any other
    reply; it raises InvalidReply.
    `command` is how the log calls what was asked, None for the greeting.
    """

    last: bytes
    others: bytes | None
    command: str | None
    expect: Callable[[Reply], None]


Step = tuple[bytes | None, Wanted]
"""A command, None for the greeting, and what its reply must be."""


def anything(_reply: Reply) -> None:
    """The caller knows more of what the reply must be, or it is the client's to judge."""


def needed_password(login: Login) -> Secret:
    """Raises ProtocolError where nobody has sent one."""
    if login.password is None:
        raise ProtocolError(Party.BACKEND, "no password available")
    return login.password


class Backend:
    """A backend during the login of a `client` of `server`: one command at a time, and the whole of its reply.

    `greeted` tells whether it has said its first words already, which `greeting` are; empty unless kept by `greet`.
    """

    __slots__ = ("_limit", "_reader", "_stream", "client", "greeted", "greeting", "log", "server")

    def __init__(
        self,
        stream: SocketStream,
        new_reader: Callable[[int], ReplyReader],
        client: Client,
        server: Server,
        log: SessionLog,
    ) -> None:
        self.client = client
        self.server = server
        self.log = log
        self._limit = server.settings.proxy.buffer
        self._stream = stream
        self._reader = new_reader(self._limit)
        self.greeted = False
        self.greeting = b""

    async def start_tls(self, peer: TlsPeer) -> None:
        """Encrypt what follows; the greeting, if it came in clear, will not come again.

        Raises TlsRefused for a backend that may not be told a password, and for one that has sent more than its
        go-ahead: who adds to it in clear must not be heard as if it were said in TLS (CVE-2026-1642).
        """
        self.log.action = "SSL handshaking to upstream"
        if self._reader.rest():
            raise TlsRefused("upstream sent data before SSL handshake")
        self.greeted = self._reader.renew()
        await self._stream.start_tls(peer)
        tls = self._stream.tls
        assert tls is not None
        if self.log.verbose:
            self.log.debug(f"{tls.protocol} with {tls.cipher}{', resumed' if tls.reused else ''}")
        refusal = peer.refusal(tls)
        if refusal is not None:
            raise TlsRefused(refusal)
        self.log.action = _READING

    def remember(self, peer: TlsPeer) -> None:
        """Spare later connections to the backend a part of the handshake."""
        if self._stream.tls is not None:
            peer.remember(self._stream.tls)

    async def greet(self, wanted: Wanted) -> bytes:
        """Keep the greeting, and give it, should it have come in clear before TLS. Raises as `converse` does."""
        if not self.greeted:
            self.greeting = (await self.converse((None, wanted))).data
            self.greeted = True
        return self.greeting

    def identity(self, client_id: bytes = b"") -> Identity:
        """Who the client is; `client_id` is what it has sent in ID. Raises ProtocolError for proxies in a circle."""
        return self.client.identity(self.log.session_id, hops_left(client_id))

    async def converse(self, *steps: Step) -> Reply:
        """Send each command as soon as the reply to the one before it is what is wanted; gives the last reply.

        Raises ConnectionLost, TimedOut, TooLongReply and InvalidReply.
        """
        if self.greeted and steps[0][0] is None:
            steps = steps[1:]
        if self._stream.tls is None and not self._reader.unread:
            try:
                done, data = await self._stream.exchange(self._limit, steps)
            except PeerError as error:
                self._prepare_all(steps, self._stream.step)
                if isinstance(error, ConnectionLost) and error.call == "recv()":
                    self.log.action = _READING
                raise
            if not data or self.log.verbose:
                self._prepare_all(steps, done)
            self._reader.skip(done)
            if done == len(steps):
                self.log.action = _READING
                return Reply(data)
            self._take(data)
        else:
            done = 0
            await self._say(*steps[0])
        reply = await self._reply()
        steps[done][1].expect(reply)
        for command, wanted in steps[done + 1 :]:
            await self._say(command, wanted)
            reply = await self._reply()
            wanted.expect(reply)
        return reply

    def rest(self) -> bytes:
        """What the backend has sent beyond its last reply, for the client."""
        return self._reader.rest()

    def prepare(self, wanted: Wanted) -> None:
        """What goes wrong from now on belongs to this command."""
        if wanted.command is not None:
            self.log.action = f"sending {wanted.command} to upstream"
            if self.log.verbose:
                self.log.debug("login goes on")

    async def _say(self, command: bytes | None, wanted: Wanted) -> None:
        self.prepare(wanted)
        if command is not None:
            await self._stream.write(command)

    def _prepare_all(self, steps: tuple[Step, ...], last: int) -> None:
        for _, wanted in steps[: last + 1]:
            self.prepare(wanted)

    async def _reply(self) -> Reply:
        while (reply := self._reader.next()) is None:
            try:
                data = await self._stream.read(self._limit)
            except ConnectionLost:
                self.log.action = _READING
                raise
            self._take(data)
        return reply

    def _take(self, data: bytes) -> None:
        if not data:
            raise ConnectionLost(Party.BACKEND, "recv()", 0)
        self.log.action = _READING
        if not self._reader.begun:
            self.log.greeted()
        self._reader.feed(data)
