"""What a row of a command corpus is, and how one is run under any chunking."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mailworker.wire.command import InvalidCommand, TooLongCommand
from mailworker.wire.imap import Continuation, ImapCommand, ImapParser, ImapVerb
from mailworker.wire.pop3 import Pop3Command, Pop3Parser, Pop3Verb
from mailworker.wire.sieve import SieveCommand, SieveParser, SieveVerb
from mailworker.wire.smtp import SmtpCommand, SmtpParser, SmtpVerb

Parser = ImapParser | Pop3Parser | SmtpParser | SieveParser

LIMIT = 4096


@dataclass(frozen=True)
class Response:
    """A SASL response line's first word."""

    text: bytes


@dataclass(frozen=True)
class Invalid:
    """InvalidCommand was raised."""

    tag: bytes | None = None
    close: bool = False


@dataclass(frozen=True)
class TooLong:
    """TooLongCommand was raised."""

    buffer: bytes
    tag: bytes | None = None


Event = ImapCommand | Pop3Command | SmtpCommand | SieveCommand | Continuation | Response | Invalid | TooLong


@dataclass(frozen=True)
class Case:
    """`input` gives `events`; `responses` SASL lines are read after each AUTH or AUTHENTICATE command."""

    input: bytes
    events: tuple[Event, ...]
    limit: int = LIMIT
    responses: int = 0


_AUTH_VERBS = (ImapVerb.AUTHENTICATE, Pop3Verb.AUTH, SmtpVerb.AUTH, SieveVerb.AUTHENTICATE)


class Reader:
    """A dialogue in miniature: it asks a parser for commands and, after AUTH, for responses."""

    def __init__(self, parser: Parser, responses: int) -> None:
        self.parser = parser
        self.responses = responses
        self.due = 0

    def next(self) -> Event | None:
        """The next event, None where the parser needs more input."""
        try:
            return self._response() if self.due else self._command()
        except InvalidCommand as error:
            self.due = 0
            return Invalid(error.tag, error.close)
        except TooLongCommand as error:
            return TooLong(error.buffer, error.tag)

    def _response(self) -> Response | None:
        response = self.parser.next_response()
        if response is None:
            return None
        self.due -= 1
        return Response(response)

    def _command(self) -> ImapCommand | Pop3Command | SmtpCommand | SieveCommand | Continuation | None:
        command = self.parser.next()
        if command is not None and not isinstance(command, Continuation) and command.verb in _AUTH_VERBS:
            self.due = self.responses
        return command


def run(parser: Parser, chunks: Iterable[bytes], responses: int = 0) -> list[Event]:
    """All events of some input, fed chunk by chunk as far as the parser has room; stops at a full buffer."""
    reader = Reader(parser, responses)
    events: list[Event] = []
    for piece in _fitting(parser, chunks):
        parser.feed(piece)
        while (event := reader.next()) is not None:
            events.append(event)
            if isinstance(event, TooLong):
                return events
        assert parser.room > 0
    return events


def _fitting(parser: Parser, chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        rest = chunk
        while rest:
            piece, rest = rest[: parser.room], rest[parser.room :]
            yield piece


def every_chunking(data: bytes) -> Iterator[list[bytes]]:
    """Whole, byte by byte, and cut in two at every place (at most 200 of them)."""
    yield [data]
    yield [data[i : i + 1] for i in range(len(data))]
    for i in range(1, len(data), 1 + len(data) // 200):
        yield [data[:i], data[i:]]
