"""A case: what a client says to which server block, and what the auth service and the backend answer."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto


class Act(Enum):
    """What a party of a case does instead of sending something."""

    SHAKE_HANDS = auto()
    """The client begins TLS."""
    END = auto()
    """The client sends nothing more and reads until the proxy closes."""
    AWAIT_CLOSE = auto()
    """The client reads until the proxy closes."""
    AWAIT_INPUT = auto()
    """The client waits for something to come; only on a stage, where it does so at no other time."""
    CLOSE = auto()
    """A service closes the connection without an answer."""
    KEEP_SILENT = auto()
    """A service gives no answer until the proxy closes."""


@dataclass(frozen=True, slots=True)
class Send:
    """Bytes that the client sends at once; it goes on when `replies` replies have come."""

    data: bytes
    replies: int = 1


@dataclass(frozen=True, slots=True)
class AtEnd:
    """What a backend answers when the proxy has ended its output."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Held:
    """An answer behind which the connection stays open, where others of the auth service close it."""

    data: bytes


Step = Send | Act
Answer = bytes | Act | AtEnd | Held


@dataclass(frozen=True, slots=True)
class Difference:
    """That mailworker differs from nginx as the `name` in differences.TABLE says.

    `ours` stands in mailworker's transcript and not in nginx's; `theirs` the other way round.
    """

    name: str
    ours: str = ""
    theirs: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One dialogue.

    `server` names one of configuration.SERVERS. The service gives the n-th of the `auth` answers to the n-th
    request, and the last one to all that follow. The backend answers what it reads with `backend`, the first of
    which is its greeting; for None and beyond the last one it answers as a healthy server would.
    """

    name: str
    server: str
    client: tuple[Step, ...]
    auth: tuple[Answer, ...]
    backend: tuple[Answer | None, ...]
    differs: Difference | None

    @property
    def protocol(self) -> str:
        return self.server.partition("-")[0]


def line(text: str) -> bytes:
    """Bytes of a line: a text's characters are bytes, CRLF is added."""
    return text.encode("latin-1") + b"\r\n"


def at_once(*lines: str, replies: int | None = None) -> Send:
    """Pipelined lines, by default with a reply for each."""
    return Send(b"".join(map(line, lines)), len(lines) if replies is None else replies)


def raw(text: str, replies: int = 1) -> Send:
    """Exactly these bytes."""
    return Send(text.encode("latin-1"), replies)


def base64(text: str) -> str:
    return b64encode(text.encode("latin-1")).decode()


def plain(*parts: str) -> str:
    """A response of PLAIN: whom to act for, user and password."""
    return base64("\0".join(parts))


PLAIN = plain("", "user", "pass")


def headers(*lines: str, status: str = "HTTP/1.0 200 OK") -> bytes:
    """An auth response; `$server` and `$port` are the backend's, on `$closed` nobody listens."""
    return b"".join(map(line, (status, *lines, "")))


def accept(*more: str) -> bytes:
    return headers("Auth-Status: OK", "Auth-Server: $server", "Auth-Port: $port", *more)


def reject(text: str = "Invalid login", *more: str) -> bytes:
    return headers(f"Auth-Status: {text}", *more)


def case(
    name: str,
    server: str,
    *client: str | Step,
    auth: Answer | Sequence[Answer] = (),
    backend: Sequence[str | Answer | None] = (),
    differs: Difference | None = None,
) -> Case:
    """A `Case`: a text of the client is one line with one reply, a text of the backend one line."""
    return Case(
        name=f"{server}: {name}",
        server=server,
        client=tuple(Send(line(step)) if isinstance(step, str) else step for step in client),
        auth=((auth,) if isinstance(auth, Answer) else tuple(auth)) or (accept(),),
        backend=tuple(line(answer) if isinstance(answer, str) else answer for answer in backend),
        differs=differs,
    )
