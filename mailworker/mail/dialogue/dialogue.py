"""What the three dialogues with a client have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import ClassVar, Generic, NoReturn, Protocol, TypeVar

from mailworker.errors import ConnectionLost, Party, ProtocolError, TimedOut, escape
from mailworker.event.stream import Stream
from mailworker.event.task import sleep
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

# More than one page is never asked of the system at once.
_READ_SIZE = 4096


@dataclass(slots=True)
class StartTls:
    """The client begins its handshake when it has heard `go_ahead`."""

    go_ahead: bytes


Move = bytes | Login | StartTls
"""What a client's words lead to: an answer, or what its session has to do."""

Exchange = Generator[bytes, bytes, Login]
"""Gives SASL challenges and takes the responses to them."""


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
    """What a dialogue needs of its parser; see `mailworker.wire`."""

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

    It reads and writes nothing by itself: `hear` takes what the client has said, and `move` tells what follows from it.
    The session does that and comes back if the client may go on. `tag` is IMAP's: that of the command at hand, None
    where it had no usable one, and in the other protocols. `over` is why no command is read any more, None as long as
    they are. `commands` and `complaints` count, see `complaints`. `greets_again`: STARTTLS is followed by a greeting.
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
        self._command: CommandT_contra | None = None  # that was heard, and needed no parser
        self._fed = False  # whether the parser has heard anything
        self.commands = self._errors = self.complaints = 0

    async def hold_back(self) -> None:
        """Wait for as long as the greeting has to; `over` is set where the client did not wait."""

    def greeting(self) -> bytes:
        """What is said first."""
        said = self.server.capabilities
        greeting = said.secure_greeting if self.secure else said.greeting
        assert greeting is not None
        return greeting

    def admit(self, command: CommandT_contra) -> None:
        """Take note of a valid command before it is obeyed. Raises TooManyCommands."""
        self.count_command()

    def usual(self, words: bytes) -> CommandT_contra | None:
        """The one command that `words` are, where that can be told without a parser."""
        return None

    @abstractmethod
    def obey(self, command: CommandT_contra) -> Move:
        """What one command leads to.

        Raises a ProtocolError of the client for a command that is to be answered as invalid.
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
        """A SASL challenge as it is sent."""

    def as_told(self, login: Login) -> Login:
        """The login, with the other parts of the conversation that its backend gets."""
        return login

    def start_over(self) -> None:
        """Forget what an unfinished login has left."""
        self._exchange = None

    def begin_tls(self) -> None:
        """Forget what was said in clear."""
        self._parser.discard()
        self._command = None
        self.start_over()

    def follow_login(self, login: Login, heard: bytes | None) -> None:
        """Go on behind a login that was read without this dialogue, as the command behind what was `heard` before."""
        self.commands = 1 if heard is None else heard.count(b"\n") + 1
        self.tag = login.tag or None

    def follow(self, earlier: AnyDialogue) -> None:
        """Go on where another server has begun: what the client has spent of its commands and errors is spent."""
        self.commands, self._errors, self.complaints = earlier.commands, earlier._errors, earlier.complaints

    def take_input(self) -> bytes:
        """What the client has sent beyond its login, for the backend."""
        return self._parser.rest()

    @property
    def room(self) -> int:
        """The number of bytes that `hear` accepts now."""
        return min(self._parser.room, _READ_SIZE)

    @property
    def has_input(self) -> bool:
        """Whether there is something that the client has said and no move has used up."""
        return self._parser.has_input or self._command is not None

    def hear(self, words: bytes) -> None:
        """Take what the client has said; raises ConnectionLost for b"", as it has left."""
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
        """What follows from what was heard; None where more has to be. After an answer there may be another move."""
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
        if self.over is End.QUIT:
            tell_departure(self)
        return move

    def accept_starttls(self) -> StartTls:
        """The move that STARTTLS or STLS leads to; raises Refused where it is not offered."""
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
        """The client has heard that its login failed; it may try again, unless it is `counted` as an error too many."""
        self.tag = None
        if counted:
            self._errors += 1
            if self._errors >= self.server.settings.max_errors:
                self.log.info("client failed to log in too many times")
                self.over = End.AUTH_FAILED

    async def ask(self, challenge: bytes) -> None:
        """Send a SASL challenge, and wait for the response to it, whatever that is."""
        await self.client.write(self.challenge(challenge))
        while self._next_response() is None:
            self._feed(await self.client.read(self.room))

    async def pause(self, seconds: float) -> None:
        """Wait; what the client says meanwhile is kept for later. Raises ConnectionLost where it leaves."""
        self.client.deadline = end = monotonic() + seconds
        with suppress(TimedOut):
            while self._parser.room:
                self._feed(await self.client.read(self.room))
            await sleep(end - monotonic())

    def _next_response(self) -> bytes | None:
        try:
            response = self._parser.next_response()
        except TooLongCommand as error:
            raise TooLongCommand(b"...", error.tag) from None  # it may hold a password
        if response is not None:
            self.count_command()
        return response

    def count_command(self) -> None:
        """Count one command more; raises TooManyCommands."""
        self.commands += 1
        if self.commands > self.server.settings.max_commands:
            self.over = End.TOO_MANY_COMMANDS
            raise TooManyCommands

    def count_error(self, error: InvalidCommand) -> None:
        """Count one invalid command more; `over` is set where it was one too many."""
        self._errors += 1
        if self._errors >= self.server.settings.max_errors:
            self.log.info("client sent too many invalid commands")
            self.over = End.TOO_MANY_ERRORS
        elif error.close:
            self.over = End.INVALID_COMMAND


AnyDialogue = Dialogue[NoReturn]
"""That of any protocol, whose commands are its own business."""


def catch_up(dialogue: AnyDialogue, heard: bytes) -> None:
    """Take note of what a client has said of an opening, and has had its answers to, without its dialogue."""
    for line in heard.split(b"\n")[:-1]:
        dialogue.hear(line + b"\n")
        dialogue.move()


def _refusal(dialogue: AnyDialogue, error: ProtocolError) -> bytes:
    """Tell the log why a command was not obeyed; gives the answer."""
    dialogue.missed = isinstance(error, LoginRefused | NoLogin)
    if isinstance(error, LoginRefused):
        dialogue.log.info(str(error))
        answer, dialogue.tag = dialogue.rejection(error.verdict), None
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
            dialogue.log.info(str(error))  # nginx has lines for what is no refusal
        dialogue.tag = error.tag if isinstance(error, TooLongCommand | InvalidCommand) else dialogue.tag
        answer = dialogue.invalid()
    dialogue.start_over()
    return answer
