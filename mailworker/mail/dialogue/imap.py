"""The IMAP dialogue before login (RFC 9051), as in nginx."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailworker.errors import escape
from mailworker.event.stream import Stream
from mailworker.mail.dialogue.dialogue import Dialogue, Move
from mailworker.mail.dialogue.offer import Refused
from mailworker.mail.dialogue.sasl import exchange, usual_login
from mailworker.mail.end import End
from mailworker.mail.server import Server
from mailworker.mail.session_log import SessionLog
from mailworker.model import AuthMethod
from mailworker.native.core import accelerator
from mailworker.wire.auth_response import Rejected
from mailworker.wire.imap import Continuation, ImapCommand, ImapParser, ImapVerb, login_words
from mailworker.wire.imap import usual_login as usual_command
from mailworker.wire.imap_id import by_name
from mailworker.wire.login import Login
from mailworker.wire.secret import Secret

__all__ = ["ImapDialogue", "first_login", "login_words"]

if accelerator is not None and not TYPE_CHECKING:
    login_words = accelerator.login_words


def first_login(_heard: bytes | None, words: bytes) -> Login | None:
    """See `Protocol.first_login`: the usual LOGIN, if a client sends nothing before it and nothing after it."""
    found = login_words(words)
    if found is None:
        return None
    tag, name, password = found
    login = usual_login(name, password)
    login.tag = tag
    return login


class ImapDialogue(Dialogue[ImapCommand | Continuation]):
    """See `Dialogue`. `client_id` is the client's description of itself in its first ID; empty before that."""

    __slots__ = ("client_id",)

    internal_error = b"* BAD internal server error\r\n"
    certificate_error = b"* BYE SSL certificate error\r\n"
    no_certificate = b"* BYE No required SSL certificate\r\n"

    def __init__(self, client: Stream, server: Server, log: SessionLog) -> None:
        super().__init__(client, server, log, ImapParser(server.settings.dialogue.client_buffer))
        self.client_id = b""

    def admit(self, command: ImapCommand | Continuation) -> None:
        if isinstance(command, ImapCommand):
            self.tag = command.tag
            self.count_command()

    def usual(self, words: bytes) -> ImapCommand | None:
        return None if self._fed else usual_command(words)

    def obey(self, command: ImapCommand | Continuation) -> Move:
        if isinstance(command, Continuation):
            return b"+ OK\r\n"
        match command.verb:
            case ImapVerb.LOGIN:
                return self._login(command.arguments)
            case ImapVerb.AUTHENTICATE:
                return self._authenticate(command.arguments)
            case ImapVerb.STARTTLS:
                return self.accept_starttls()
            case _:
                return self._untagged(command) + self._tagged(b"OK completed")

    def go_ahead(self) -> bytes:
        return self._tagged(b"OK completed")

    def invalid(self) -> bytes:
        return self._tagged(b"BAD invalid command")

    def rejection(self, verdict: Rejected) -> bytes:
        return self._tagged(b"NO " + verdict.text)

    def challenge(self, text: bytes) -> bytes:
        return b"+ %b\r\n" % text

    def as_told(self, login: Login) -> Login:
        login.tag = self.tag or b""
        login.client_id = self.client_id
        return login

    def begin_tls(self) -> None:
        super().begin_tls()
        self.client_id = b""

    def _untagged(self, command: ImapCommand) -> bytes:
        match command.verb:
            case ImapVerb.CAPABILITY:
                return self.capabilities
            case ImapVerb.ID:
                self._introduced(*command.arguments)
                return b"* ID %b\r\n" % self.server.settings.dialogue.identity
            case ImapVerb.LOGOUT:
                self.over = End.QUIT
                return b"* BYE Logging out\r\n"
            case _:
                return b""

    def _introduced(self, identity: bytes) -> None:
        """Log and keep the first ID only: a client may send many, and each would be a line of the log."""
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

    def _authenticate(self, arguments: tuple[bytes, ...]) -> Move:
        self.demand_tls()
        if not arguments:
            raise Refused("AUTHENTICATE without a mechanism")
        return self.respond(exchange(self, arguments))

    def _tagged(self, text: bytes) -> bytes:
        return b"%b %b\r\n" % (b"*" if self.tag is None else self.tag, text)
