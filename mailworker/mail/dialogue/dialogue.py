"""What the three dialogues with a client have in common."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, time
from typing import ClassVar, Generic, NoReturn, Protocol, TypeVar

from mailworker.errors import ConnectionLost, Party, ProtocolError, TimedOut, escape
from mailworker.event.stream import Stream
from mailworker.event.task import sleep
from mailworker.mail.dialogue.complaints import tell_departure, tell_refusal
from mailworker.mail.end import End
from mailworker.mail.server import Server
from mailworker.mail.session_log import SessionLog
from mailworker.model import AuthMethod, Starttls
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
    """The client was told to go ahead with its handshake."""


Request = Login | StartTls


class Refused(ProtocolError):
    """A command that exists but is not allowed here or now: answered as an invalid one, but not counted as an error.

    `what` was refused goes to the log, in words that are never the client's own.
    """

    def __init__(self, what: str = "command not allowed here") -> None:
        super().__init__(Party.CLIENT, what)


class LoginRefused(ProtocolError):
    """A login that no auth service has to be asked about: the client hears `verdict` and may try again."""

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
    def feed(self, data: bytes) -> None: ...
    def next(self) -> CommandT_co | None: ...
    def next_response(self) -> bytes | None: ...
    def discard(self) -> None: ...
    def rest(self) -> bytes: ...


class Dialogue(ABC, Generic[CommandT_contra]):
    """A client's conversation before it is logged in.

    `next_request` says what it wants; the session does it and comes back if the client may try again. `tag` is IMAP's:
    that of the command at hand, None where it had no usable one, and in the other protocols. `over` is why no command
    is read any more, None as long as they are. `commands` and `complaints` count, see `complaints`. `greets_again`:
    STARTTLS is followed by a greeting in TLS.
    """

    __slots__ = ("_errors", "_parser", "client", "commands", "complaints", "log", "over", "server", "tag")

    internal_error: ClassVar[bytes]
    certificate_error: ClassVar[bytes]
    no_certificate: ClassVar[bytes]
    greets_again: ClassVar[bool] = False

    def __init__(self, client: Stream, server: Server, log: SessionLog, parser: Parser[CommandT_contra]) -> None:
        self.client = client
        self.server = server
        self.log = log
        self.over: End | None = None
        self.tag: bytes | None = None
        self._parser = parser
        self.commands = self._errors = self.complaints = 0

    @abstractmethod
    async def greet(self) -> None:
        """Say hello."""

    def admit(self, command: CommandT_contra) -> None:
        """Take note of a valid command before it is obeyed. Raises TooManyCommands."""
        self.count_command()

    @abstractmethod
    async def obey(self, command: CommandT_contra) -> Request | None:
        """Answer one command; None unless the session has to do something.

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
    async def ask(self, challenge: bytes) -> bytes:
        """Send a SASL challenge and give the client's response."""

    def start_over(self) -> None:
        """Forget what an unfinished login has left."""

    def begin_tls(self) -> None:
        """Forget what was said in clear."""
        self._parser.discard()
        self.start_over()

    def follow(self, earlier: AnyDialogue) -> None:
        """Go on where another server has begun: what the client has spent of its commands and errors is spent."""
        self.commands, self._errors, self.complaints = earlier.commands, earlier._errors, earlier.complaints

    def take_input(self) -> bytes:
        """What the client has sent beyond its login, for the backend."""
        return self._parser.rest()

    async def next_request(self) -> Request | None:
        """What the client wants of the session; None when it has taken its leave or was sent away.

        Raises ConnectionLost and TimedOut.
        """
        while self.over is None:
            try:
                while (command := self._parser.next()) is None:
                    self._take(await self._reading())
                self.admit(command)
                request = await self.obey(command)
            except TooLongCommand as error:
                self.log.info(f'client sent too long command "{escape(without_secrets(error.buffer))}"')
                self.over = End.INVALID_COMMAND
                await self._refuse(error.tag)
            except InvalidCommand as error:
                tell_refusal(self, error.what)
                self._count(error)
                await self._refuse(error.tag)
            except LoginRefused as error:
                self.log.info(str(error))
                self.start_over()
                await self.reject(self.rejection(error.verdict))
            except ProtocolError as error:
                _tell(self, error)
                await self._refuse(self.tag)
            else:
                if request is not None:
                    return request
        if self.over is End.QUIT:
            tell_departure(self)
        return None

    async def reject(self, answer: bytes, *, counted: bool = False) -> None:
        """Tell the client that its login failed; it may try again, unless it is `counted` as an error too many."""
        await self.reply(answer)
        self.tag = None
        if counted:
            self._errors += 1
            if self._errors >= self.server.settings.max_errors:
                self.log.info("client failed to log in too many times")
                self.over = End.AUTH_FAILED

    def reply(self, data: bytes) -> Awaitable[None]:
        """Send an answer."""
        return self.client.write(data)

    async def response(self) -> bytes:
        """The next line, as the response to a SASL challenge."""
        try:
            while (response := self._parser.next_response()) is None:
                self._take(await self._reading())
        except TooLongCommand as error:
            raise TooLongCommand(b"...", error.tag) from None  # it may hold a password
        self.count_command()
        return response

    async def pause(self, seconds: float) -> None:
        """Wait; what the client says meanwhile is kept for later. Raises ConnectionLost where it leaves."""
        self.client.deadline = end = monotonic() + seconds
        with suppress(TimedOut):
            while self._parser.room:
                self._take(await self._reading())
            await sleep(end - monotonic())

    def enabled(self, method: AuthMethod) -> bool:
        """Whether the server's configuration lists `method`."""
        return method in self.server.settings.dialogue.auth

    @property
    def secure(self) -> bool:
        """Whether the connection is encrypted."""
        return self.client.tls is not None

    @property
    def capabilities(self) -> bytes:
        """What the client can do now."""
        replies = self.server.capabilities
        return replies.secure if self.secure else replies.clear

    def demand_tls(self) -> None:
        """Raises Refused for what `starttls only` allows on an encrypted connection only."""
        if self.server.starttls_only and not self.secure:
            raise Refused("login without TLS")

    async def accept_starttls(self) -> StartTls:
        """Answer STARTTLS or STLS; raises Refused where it is not offered."""
        if self.secure:
            raise Refused("STARTTLS inside TLS")
        if self.server.settings.starttls is Starttls.OFF:
            raise Refused("STARTTLS where it is off")
        await self.reply(self.go_ahead())
        return StartTls()

    def new_salt(self) -> bytes:
        """A challenge that is never used twice, in the form of RFC 1939 and 2195."""
        return b"<%d.%d@%b>" % (secrets.randbits(64), int(time()), self.server.settings.server_name)

    def _reading(self) -> Awaitable[bytes]:
        room = self._parser.room
        return self.client.read(room if room < _READ_SIZE else _READ_SIZE)

    def _take(self, data: bytes) -> None:
        if not data:
            tell_departure(self)
            raise ConnectionLost(Party.CLIENT, "recv()", 0)
        self._parser.feed(data)

    def count_command(self) -> None:
        """Count one command more; raises TooManyCommands."""
        self.commands += 1
        if self.commands > self.server.settings.max_commands:
            self.over = End.TOO_MANY_COMMANDS
            raise TooManyCommands

    def _count(self, error: InvalidCommand) -> None:
        self._errors += 1
        if self._errors >= self.server.settings.max_errors:
            self.log.info("client sent too many invalid commands")
            self.over = End.TOO_MANY_ERRORS
        elif error.close:
            self.over = End.INVALID_COMMAND

    async def _refuse(self, tag: bytes | None) -> None:
        self.tag = tag
        answer = self.invalid()
        self.start_over()
        await self.reply(answer)


def _tell(dialogue: Dialogue[NoReturn], error: ProtocolError) -> None:
    """Log why a command was not obeyed; nginx has lines for what is no refusal."""
    if isinstance(error, Refused):
        tell_refusal(dialogue, str(error))
    else:
        dialogue.log.info(str(error))


AnyDialogue = Dialogue[NoReturn]
"""That of any protocol, whose commands are its own business."""
