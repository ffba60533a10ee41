"""A protocol that nobody speaks, in one file: `LOGIN name password` is answered by `YES` or `NO`, by both sides."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from mailworker.config.command import ONE, ONE_OR_MORE
from mailworker.config.dialogue import CAPABILITIES, SASL, DialogueSettings, auth_methods
from mailworker.config.drafts import BOTH
from mailworker.config.rows import row
from mailworker.config.settings import MailServer
from mailworker.config.slots import STRING, size
from mailworker.config.values import BUFFER
from mailworker.event.stream import Stream
from mailworker.mail.backend.backend import Backend, needed_password
from mailworker.mail.backend.conversation import Talk, Wanted
from mailworker.mail.dialogue.dialogue import Dialogue, Move
from mailworker.mail.dialogue.offer import Refused
from mailworker.mail.end import End
from mailworker.mail.protocols.protocol import Protocol
from mailworker.mail.server import Server
from mailworker.mail.session_log import SessionLog
from mailworker.model import AuthMethod, Starttls
from mailworker.wire.auth_response import Rejected
from mailworker.wire.backend import InvalidReply, Reply
from mailworker.wire.command_parser import LineParser
from mailworker.wire.login import Login
from mailworker.wire.refusal import Reason, Refusal
from mailworker.wire.reply_reader import ReplyReader
from mailworker.wire.secret import Secret


@dataclass(slots=True)
class ToyDraft:
    toy_auth: tuple[AuthMethod, ...] = row(BOTH, ONE_OR_MORE, auth_methods(SASL), (AuthMethod.PLAIN,))
    toy_capabilities: tuple[str, ...] = row(BOTH, ONE_OR_MORE, CAPABILITIES, ("LOGIN", "QUIT"))
    toy_client_buffer: int = row(BOTH, ONE, size(BUFFER), 128)
    toy_motto: str = row(BOTH, ONE, STRING, "play")


@dataclass(frozen=True, slots=True)
class ToySettings(DialogueSettings):
    motto: str = ""


def capabilities(settings: MailServer, starttls: Starttls) -> bytes:
    words = [*settings.dialogue.capabilities, *([] if starttls is Starttls.OFF else [b"STARTTLS"])]
    return b"YES %b\r\n" % b" ".join(words)


class Verb(Enum):
    LOGIN = b"LOGIN"
    HELP = b"HELP"
    STARTTLS = b"STARTTLS"
    QUIT = b"QUIT"


class ToyParser(LineParser[tuple[Verb, tuple[bytes, ...]]]):
    maximum_arguments: ClassVar[int] = 2
    verbs: ClassVar = {verb.value: verb for verb in Verb}

    def _command(self, verb: Verb, text: bytes, _whole: bytes) -> tuple[Verb, tuple[bytes, ...]]:
        return verb, self._split_arguments(text)


class ToyDialogue(Dialogue[tuple[Verb, tuple[bytes, ...]]]):
    internal_error = b"NO internal error\r\n"
    certificate_error = no_certificate = b"NO certificate\r\n"

    def __init__(self, client: Stream, server: Server, log: SessionLog) -> None:
        super().__init__(client, server, log, ToyParser(server.settings.dialogue.client_buffer))

    def greeting(self) -> bytes:
        settings = self.server.settings.dialogue
        assert isinstance(settings, ToySettings)
        return b"HELLO %b\r\n" % settings.motto.encode()

    def obey(self, command: tuple[Verb, tuple[bytes, ...]]) -> Move:
        match command:
            case Verb.LOGIN, (name, password):
                self.demand_tls()
                return Login(AuthMethod.PLAIN, name, Secret(password))
            case Verb.HELP, ():
                return self.capabilities
            case Verb.STARTTLS, ():
                return self.accept_starttls()
            case Verb.QUIT, ():
                self.over = End.QUIT
                return b"YES bye\r\n"
            case _:
                raise Refused("toy")

    def go_ahead(self) -> bytes:
        return b"YES begin\r\n"

    def invalid(self) -> bytes:
        return b"NO such command\r\n"

    def rejection(self, verdict: Rejected) -> bytes:
        return b"NO %b\r\n" % verdict.text

    def challenge(self, text: bytes) -> bytes:
        return b"ASK %b\r\n" % text


class ToyReplyReader(ReplyReader):
    """Every line is a reply."""

    def _is_last(self, line: bytes) -> bool:
        return True


def expect_yes(reply: Reply) -> None:
    if not reply.data.startswith((b"YES", b"HELLO")):
        raise InvalidReply(reply, reply.data[:-2])


def starttls(_backend: Backend, _login: Login) -> Talk[None]:
    yield (
        (None, Wanted(b"HELLO", None, None, expect_yes)),
        (b"STARTTLS\r\n", Wanted(b"YES", None, "STARTTLS", expect_yes)),
    )


def log_in(_backend: Backend, login: Login) -> Talk[bytes]:
    command = b"LOGIN %b %b\r\n" % (login.name, needed_password(login).revealed)
    greeting, yes = Wanted(b"HELLO", None, None, expect_yes), Wanted(b"YES", None, "LOGIN", expect_yes)
    return (yield ((None, greeting), (command, yes))).data


def toy(port: int) -> Protocol:
    """The row, with a port that is its own."""
    return Protocol(
        name="toy",
        ports=(port,),
        alpn=b"toys",
        directives=ToyDraft,
        settings=ToySettings,
        needs_password=True,
        tells_host=False,
        layout=capabilities,
        dialogue=ToyDialogue,
        reply_reader=ToyReplyReader,
        starttls=starttls,
        log_in=log_in,
        refusal=lambda reply: Refusal(Reason.LOGIN),
    )
