"""The ManageSieve dialogue before login (RFC 5804)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mailworker.event.choice import NOTHING, Choice, Choices
from mailworker.event.stream import Stream
from mailworker.mail.dialogue.complaints import tell_refusal
from mailworker.mail.dialogue.dialogue import Dialogue, LoginRefused, Move
from mailworker.mail.dialogue.sasl import by_plain, exchange
from mailworker.mail.end import End
from mailworker.mail.server import Server
from mailworker.mail.session_log import SessionLog
from mailworker.native.core import accelerator
from mailworker.wire.auth_response import Rejected
from mailworker.wire.command import InvalidCommand
from mailworker.wire.confidential import INVALID
from mailworker.wire.login import Login
from mailworker.wire.sieve import SieveCommand, SieveParser, SieveVerb, sieve_words, string, text

__all__ = ["SieveDialogue", "first_login", "opening", "sieve_words"]

if accelerator is not None and not TYPE_CHECKING:
    sieve_words = accelerator.sieve_words

_COMPLETED = b'OK "Capability completed."\r\n'
_TLS_FIRST = Rejected(b"(ENCRYPT-NEEDED) STARTTLS is needed first.")

# The most arguments that a command may have.
_ARGUMENTS = {SieveVerb.AUTHENTICATE: 2, SieveVerb.NOOP: 1}
_AUTHENTICATE = SieveVerb.AUTHENTICATE  # each login needs it, and Python 3.11 takes long to find a member
_BEFORE_LOGIN = (
    SieveVerb.AUTHENTICATE,
    SieveVerb.CAPABILITY,
    SieveVerb.LOGOUT,
    SieveVerb.NOOP,
    SieveVerb.STARTTLS,
)
# A response code before a text, without data; a referral would send clients, with their passwords, to another server.
_CODE = re.compile(rb"\((?!REFERRAL)([A-Z0-9/-]{1,64})\) *(.*)", re.DOTALL | re.IGNORECASE)


def opening(capabilities: bytes) -> Choices:
    """See `Protocol.opening`."""
    plain = Choice(b'AUTHENTICATE "PLAIN"', NOTHING, _challenge(b""), ())
    return plain, Choice(b"CAPABILITY", NOTHING, capabilities + _COMPLETED, (plain,))


def first_login(heard: bytes | None, words: bytes) -> Login | None:
    """See `Protocol.first_login`."""
    found = sieve_words(heard, words)
    return None if found is None else by_plain(found[0])


def _challenge(text: bytes) -> bytes:
    return string(text) + b"\r\n"


class SieveDialogue(Dialogue[SieveCommand]):
    """See `Dialogue`. The capabilities are sent in one piece with their OK, as some clients read only once."""

    __slots__ = ()

    internal_error = b'BYE (TRYLATER) "Account is temporarily unavailable."\r\n'
    certificate_error = b'BYE "SSL certificate error"\r\n'
    no_certificate = b'BYE "No required SSL certificate"\r\n'
    greets_again = True

    def __init__(self, client: Stream, server: Server, log: SessionLog) -> None:
        super().__init__(client, server, log, SieveParser(server.settings.dialogue.client_buffer))

    def obey(self, command: SieveCommand) -> Move:
        verb, arguments = command.verb, command.arguments
        if verb is _AUTHENTICATE and arguments:
            self.demand_tls()
            return self.respond(exchange(self, arguments))
        if verb not in _BEFORE_LOGIN:
            tell_refusal(self, _invalid(verb))
            return b'NO "Log in first."\r\n'
        if len(arguments) > _ARGUMENTS.get(verb, 0) or verb is SieveVerb.AUTHENTICATE:
            raise InvalidCommand(what=_invalid(verb))
        return self.accept_starttls() if verb is SieveVerb.STARTTLS else self._answer(command)

    def go_ahead(self) -> bytes:
        return b'OK "Begin TLS negotiation now."\r\n'

    def invalid(self) -> bytes:
        if self.over is not None:
            return b'BYE "Too many invalid commands, or one too long."\r\n'
        return b'NO "Invalid command."\r\n'

    def rejection(self, verdict: Rejected) -> bytes:
        coded = _CODE.fullmatch(verdict.text)
        if coded is None:
            return b"NO %b\r\n" % text(verdict.text)
        return b"NO (%b) %b\r\n" % (coded[1].upper(), text(coded[2]))

    def challenge(self, text: bytes) -> bytes:
        return _challenge(text)

    def demand_tls(self) -> None:
        if self.server.starttls_only and not self.secure:
            raise LoginRefused("client was refused: login without TLS", _TLS_FIRST)

    def _answer(self, command: SieveCommand) -> bytes:
        match command.verb:
            case SieveVerb.CAPABILITY:
                return self.capabilities + _COMPLETED
            case SieveVerb.NOOP if command.arguments:
                return b'OK (TAG %b) "Done."\r\n' % string(command.arguments[0])
            case SieveVerb.NOOP:
                return b'OK "Done."\r\n'
            case _:
                self.over = End.QUIT
                return b'OK "Logout completed."\r\n'


def _invalid(verb: SieveVerb) -> str:
    """The description of a command that does not exist before the login, or has invalid arguments, for the log."""
    return f"{INVALID} {verb.value.decode()}"
