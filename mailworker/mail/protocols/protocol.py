"""A row of the table of protocols."""

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
from mailworker.mail.backend.conversation import Foreseen, Talk
from mailworker.mail.capabilities import Capabilities, Opening
from mailworker.mail.dialogue.dialogue import AnyDialogue
from mailworker.mail.server import Server
from mailworker.mail.session_log import SessionLog
from mailworker.model import Starttls
from mailworker.wire.backend import Reply
from mailworker.wire.login import Login
from mailworker.wire.refusal import Refusal
from mailworker.wire.reply_reader import ReplyReader

_BARE = Refusals()

# The number of commands in the longest login with an opening: EHLO, AUTH LOGIN, a name and a password.
_MOST_COMMANDS = 4


def _nothing(*_asked: object) -> None:
    """Do nothing: this protocol has no such function."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol(ProtocolModule):
    """One row: everything that is specific to a protocol.

    `alpn` is its name in a TLS handshake, `alpn_too` are other names that clients use. `needs_password` tells whether
    its backends always need a password, `tells_host` whether auth services get the client's host name.
    `layout` makes the answer that lists capabilities; from this answer `greeting` makes the greeting, None if each
    client gets another one. `dialogue` and `reply_reader` read what client and backend send.
    `opening` gives the commands that usual clients send before they log in, with the answers, from that answer.
    `first_login` parses bytes as a login, after the part of an opening that was read; None if they are no login.
    `starttls` asks a backend for TLS, `log_in` logs in and gives the reply for the client. `first_steps` are all
    steps of `log_in`, provided that the backend answers as usual; None if they are not known before it has answered.
    After them, the client gets `welcome` instead of the backend's last reply, unless it is empty.
    `refusal` gives the meaning of a backend's refusal, `refusals` are our own replies to clients.
    `retries`: a client may try again, max_errors times, after any refusal of its login and after a failure of its
    backend. `watched`: what the client sends to its backend is watched, see wire/sieve_line.py.
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
    first_steps: Callable[[Place, Login], tuple[Foreseen, ...] | None] = _nothing
    welcome: bytes = b""
    refusals: Refusals = _BARE
    retries: bool = False
    watched: bool = False
    alpn_too: tuple[bytes, ...] = ()

    @property
    def all_alpn(self) -> tuple[bytes, ...]:
        """All names of the protocol in a TLS handshake, the registered one first."""
        return self.alpn, *self.alpn_too

    def capabilities(self, settings: MailServer, made: dict[object, Capabilities] | None = None) -> Capabilities:
        """The prepared replies to a server's clients; those `made` for a server that says the same are shared."""
        clear, secure = self.layout(settings, settings.starttls), self.layout(settings, Starttls.OFF)
        said = clear, secure, self.greeting(settings, clear), self.greeting(settings, secure)
        opens_in_tls = settings.max_commands >= _MOST_COMMANDS
        opens = opens_in_tls and settings.starttls is not Starttls.ONLY
        made, key = {} if made is None else made, (self.name, said, opens, opens_in_tls)
        if key not in made:
            opening = self._opening(clear) if opens else None
            made[key] = Capabilities(*said, opening, self._opening(secure) if opens_in_tls else None)
        return made[key]

    def _opening(self, capabilities: bytes) -> Opening:
        choices = self.opening(capabilities)
        return (UNKNOWN[0], choices) if choices else UNKNOWN
