"""What a row of the table of protocols says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mailworker.config.protocol import ProtocolModule
from mailworker.config.settings import MailServer
from mailworker.event.choice import Choices
from mailworker.event.plan import UNKNOWN
from mailworker.event.stream import Stream
from mailworker.mail.authentication.refusals import Refusals
from mailworker.mail.backend.backend import Backend, Place
from mailworker.mail.backend.conversation import Step, Talk
from mailworker.mail.capabilities import Capabilities, Opening
from mailworker.mail.dialogue.dialogue import AnyDialogue
from mailworker.mail.server import Server
from mailworker.mail.session_log import SessionLog
from mailworker.model import Starttls
from mailworker.wire.backend import Reply, ReplyReader
from mailworker.wire.login import Login
from mailworker.wire.refusal import Refusal

_BARE = Refusals()

# Commands of the longest login by an opening, with what logs in: EHLO, AUTH LOGIN, a name and a password.
_MOST_COMMANDS = 4


def _nothing(*_asked: object) -> None:
    """There is no such thing in this protocol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol(ProtocolModule):
    """One row: all that is special to a protocol.

    `alpn` is its name in a TLS handshake, `alpn_too` are others that clients use. `needs_password` tells whether its
    backends ask for a password in any case, `tells_host` whether auth services hear the name of the client's host.
    `layout` makes the answer to a client that asks for capabilities, and `greeting` with that answer what clients hear
    first, None where each hears something else. `dialogue` and `reply_reader` read what client and backend say.
    `opening` gives what usual clients say before they log in, and hear, where capabilities are told by that answer.
    `first_login` is the login that words are, behind what was heard of an opening; None where they are anything else.
    `starttls` asks a backend for TLS, `log_in` comes to the reply that tells the client it is logged in. `first_steps`
    are those that `log_in` begins with, where they need no answer of the backend, else None. They end the login, unless
    there are `last_steps`: those behind the reply to the first ones, which end it and are none where that reply does;
    None where more has to be heard before. Then `welcome` is what the client hears, and not the backend's last reply.
    `refusal` tells what a backend's no to a login is about, `refusals` are what clients hear of us.
    `retries`: a client may try again, max_errors times, whoever has refused its login, and after a failure of its
    backend. `watched`: what it says to its backend is watched, see native/relay/line.c.
    """

    alpn: bytes
    needs_password: bool
    tells_host: bool
    layout: Callable[[MailServer, Starttls], bytes]
    dialogue: Callable[[Stream, Server, SessionLog], AnyDialogue]
    reply_reader: Callable[[int], ReplyReader]
    starttls: Callable[[Backend, Login], Talk[None]]
    log_in: Callable[[Backend, Login], Talk[bytes]]
    refusal: Callable[[Reply], Refusal]
    greeting: Callable[[MailServer, bytes], bytes | None] = _nothing
    opening: Callable[[bytes], Choices | None] = _nothing
    first_login: Callable[[bytes | None, bytes], Login | None] = _nothing
    first_steps: Callable[[Place, Login], tuple[Step, ...] | None] = _nothing
    last_steps: Callable[[Place, Login, bytes], tuple[Step, ...] | None] | None = None
    welcome: bytes = b""
    refusals: Refusals = _BARE
    retries: bool = False
    watched: bool = False
    alpn_too: tuple[bytes, ...] = ()

    @property
    def all_alpn(self) -> tuple[bytes, ...]:
        """All its names in a TLS handshake, the registered one first."""
        return self.alpn, *self.alpn_too

    def capabilities(self, settings: MailServer) -> Capabilities:
        """The replies to the clients of a server."""
        clear, secure = self.layout(settings, settings.starttls), self.layout(settings, Starttls.OFF)
        greetings = self.greeting(settings, clear), self.greeting(settings, secure)
        by_dialogue = settings.max_commands < _MOST_COMMANDS
        return Capabilities(
            clear,
            secure,
            *greetings,
            opening=None if by_dialogue or settings.starttls is Starttls.ONLY else self._opening(clear),
            secure_opening=None if by_dialogue else self._opening(secure),
        )

    def _opening(self, capabilities: bytes) -> Opening:
        choices = self.opening(capabilities)
        return (UNKNOWN[0], choices) if choices else UNKNOWN
