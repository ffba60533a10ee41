"""The SMTP dialogue before mail is relayed (RFC 5321, 3207, 4954), as in nginx."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from mailworker.errors import TimedOut, escape
from mailworker.event.choice import BASE64, NOTHING, WORD, Choice, Choices
from mailworker.event.stream import Stream
from mailworker.mail.dialogue.complaints import tell_refusal
from mailworker.mail.dialogue.dialogue import AnyDialogue, Dialogue, Move
from mailworker.mail.dialogue.offer import Refused
from mailworker.mail.dialogue.sasl import by_login, by_plain, exchange
from mailworker.mail.end import End
from mailworker.mail.server import Server
from mailworker.mail.session_log import SessionLog
from mailworker.model import AuthMethod
from mailworker.native.core import accelerator
from mailworker.wire.auth_response import Rejected
from mailworker.wire.confidential import without_secrets
from mailworker.wire.login import Login, SmtpEnvelope
from mailworker.wire.sasl import PASSWORD_PROMPT, USERNAME_PROMPT
from mailworker.wire.smtp import SmtpCommand, SmtpParser, SmtpVerb, smtp_words

__all__ = ["SmtpDialogue", "first_login", "opening", "smtp_words"]

if accelerator is not None and not TYPE_CHECKING:
    smtp_words = accelerator.smtp_words

_OK = b"250 2.0.0 OK\r\n"
_INVALID_ARGUMENT = b"501 5.5.4 Invalid argument\r\n"
_BAD_SEQUENCE = b"503 5.5.1 Bad sequence of commands\r\n"
_AUTH_REQUIRED = b"530 5.7.1 Authentication required\r\n"
_TOO_EARLY = b"503 5.5.0 Improper use of SMTP command pipelining\r\n"

# The most bytes that are logged of a line that a client sends before the greeting.
_EARLY_SIZE = 4096


def opening(capabilities: bytes) -> Choices:
    """See `Protocol.opening`."""
    name = Choice(b"", BASE64, _challenge(PASSWORD_PROMPT), ())
    login = Choice(b"AUTH LOGIN", NOTHING, _challenge(USERNAME_PROMPT), (name,))
    plain = Choice(b"AUTH PLAIN", NOTHING, _challenge(b""), ())
    return (Choice(b"EHLO ", WORD, capabilities, (plain, login)),)


def first_login(heard: bytes | None, words: bytes) -> Login | None:
    """See `Protocol.first_login`."""
    found = smtp_words(heard, words)
    if found is None:
        return None
    helo, response, name, password = found
    login = by_plain(response) if response else by_login(name, password)
    if login is not None:
        login.helo, login.esmtp = helo, True
    return login


def _challenge(text: bytes) -> bytes:
    return b"334 %b\r\n" % text


class SmtpDialogue(Dialogue[SmtpCommand]):
    """See `Dialogue`.

    `helo` is the argument of the last HELO or EHLO, empty before it; `esmtp` tells whether there has been any EHLO.
    `mail` is the MAIL command as received, None before it.
    """

    __slots__ = ("_lines", "esmtp", "helo", "mail")

    internal_error = b"451 4.3.2 Internal server error\r\n"
    certificate_error = b"421 4.7.1 SSL certificate error\r\n"
    no_certificate = b"421 4.7.1 No required SSL certificate\r\n"

    def __init__(self, client: Stream, server: Server, log: SessionLog) -> None:
        self._lines = SmtpParser(server.settings.dialogue.client_buffer)
        super().__init__(client, server, log, self._lines)
        self.helo = b""
        self.esmtp = False
        self.mail: bytes | None = None

    async def hold_back(self) -> None:
        delay = self.server.settings.dialogue.greeting_delay
        if delay:
            self.over = await self._hold_back(delay)

    def usual(self, words: bytes) -> SmtpCommand | None:
        return self._lines.whole(words)

    def obey(self, command: SmtpCommand) -> Move:
        match command.verb:  # the commands of every login come first, as each case costs time
            case SmtpVerb.AUTH if command.arguments:
                self.demand_tls()
                return self.respond(exchange(self, command.arguments))
            case SmtpVerb.EHLO:
                return self._ehlo(command)
            case SmtpVerb.RCPT:
                return self._rcpt(command)
            case SmtpVerb.STARTTLS:
                return self.accept_starttls()
            case _:
                return self._answer(command)

    def go_ahead(self) -> bytes:
        return b"220 2.0.0 Start TLS\r\n"

    def invalid(self) -> bytes:
        return b"500 5.5.1 Invalid command\r\n"

    def rejection(self, verdict: Rejected) -> bytes:
        return b"%b %b\r\n" % (verdict.code, verdict.text)

    def challenge(self, text: bytes) -> bytes:
        return _challenge(text)

    def as_told(self, login: Login) -> Login:
        login.helo, login.esmtp = self.helo, self.esmtp
        return login

    def follow_login(self, login: Login, heard: bytes | None) -> None:
        super().follow_login(login, heard)
        self.helo, self.esmtp = login.helo, login.esmtp

    def follow(self, earlier: AnyDialogue) -> None:
        super().follow(earlier)
        if isinstance(earlier, SmtpDialogue):
            self.esmtp = earlier.esmtp

    def begin_tls(self) -> None:
        super().begin_tls()
        self.helo, self.mail = b"", None

    async def _hold_back(self, delay: float) -> End | None:
        """Wait for `delay` seconds; gives the end of a client that did not wait, such as a spammer, else None."""
        self.log.action = "in delay pipelining state"
        self.client.deadline = monotonic() + delay
        try:
            early = await self.client.read(_EARLY_SIZE)
        except TimedOut:
            self.client.deadline = monotonic() + self.server.settings.timeout
            return None
        if not early:
            return End.NO_BYTES
        self.log.info(f'client was rejected before greeting: "{_shown(without_secrets(early))}"')
        await self.client.write(_TOO_EARLY)
        return End.PREGREET

    def _answer(self, command: SmtpCommand) -> bytes:
        match command.verb:
            case SmtpVerb.HELO:
                return self._helo(command)
            case SmtpVerb.MAIL:
                return self._mail(command)
            case SmtpVerb.AUTH:
                self.demand_tls()
                return self._refused("AUTH without a mechanism")
            case SmtpVerb.NOOP:
                return _OK
            case SmtpVerb.RSET:
                self.mail = None
                return _OK
            case SmtpVerb.QUIT:
                self.over = End.QUIT
                return b"221 2.0.0 Bye\r\n"
            case _:
                raise Refused(command.verb.value.decode())  # HELP, VRFY and EXPN are recognized, but never executed

    def _ehlo(self, command: SmtpCommand) -> bytes:
        if not self._greeted(command):
            return self._refused("EHLO with an invalid argument")
        self.esmtp = True
        return self.capabilities

    def _helo(self, command: SmtpCommand) -> bytes:
        if not self._greeted(command):
            return self._refused("HELO with an invalid argument")
        return b"250 %b\r\n" % self.server.settings.server_name

    def _greeted(self, command: SmtpCommand) -> bool:
        """Take the argument of HELO or EHLO, which resets the session; False if there is no valid one.

        Postfix and Dovecot accept several words, too: printers send their model's name, desktops that of their owner.
        """
        if not command.arguments or command.has_control:
            return False
        self.helo = b" ".join(command.arguments)
        self.mail = None
        return True

    def _mail(self, command: SmtpCommand) -> bytes:
        if not self.enabled(AuthMethod.NONE) or (self.server.starttls_only and not self.secure):
            self.log.info(f'client was rejected: "{_shown(command.line + command.end)}"')
            self.complaints = self.complaints or 1
            return _AUTH_REQUIRED
        if self.mail is not None:
            return self._refused("MAIL behind MAIL", _BAD_SEQUENCE)
        if not command.arguments or command.has_control:
            return self._refused("MAIL with an invalid argument")
        self.mail = command.line
        return _OK

    def _rcpt(self, command: SmtpCommand) -> bytes | Login:
        if self.mail is None:
            return self._refused("RCPT without MAIL", _BAD_SEQUENCE)
        if not command.arguments or command.has_control:
            return self._refused("RCPT with an invalid argument")
        return self.as_told(Login(AuthMethod.NONE, b"", envelope=SmtpEnvelope(self.mail, command.line)))

    def _refused(self, what: str, answer: bytes = _INVALID_ARGUMENT) -> bytes:
        """Log what was refused; gives the answer."""
        tell_refusal(self, what)
        return answer


def _shown(line: bytes) -> str:
    """A line as nginx logs it: CR and LF are underscores."""
    return escape(line.replace(b"\r", b"_").replace(b"\n", b"_"))
