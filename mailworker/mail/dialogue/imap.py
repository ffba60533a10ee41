"""The IMAP dialogue before login (RFC 9051), as nginx holds it."""

from __future__ import annotations

from mailworker.errors import escape
from mailworker.event.stream import Stream
from mailworker.mail.dialogue.dialogue import Dialogue, Refused, Request
from mailworker.mail.dialogue.sasl import exchange
from mailworker.mail.end import End
from mailworker.mail.server import Server
from mailworker.mail.session_log import SessionLog
from mailworker.model import AuthMethod
from mailworker.wire.auth_response import Rejected
from mailworker.wire.imap import Continuation, ImapCommand, ImapParser, ImapVerb
from mailworker.wire.imap_id import by_name
from mailworker.wire.login import Login
from mailworker.wire.secret import Secret


class ImapDialogue(Dialogue[ImapCommand | Continuation]):
    """See `Dialogue`. `client_id` is what the client says that it is, in its first ID; empty before that."""

    __slots__ = ("client_id",)

    internal_error = b"* BAD internal server error\r\n"
    certificate_error = b"* BYE SSL certificate error\r\n"
    no_certificate = b"* BYE No required SSL certificate\r\n"

    def __init__(self, client: Stream, server: Server, log: SessionLog) -> None:
        super().__init__(client, server, log, ImapParser(server.settings.dialogue.client_buffer))
        self.client_id = b""

    async def greet(self) -> None:
        settings = self.server.settings.dialogue
        if settings.greeting_capabilities:
            listed = self.capabilities.removeprefix(b"* ").rstrip(b"\r\n")
            await self.reply(b"* OK [%b] %b" % (listed, settings.greeting.removeprefix(b"* OK ")))
        else:
            await self.reply(settings.greeting)

    def admit(self, command: ImapCommand | Continuation) -> None:
        if isinstance(command, ImapCommand):
            self.tag = command.tag
            self.count_command()

    async def obey(self, command: ImapCommand | Continuation) -> Request | None:
        if isinstance(command, Continuation):
            await self.reply(b"+ OK\r\n")
            return None
        match command.verb:
            case ImapVerb.LOGIN:
                return self._login(command.arguments)
            case ImapVerb.AUTHENTICATE:
                return await self._authenticate(command.arguments)
            case ImapVerb.STARTTLS:
                return await self.accept_starttls()
            case ImapVerb.CAPABILITY:
                await self._complete(self.capabilities)
            case ImapVerb.NOOP:
                await self._complete()
            case ImapVerb.ID:
                self._introduced(*command.arguments)
                await self._complete(b"* ID %b\r\n" % self.server.settings.dialogue.identity)
            case ImapVerb.LOGOUT:
                self.over = End.QUIT
                await self._complete(b"* BYE Logging out\r\n")
        return None

    def go_ahead(self) -> bytes:
        return self._tagged(b"OK completed")

    def invalid(self) -> bytes:
        return self._tagged(b"BAD invalid command")

    def rejection(self, verdict: Rejected) -> bytes:
        return self._tagged(b"NO " + verdict.text)

    async def ask(self, challenge: bytes) -> bytes:
        await self.reply(b"+ %b\r\n" % challenge)
        return await self.response()

    def begin_tls(self) -> None:
        super().begin_tls()
        self.client_id = b""

    def _introduced(self, identity: bytes) -> None:
        """Only the first ID counts: a client may send many, and each would be a line of the log."""
        if not self.client_id:
            self.client_id = identity
            fields = (f'{escape(name)}="{escape(value)}"' for name, value in by_name(identity).items())
            self.log.info(f"client sent ID: {', '.join(fields) or 'NIL'}")

    def _login(self, arguments: tuple[bytes, ...]) -> Login:
        self.demand_tls()
        if len(arguments) != 2 or not arguments[0]:
            raise Refused("LOGIN with invalid arguments")
        tag = self.tag or b""
        return Login(AuthMethod.PLAIN, arguments[0], Secret(arguments[1]), tag=tag, client_id=self.client_id)

    async def _authenticate(self, arguments: tuple[bytes, ...]) -> Login:
        self.demand_tls()
        if not arguments:
            raise Refused("AUTHENTICATE without a mechanism")
        login = await exchange(self, arguments)
        login.tag, login.client_id = self.tag or b"", self.client_id
        return login

    async def _complete(self, untagged: bytes = b"") -> None:
        await self.reply(untagged + self._tagged(b"OK completed"))

    def _tagged(self, text: bytes) -> bytes:
        return b"%b %b\r\n" % (b"*" if self.tag is None else self.tag, text)
