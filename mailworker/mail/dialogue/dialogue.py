"""The base class of the dialogues with a client."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import ClassVar, Generic, NoReturn, Protocol, TypeVar

from mailworker.errors import ConnectionLost, Party, ProtocolError, TimedOut, escape
from mailworker.event.stream import Stream
from mailworker.event.task import sleep_until
from mailworker.mail.dialogue.complaints import tell_departure, tell_refusal
from mailworker.mail.dialogue.offer import NoLogin, Offer, Refused
from mailworker.mail.end import End
from mailworker.mail.server import Server
from mailworker.mail.session_log import SessionLog
from mailworker.wire.auth_response import Rejected
from mailworker.wire.command import InvalidCommand, TooLongCommand
from mailworker.wire.confidential import without_secrets
from mailworker.wire.login import Login

CommandT_contra = TypeVar("CommandT_contra", contravariant=True)
CommandT_co = TypeVar("CommandT_co", covariant=True)

# One page: a read never asks for more.
_READ_SIZE = 4096


@dataclass(slots=True)
class StartTls:
    """The client begins its handshake when it has received `go_ahead`."""

    go_ahead: bytes


Move = bytes | Login | StartTls
"""The result of a client's command: an answer, or a task for its session."""

Exchange = Generator[bytes, bytes, Login]
"""Yields SASL challenges, gets the responses to them, and returns the login."""


class LoginRefused(ProtocolError):
    """A login that is refused without asking the auth service: the client gets `verdict` and may try again."""

    def __init__(self, message: str, verdict: Rejected) -> None:
        super().__init__(Party.CLIENT, message)
        self.verdict = verdict


class TooManyCommands(ProtocolError):
    """`max_commands` is exceeded: the session has to end."""

    def __init__(self) -> None:
        super().__init__(Party.CLIENT, "client sent too many commands")


class Parser(Protocol[CommandT_co]):
    """The interface of a dialogue's parser; see `mailworker.wire`."""

    @property
    def room(self) -> int: ...
    @property
    def has_input(self) -> bool: ...
    def feed(self, data: bytes) -> None: ...
    def next(self) -> CommandT_co | None: ...
    def next_response(self) -> bytes | None: ...
    def discard(self) -> None: ...
    def rest(self) -> bytes: ...


