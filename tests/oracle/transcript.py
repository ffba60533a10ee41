"""What happened in a case, without what can never be the same twice."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

PARTS = ("client", "auth", "backend", "log")

_SALT = re.compile(rb"<[0-9]+\.[0-9]+@proxy\.test>")
# base64 of "<" and a digit begins with "PD".
_CHALLENGE = re.compile(rb"^(\+ |334 )(PD[A-Za-z0-9+/]+=*)\r\n", re.MULTILINE)
_SOURCE_PORT = re.compile(rb"^(PROXY TCP[46] \S+ \S+) [0-9]+ ")
_CONNECTION = re.compile(r"^\S+ \S+ \[[a-z]+\] [0-9]+#[0-9]+: \*([0-9]+) ")
_RECORD = re.compile(r"^\S+ \S+ (\[[a-z]+\]) [0-9]+#[0-9]+: (?:\*[0-9]+ )?")
_REFUSAL = re.compile(
    r"log \[info\] client (?:was refused: |left without a login)[^\"]*?(?: while in auth state)?, client: "
)
# Longer records are cut by the proxies, depending on how long process ids are.
_WHOLE_RECORD = 1900
_CONNECTED = re.compile(r" client (\S+):([0-9]*) connected to ")


@dataclass(slots=True)
class Transcript:
    """The bytes of the three parties as printable lines, ">" from the party and "<" to it, and the proxy's log."""

    client: list[str] = field(default_factory=list)
    auth: list[str] = field(default_factory=list)
    backend: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    def lines(self, parts: Sequence[str] = PARTS) -> list[str]:
        """The lines of some parts, or of all."""
        return [f"{part} {text}" for part in parts for text in getattr(self, part)]


def shown(data: bytes) -> str:
    """Bytes as one printable line, without salts and ports."""
    masked = _SOURCE_PORT.sub(rb"\1 PORT ", _SALT.sub(b"<SALT>", data))
    return repr(_CHALLENGE.sub(_mask_challenge, masked))[2:-1]


def sessions(log: str) -> dict[str, list[str]]:
    """The log's lines by the address of the client whose session they tell of, "" for those of no session.

    A line that does not begin as a record does is the rest of the one before it.
    """
    owners: dict[str, str] = {}
    found: dict[str, list[str]] = {}
    owner = ""
    for text in log.splitlines():
        connection = _CONNECTION.match(text)
        connected = _CONNECTED.search(text)
        if connection and connected:
            owners[connection[1]] = connected[1]
        if _RECORD.match(text):
            owner = owners.get(connection[1], "") if connection else ""
        found.setdefault(owner, []).append(_mask_record(text))
    return found


def without_refusals(lines: Iterable[str]) -> list[str]:
    """Lines of a transcript, without those that nginx does not write (refusal-in-log)."""
    return [text for text in lines if not _REFUSAL.match(text)]


def faults(lines: Iterable[str]) -> list[str]:
    """The lines that tell of a proxy's own failure."""
    return [text for text in lines if text.startswith(("[alert]", "[emerg]"))]


def _mask_challenge(match: re.Match[bytes]) -> bytes:
    challenge = b64decode(match[2])
    return match[1] + b"base64(<SALT>)\r\n" if _SALT.fullmatch(challenge) else match[0]


def _mask_record(text: str) -> str:
    masked = _CONNECTED.sub(r" client \1:PORT connected to ", _RECORD.sub(r"\1 ", text))
    return masked if len(masked) <= _WHOLE_RECORD else f"{masked[:_WHOLE_RECORD]}..."
