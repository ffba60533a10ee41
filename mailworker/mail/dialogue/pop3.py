"""The POP3 dialogue before login (RFC 1939, 2449, 2595, 5034), as in nginx."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailworker.event.choice import NOTHING, WORD, Choice, Choices
from mailworker.event.stream import Stream
from mailworker.mail.capabilities import mechanisms
from mailworker.mail.dialogue.dialogue import AnyDialogue, Dialogue, Move
from mailworker.mail.dialogue.offer import NoLogin, Refused
from mailworker.mail.dialogue.sasl import by_plain, exchange, usual_login
from mailworker.mail.end import End
from mailworker.mail.server import Server
from mailworker.mail.session_log import SessionLog
from mailworker.model import AuthMethod
from mailworker.native.core import accelerator
from mailworker.wire.auth_response import Rejected
from mailworker.wire.login import Login
from mailworker.wire.pop3 import Pop3Command, Pop3Parser, Pop3Verb, pop3_words
from mailworker.wire.secret import Secret

__all__ = ["Pop3Dialogue", "first_login", "opening", "pop3_words"]

if accelerator is not None and not TYPE_CHECKING:
    pop3_words = accelerator.pop3_words

_OK = b"+OK\r\n"

# The commands that nginx accepts after USER, and no others.
_AFTER_USER = (Pop3Verb.PASS, Pop3Verb.CAPA, Pop3Verb.NOOP, Pop3Verb.QUIT)


def opening(capabilities: bytes) -> Choices:
    """See `Protocol.opening`."""
    user = Choice(b"USER ", WORD, _OK, ())
    plain = Choice(b"AUTH PLAIN", NOTHING, _challenge(b""), ())
    return user, plain, Choice(b"CAPA", NOTHING, capabilities, (user, plain))


def first_login(heard: bytes | None, words: bytes) -> Login | None:
    """See `Protocol.first_login`."""
    found = pop3_words(heard, words)
    if found is None:
        return None
    name, password, response = found
    return usual_login(name, password) if name else by_plain(response)


def _challenge(text: bytes) -> bytes:
    return b"+ %b\r\n" % text


class Pop3Dialogue(Dialogue[Pop3Command]):
    """See `Dialogue`. `_user` is the argument of USER until PASS comes, `_salt` the greeting's timestamp for APOP."""

    __slots__ = ("_lines", "_salt", "_user")

    internal_error = b"-ERR internal server error\r\n"
    certificate_error = b"-ERR SSL certificate error\r\n"
    no_certificate = b"-ERR No required SSL certificate\r\n"

    def __init__(self, client: Stream, server: Server, log: SessionLog) -> None:
        self._lines = Pop3Parser(server.settings.dialogue.client_buffer)
        super().__init__(client, server, log, self._lines)
        self._user: bytes | None = None
        self._salt: bytes | None = None

    def greeting(self) -> bytes:
        if self.server.capabilities.greeting is not None:
            return super().greeting()
        self._salt = self.new_salt()
        return b"%b %b\r\n" % (self.server.settings.dialogue.greeting.removesuffix(b"\r\n"), self._salt)

    def follow(self, earlier: AnyDialogue) -> None:
        super().follow(earlier)
        if isinstance(earlier, Pop3Dialogue):
            self._salt = earlier._salt

    def usual(self, words: bytes) -> Pop3Command | None:
        return self._lines.whole(words)

    def obey(self, command: Pop3Command) -> Move:
        if self._user is not None and command.verb not in _AFTER_USER:
            raise Refused(f"{command.verb.value.decode()} between USER and PASS")
        match command.verb:  # the commands of every login come first, as each case costs time
            case Pop3Verb.USER:
                return self._name(command.arguments)
            case Pop3Verb.PASS:
                return self._login(command.arguments)
            case Pop3Verb.APOP:
                return self._apop(command.arguments)
            case Pop3Verb.AUTH if command.arguments:
                self.demand_tls()
                return self.respond(exchange(self, command.arguments))
            case Pop3Verb.STLS:
                return self.accept_starttls()
            case _:
                return self._answer(command)

    def go_ahead(self) -> bytes:
        return _OK

    def invalid(self) -> bytes:
        return b"-ERR invalid command\r\n"

    def rejection(self, verdict: Rejected) -> bytes:
        return b"-ERR %b\r\n" % verdict.text

    def challenge(self, text: bytes) -> bytes:
        return _challenge(text)

    def start_over(self) -> None:
        super().start_over()
        self._user = None

    def _answer(self, command: Pop3Command) -> bytes:
        match command.verb:
            case Pop3Verb.CAPA:
                replies = self.server.capabilities
                return self.capabilities if self._user is None else replies.secure
            case Pop3Verb.AUTH:
                self.demand_tls()
                methods = mechanisms(self.server.settings.dialogue.auth)
                return b"\r\n".join([b"+OK methods supported:", *methods, b".", b""])
            case Pop3Verb.QUIT:
                self.over = End.QUIT
        return _OK

    def _name(self, arguments: tuple[bytes, ...]) -> bytes:
        self.demand_tls()
        if not arguments:
            raise Refused("USER without a name")
        self._user = self.log.login = arguments[0]
        return _OK

    def _login(self, arguments: tuple[bytes, ...]) -> Login:
        user, self._user = self._user, None
        if user is None or not arguments:
            raise Refused("PASS without USER" if user is None else "PASS without a password")
        return Login(AuthMethod.PLAIN, user, Secret(arguments[0]))

    def _apop(self, arguments: tuple[bytes, ...]) -> Login:
        self.demand_tls()
        if not self.enabled(AuthMethod.APOP):
            raise NoLogin("mechanism APOP is not enabled")
        if self._salt is None:  # another server has greeted
            raise NoLogin("APOP after a greeting without a timestamp")
        if len(arguments) != 2:
            raise Refused("APOP with invalid arguments")
        return Login(AuthMethod.APOP, arguments[0], Secret(arguments[1]), self._salt)
