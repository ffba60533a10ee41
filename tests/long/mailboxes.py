"""Mailboxes of all four protocols that are configured anew every few seconds, as their greetings and replies tell.

A client that has connected keeps the configuration that it has found. Clients that are logged in say ECHO, BULK, HANG
and BYE; the echo begins with the name of the user.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from asyncio import StreamReader, StreamWriter
from base64 import b64decode
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.long.streams import Stream, receive, send

PROTOCOLS = ("imap", "pop3", "smtp", "sieve")
CHANGE_EVERY = 3.0
# Users whose names begin so are refused.
DENIED = b"denied"
_LONG = b"x" * 400

Say = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Mood:
    """One configuration of all mailboxes. `text` stands in greetings; what `lists` says is listed and permitted."""

    text: bytes
    lists: bool
    early: bool = True  # XCLIENT is accepted before EHLO
    pieces: bool = False  # replies come in two segments

    @property
    def greeting(self) -> bytes:
        """The text; each client gets another one if it has the time."""
        return self.text.replace(b"TIME", b"%d" % time.time_ns())


def some_mood(number: int) -> Mood:
    """One that was there before, most of the time. Only SMTP may list something else after the same greeting."""
    text = random.choice(
        (b"ready", b"welcome", b"ready at TIME", b"ready %d" % number, b"<1.TIME@mail.example>", _LONG)
    )
    early, pieces = random.random() < 0.7, random.random() < 0.3
    return Mood(text, random.random() < 0.5, early, pieces)


class Session:
    """What a client has said in its login, and the replies; `user` is who has logged in, `over` ends the connection."""

    def __init__(self, mood: Mood, say: Say, seen: Counter[str]) -> None:
        self.logged_in = self.over = False
        self.user = b""
        self.mood = mood
        self.say = say
        self.seen = seen

    def greet(self) -> None:
        """Say what is said first."""
        raise NotImplementedError

    def hear(self, line: bytes, words: list[bytes]) -> None:
        """Answer a line, which has these words."""
        raise NotImplementedError

    def decide(self, user: bytes, good: bytes, bad: bytes) -> None:
        """Let a user in or not, and say so."""
        self.user = user
        self.logged_in = not user.startswith(DENIED)
        self.seen["logins" if self.logged_in else "refusals"] += 1
        self.say(good if self.logged_in else bad)

    def fail(self, line: bytes) -> None:
        """Note a line that no proxy should send."""
        self.seen[f"unexpected {line[:20]!r}"] += 1
        self.over = True


class Imap(Session):
    """LOGIN, by literals, quoted strings and atoms, CAPABILITY and ID."""

    _literal = re.compile(rb"\{\d+(\+?)\}$")
    _command = b""

    def greet(self) -> None:
        literal = b"LITERAL+" if len(self.mood.text) % 2 else b"LITERAL-"
        capability = b"[CAPABILITY IMAP4rev1 %b ID] " % literal if self.mood.lists else b""
        self.say(b"* OK %b%b\r\n" % (capability, self.mood.greeting))

    def hear(self, line: bytes, words: list[bytes]) -> None:
        if literal := self._literal.search(line):
            self._command += line[: literal.start()]
            if not literal[1]:
                self.say(b"+ OK\r\n")
            return
        words, self._command = (self._command + line).split(), b""
        if words[1].upper() == b"LOGIN":
            self.decide(words[2].strip(b'"'), b"%b OK logged in\r\n" % words[0], b"%b NO no\r\n" % words[0])
        elif words[1].upper() == b"CAPABILITY":
            self.say(b"* CAPABILITY IMAP4rev1 ID\r\n%b OK done\r\n" % words[0])
        elif words[1].upper() == b"ID":
            self.say(b"* ID NIL\r\n%b OK done\r\n" % words[0])
        else:
            self.fail(line)


class Pop3(Session):
    """USER and PASS, CAPA, and AUTH PLAIN if it is listed; that is told by the greeting without its time."""

    _user = b""

    @property
    def _plain(self) -> bool:
        return sum(self.mood.text) % 2 == 0

    def greet(self) -> None:
        self.say(b"+OK %b\r\n" % self.mood.greeting)

    def hear(self, line: bytes, words: list[bytes]) -> None:
        word = words[0].upper()
        if word == b"CAPA":
            self.say(b"+OK\r\nUSER\r\n%b.\r\n" % (b"SASL PLAIN\r\n" * self._plain))
        elif word == b"USER":
            self._user = words[1]
            self.say(b"+OK\r\n")
        elif word == b"PASS":
            self.decide(self._user, b"+OK logged in\r\n", b"-ERR no\r\n")
        elif word == b"AUTH" and self._plain and len(words) == 3:
            self.decide(_user_of(words[2]), b"+OK logged in\r\n", b"-ERR no\r\n")
        else:
            self.fail(line)


class Smtp(Session):
    """XCLIENT if it is listed, AUTH PLAIN otherwise."""

    _has_greeted = False

    def greet(self) -> None:
        self.say(b"220 mail.example %b\r\n" % self.mood.greeting)

    def hear(self, line: bytes, words: list[bytes]) -> None:
        word, mood = words[0].upper(), self.mood
        if word in (b"EHLO", b"HELO"):
            self._has_greeted = True
            self.say(b"250-mail.example\r\n%b250 AUTH PLAIN\r\n" % (b"250-XCLIENT NAME ADDR LOGIN\r\n" * mood.lists))
        elif word == b"XCLIENT" and mood.lists and (self._has_greeted or mood.early):
            self.user = next((each[6:] for each in words if each.startswith(b"LOGIN=")), self.user)
            self.say(b"220 mail.example %b\r\n" % mood.greeting)
        elif word == b"XCLIENT":
            self.say(b"550 5.7.0 insufficient authorization\r\n")
        elif word == b"AUTH" and words[1].upper() == b"PLAIN" and len(words) == 3:
            self.decide(_user_of(words[2]), b"235 logged in\r\n", b"535 5.7.8 no\r\n")
        else:
            self.fail(line)


class Sieve(Session):
    """AUTHENTICATE with an initial response, as a quoted string or a literal."""

    _waits = False

    def greet(self) -> None:
        self.say(b'"IMPLEMENTATION" "%b"\r\n%b' % (self.mood.greeting, b'"NOTIFY" "mailto"\r\n' * self.mood.lists))
        self.say(b'"SASL" "PLAIN"\r\n"SIEVE" "fileinto"\r\n"VERSION" "1.0"\r\nOK\r\n')

    def hear(self, line: bytes, words: list[bytes]) -> None:
        if self._waits or (words[0].upper() == b"AUTHENTICATE" and words[2:] and words[2].startswith(b'"')):
            self._waits = False
            self.decide(_user_of(words[-1].strip(b'"')), b"OK\r\n", b"NO\r\n")
        elif words[0].upper() == b"AUTHENTICATE" and words[2:] and words[2].endswith(b"+}"):
            self._waits = True
        else:
            self.fail(line)


_SESSIONS: dict[str, type[Session]] = {"imap": Imap, "pop3": Pop3, "smtp": Smtp, "sieve": Sieve}


class Mailboxes:
    """All mailboxes, of which each has the present mood; `seen` counts logins, streams and wrong ones."""

    def __init__(self, seen: Counter[str]) -> None:
        self._mood = Mood(b"ready", lists=True)
        self._number = 0
        self._seen = seen

    def change(self) -> None:
        """Configure all of them anew."""
        self._number += 1
        self._mood = some_mood(self._number)

    def of(self, protocol: str) -> Role:
        """The mailbox of a protocol."""

        async def serve(reader: StreamReader, writer: StreamWriter) -> None:
            mood = self._mood
            session = _SESSIONS[protocol](mood, in_pieces(writer) if mood.pieces else writer.write, self._seen)
            session.greet()
            while not session.over and (line := await reader.readline()):
                if not await self._answer(session, line.rstrip(b"\r\n"), reader, writer):
                    return
            self._seen["ended by the proxy"] += 1

        return serve

    async def _answer(self, session: Session, line: bytes, reader: StreamReader, writer: StreamWriter) -> bool:
        """False if that was the last line."""
        words = line.split()
        match words[:1]:
            case [b"ECHO"]:
                session.say(b"%b %b\r\n" % (session.user, line[5:]))
            case [b"BULK"]:
                await self._bulk(reader, writer, *map(int, words[1:]))
            case [b"HANG"]:
                await asyncio.get_running_loop().create_future()  # reads no more
            case [b"BYE"]:
                writer.write(b"bye\r\n")
                return False
            case [b"PROXY"] | []:
                pass
            case _:
                session.hear(line, words)
        return True

    async def _bulk(self, reader: StreamReader, writer: StreamWriter, size: int, seed: int) -> None:
        """Send and receive `size` bytes at the same time, and tell what has come."""
        self._seen["streams"] += 1
        incoming = Stream(seed + 1)
        try:
            await asyncio.gather(send(writer, Stream(seed), size), receive(reader, incoming, size))
        finally:
            self._seen["bytes"] += incoming.length
            self._seen["wrong"] += not incoming.is_right
        writer.write(incoming.digest.encode() + b"\r\n")


Role = Callable[[StreamReader, StreamWriter], Awaitable[None]]


def in_pieces(writer: StreamWriter) -> Say:
    """A way to write in two segments; what is said meanwhile follows."""
    rest = bytearray()

    def finish() -> None:
        if not writer.transport.is_closing():
            writer.write(bytes(rest))
        rest.clear()

    def say(data: bytes) -> None:
        if not rest:
            asyncio.get_running_loop().call_later(0.002, finish)
            writer.write(data[: len(data) // 2])
            data = data[len(data) // 2 :]
        rest.extend(data)

    return say


def _user_of(response: bytes) -> bytes:
    return b64decode(response).split(b"\0")[1]
