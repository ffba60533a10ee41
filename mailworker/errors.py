"""All exceptions of mailworker, named by the party at fault.

Every error that a session can meet is one of these. Any other exception is a bug of mailworker:
it is logged at [alert] and ends the session it was raised in.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

# Most characters of a value that are escaped, as escaping costs time: a log record has no more bytes.
LONGEST_VALUE = 2048


def escape(value: bytes | str) -> str:
    r"""An untrusted value, fit for a message: characters that could forge or disturb a log record become \xXX.

    These are unprintable ones, such as control characters and marks that turn the direction of a text, those that could
    end a quoted value, and bytes that are no UTF-8. Anything after LONGEST_VALUE characters is cut off.
    """
    text = (value if isinstance(value, str) else value.decode("utf-8", "surrogateescape"))[:LONGEST_VALUE]
    if text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return "".join(c if c.isprintable() and c not in '"\\' else escape_character(c) for c in text)


def printable(text: str) -> str:
    r"""The text, with every unprintable character as \xXX."""
    return text if text.isprintable() else "".join(c if c.isprintable() else escape_character(c) for c in text)


def counted(number: int, thing: str) -> str:
    """A number of things in words, such as `1 line` or `2 lines`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def escape_character(character: str) -> str:
    r"""A character as \xXX, byte by byte."""
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) & 0xFF:02X}"
    return "".join(f"\\x{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


class MailworkerError(Exception):
    """Root of all errors that mailworker raises on purpose."""


class ConfigError(MailworkerError):
    """The administrator's configuration cannot be used.

    `where` is the text nginx appends after " in ": "FILE:LINE", "command line", or None for errors that
    nginx reports without a position. `hint` stands behind all that nginx says: what may have been meant, or is known.
    """

    def __init__(self, message: str, where: str | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message if self.where is None else f'{self.message} in {self.where}'}{self.hint}"


class UnreadableError(ConfigError):
    """The configuration file can be opened but not read, as it is a folder. nginx logs only this error at [crit]."""


class StartError(MailworkerError):
    """The configuration is good but the system refuses what it asks for (a port taken, a folder missing)."""


class Party(Enum):
    """The party at the other end of a connection."""

    CLIENT = "client"
    AUTH_SERVICE = "auth http server"
    BACKEND = "upstream"
    RESOLVER = "resolver"


# Each login needs them, and Python 3.11 takes some 850 instructions to find a member in its enum.
CLIENT: Final = Party.CLIENT
AUTH_SERVICE: Final = Party.AUTH_SERVICE
BACKEND: Final = Party.BACKEND


class PeerError(MailworkerError):
    """A peer broke a rule, closed its connection or timed out; the session ends, the worker goes on."""

    def __init__(self, party: Party, message: str) -> None:
        super().__init__(message)
        self.party = party


class Kicked(PeerError):
    """A control command has ended the session, as if its client had closed; the text says who and why."""

    def __init__(self, why: str) -> None:
        super().__init__(Party.CLIENT, why)


class ProtocolError(PeerError):
    """A peer sent what its protocol does not allow."""


class TimedOut(PeerError):
    """A peer let its deadline pass."""

    def __init__(self, party: Party) -> None:
        super().__init__(party, f"{party.value} timed out")


class ConnectionLost(PeerError):
    """A system call on a connection failed.

    `call` is the call as nginx names it ("recv()"), `errno` the system's error number, 0 where the peer
    closed the connection in the middle of a dialogue.
    """

    def __init__(self, party: Party, call: str, errno: int) -> None:
        super().__init__(party, f"{call} failed" if errno else f"{party.value} closed the connection")
        self.call = call
        self.errno = errno

    @property
    def in_handshake(self) -> bool:
        """Whether the connection was lost in the TLS handshake."""
        return self.call == "SSL_do_handshake()"


class TlsError(PeerError):
    """OpenSSL refused a peer's handshake or record; `reasons` is its error queue, oldest first."""

    def __init__(self, party: Party, call: str, reasons: tuple[str, ...]) -> None:
        super().__init__(party, f"{call} failed")
        self.call = call
        self.reasons = reasons


class OutOfConnections(MailworkerError):
    """All `worker_connections` are in use; no peer is at fault."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} worker_connections are not enough")


class NotResolved(PeerError):
    """A DNS question has no usable answer.

    `code` is the RCODE of the answer (RFC 1035 section 4.1.1), ETIMEDOUT where none came in time; `reason` is nginx's
    text for it.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(Party.RESOLVER, f"could not be resolved ({code}: {reason})")
        self.code = code


class HostNotFound(NotResolved):
    """A name server says that there is no such name, or no record of the type that was asked for."""

    def __init__(self) -> None:
        super().__init__(3, "Host not found")