class Dialogue(Offer, ABC, Generic[CommandT_contra]):
    """A client's conversation before it is logged in.

    It reads and writes nothing itself: `hear` gets the bytes of the client, and `move` gives what follows from them.
    The session does that, and calls again if the client may go on. `tag` is the tag of IMAP's current command, None if
    it had no usable one, and in other protocols. `over` is why no more commands are read, None as long as they are.
    `commands` and `complaints` count, see `complaints`. `greets_again`: a greeting follows STARTTLS.
    """

    __slots__ = ("_command", "_errors", "_exchange", "_fed", "_parser", "commands", "complaints", "log", "over", "tag")

    internal_error: ClassVar[bytes]
    certificate_error: ClassVar[bytes]
    no_certificate: ClassVar[bytes]
    greets_again: ClassVar[bool] = False

    def __init__(self, client: Stream, server: Server, log: SessionLog, parser: Parser[CommandT_contra]) -> None:
        super().__init__(client, server)
        self.log = log
        self.over: End | None = None
        self.tag: bytes | None = None
        self._parser = parser
        self._exchange: Exchange | None = None
        self._command: CommandT_contra | None = None  # a command that was recognized without the parser
        self._fed = False  # whether the parser has got any bytes
        self.commands = self._errors = self.complaints = 0

    async def hold_back(self) -> None:
        """Delay the greeting if configured; sets `over` if the client did not wait for it."""

    def greeting(self) -> bytes:
        """The greeting, which is sent first."""
        said = self.server.capabilities
        greeting = said.secure_greeting if self.secure else said.greeting
        assert greeting is not None
        return greeting

    def admit(self, command: CommandT_contra) -> None:
        """Record a valid command before it is executed. Raises TooManyCommands."""
        self.count_command()

    def usual(self, words: bytes) -> CommandT_contra | None:
        """The command if `words` are exactly one that can be recognized without the parser, else None."""
        return None

    @abstractmethod
    def obey(self, command: CommandT_contra) -> Move:
        """Execute one command; gives the move that follows.

        Raises a ProtocolError of the client for a command that must be answered as invalid.
        """

    @abstractmethod
    def go_ahead(self) -> bytes:
        """The answer after which the client begins its handshake."""

    @abstractmethod
    def invalid(self) -> bytes:
        """The answer to an invalid command."""

    @abstractmethod
    def rejection(self, verdict: Rejected) -> bytes:
        """The answer to a login that was refused."""

    @abstractmethod
    def challenge(self, text: bytes) -> bytes:
        """A SASL challenge in the form of the protocol."""

    def as_told(self, login: Login) -> Login:
        """The login, with the other data of the dialogue that its backend gets."""
        return login

    def start_over(self) -> None:
        """Forget the data of an unfinished login."""
        self._exchange = None

    def begin_tls(self) -> None:
        """Forget what the client has sent in clear."""
        self._parser.discard()
        self._command = None
        self.start_over()

    def follow_login(self, login: Login, heard: bytes | None) -> None:
        """Continue after a login that was read without this dialogue; before it, `heard` was read in the same way."""
        self.commands = 1 if heard is None else heard.count(b"\n") + 1
        self.tag = login.tag or None

    def follow(self, earlier: AnyDialogue) -> None:
        """Continue the dialogue of another server: the client's commands and errors there still count."""
        self.commands, self._errors, self.complaints = earlier.commands, earlier._errors, earlier.complaints

    def take_input(self) -> bytes:
        """The bytes that the client has sent after its login, for the backend."""
        return self._parser.rest()

    @property
    def room(self) -> int:
        """The number of bytes that `hear` accepts now."""
        return min(self._parser.room, _READ_SIZE)

    @property
    def has_input(self) -> bool:
        """Whether there are bytes of the client that no move has consumed."""
        return self._parser.has_input or self._command is not None

    def hear(self, words: bytes) -> None:
        """Take bytes of the client; raises ConnectionLost for b"", as the client has left."""
        known = None if self._exchange or self._command else self.usual(words)
        self._command = self._command or known
        if known is None:
            self._feed(words)

    def _feed(self, words: bytes) -> None:
        if not words:
            tell_departure(self)
            raise ConnectionLost(Party.CLIENT, "recv()", 0)
        self._fed = True
        self._parser.feed(words)

    def move(self) -> Move | None:
        """The move that follows; None if more bytes are needed. After an answer there may be another move."""
        try:
            exchange = self._exchange
            if exchange is not None:
                response = self._next_response()
                return None if response is None else self.respond(exchange, response)
            command, self._command = self._command or self._parser.next(), None
            if command is None:
                return None
            self.admit(command)
            move = self.obey(command)
        except ProtocolError as error:
            return _refusal(self, error)
        if self.over is End.QUIT and self.commands > 1:  # a health check may send QUIT alone
            tell_departure(self)
        return move

    def accept_starttls(self) -> StartTls:
        """The move that follows STARTTLS or STLS; raises Refused if it is not offered."""
        self.demand_starttls()
        return StartTls(self.go_ahead())

    def respond(self, exchange: Exchange, response: bytes | None = None) -> Move:
        """The next move of a SASL exchange, the first without a response. Raises a ProtocolError of the client."""
        self._exchange = None
        try:
            challenge = exchange.send(response)  # type: ignore[arg-type]  # None begins a generator
        except StopIteration as end:
            login: Login = end.value
            return self.as_told(login)
        self._exchange = exchange
        return self.challenge(challenge)

    def rejected(self, *, counted: bool) -> None:
        """Note that the client has got the refusal of its login; if `counted` as an error, that may be one too many."""
        self.tag = None
        if counted:
            self._errors += 1
            if self._errors >= self.server.settings.max_errors:
                self.log.info("client failed to log in too many times")
                self.over = End.AUTH_FAILED

    async def ask(self, challenge: bytes) -> None:
        """Send a SASL challenge, and wait for any response to it."""
        await self.client.write(self.challenge(challenge))
        while self._next_response() is None:
            self._feed(await self.client.read(self.room))

    async def pause(self, seconds: float) -> None:
        """Wait; bytes that the client sends meanwhile are kept for later. Raises ConnectionLost if it leaves."""
        self.client.deadline = end = monotonic() + seconds
        with suppress(TimedOut):
            while self._parser.room:
                self._feed(await self.client.read(self.room))
            await sleep_until(end)

    def _next_response(self) -> bytes | None:
        try:
            response = self._parser.next_response()
        except TooLongCommand as error:
            raise TooLongCommand(b"...", error.tag) from None  # it may hold a password
        if response is not None:
            self.count_command()
        return response

    def count_command(self) -> None:
        """Count one more command; raises TooManyCommands."""
        self.commands += 1
        if self.commands > self.server.settings.max_commands:
            self.over = End.TOO_MANY_COMMANDS
            raise TooManyCommands

    def count_error(self, error: InvalidCommand) -> None:
        """Count one more invalid command; sets `over` if it was one too many."""
        self._errors += 1
        if self._errors >= self.server.settings.max_errors:
            self.log.info("client sent too many invalid commands")
            self.over = End.TOO_MANY_ERRORS
        elif error.close:
            self.over = End.INVALID_COMMAND


AnyDialogue = Dialogue[NoReturn]
"""The dialogue of any protocol, for code that does not handle its commands."""


def catch_up(dialogue: AnyDialogue, heard: bytes) -> None:
    """Tell the dialogue which part of an opening a client has sent, and got answers to, without this dialogue."""
    for line in heard.split(b"\n")[:-1]:
        dialogue.hear(line + b"\n")
        dialogue.move()


def _refusal(dialogue: AnyDialogue, error: ProtocolError) -> bytes:
    """Log why a command was not executed; gives the answer."""
    dialogue.missed = isinstance(error, LoginRefused | NoLogin)
    if isinstance(error, LoginRefused):
        dialogue.log.info(str(error))
        answer = dialogue.rejection(error.verdict)
    else:
        if isinstance(error, TooLongCommand):
            dialogue.log.info(f'client sent too long command "{escape(without_secrets(error.buffer))}"')
            dialogue.over = End.INVALID_COMMAND
        elif isinstance(error, InvalidCommand):
            tell_refusal(dialogue, error.what)
            dialogue.count_error(error)
        elif isinstance(error, Refused):
            tell_refusal(dialogue, str(error))
        else:
            dialogue.log.info(str(error))  # nginx logs these errors, but not refusals
        dialogue.tag = error.tag if isinstance(error, TooLongCommand | InvalidCommand) else dialogue.tag
        answer = dialogue.invalid()
    dialogue.start_over()
    return answer
