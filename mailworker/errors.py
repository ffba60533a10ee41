"""What can go wrong, named by the party at fault.

Every error that a session can meet is one of these. Anything else that is raised is a bug of mailworker:
it is logged at [alert] and ends the session it was raised in.
"""

from __future__ import annotations

from enum import Enum

# Characters of a value that are worth escaping, which costs time: a record of the log has no more bytes.
LONGEST_VALUE = 2048


def escape(value: bytes | str) -> str:
    r"""A value that somebody else chose, fit for a message: what could forge or disturb a log's record becomes \xXX.

    That is what nobody can see or print, such as control bytes and marks that turn the direction of a text, what could
    end a quoted value, and what was no UTF-8. More than LONGEST_VALUE characters are not looked at.
    """
    text = (value if isinstance(value, str) else value.decode("utf-8", "surrogateescape"))[:LONGEST_VALUE]
    if text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return "".join(c if c.isprintable() and c not in '"\\' else escape_character(c) for c in text)


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
    nginx reports without a position. `hint` stands behind all that nginx says: what may have been meant.
    """

    def __init__(self, message: str, where: str | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message if self.where is None else f'{self.message} in {self.where}'}{self.hint}"


class UnreadableError(ConfigError):
    """The configuration file can be opened and not read: no file but a folder. nginx logs this alone at [crit]."""


class StartError(MailworkerError):
    """The configuration is good but the system refuses what it asks for (a port taken, a folder missing)."""


class Party(Enum):
    """The party at the other end of a connection."""

    CLIENT = "client"
    AUTH_SERVICE = "auth http server"
    BACKEND = "upstream"
    RESOLVER = "resolver"


class PeerError(MailworkerError):
    """A peer broke a rule, went away or let its time pass; the session ends, the worker goes on."""

    def __init__(self, party: Party, message: str) -> None:
        super().__init__(message)
        self.party = party


class Kicked(PeerError):
    """Somebody has ended the session, which is for it as if its client had gone; the text says who and why."""

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
        """Whether it was lost while TLS was begun."""
        return self.call == "SSL_do_handshake()"


class TlsError(PeerError):
    """OpenSSL refused a peer's handshake or record; `reasons` is its error queue, oldest first."""

    def __init__(self, party: Party, call: str, reasons: tuple[str, ...]) -> None:
        super().__init__(party, f"{call} failed")
        self.call = call
        self.reasons = reasons


class OutOfConnections(MailworkerError):
    """`worker_connections` is used up; nobody's fault but the administrator's."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} worker_connections are not enough")


class NotResolved(PeerError):
    """No name server has told what was asked.

    `code` is the RCODE of the answer (RFC 1035 section 4.1.1), ETIMEDOUT where none came in time; `reason` is nginx's
    text for it.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(Party.RESOLVER, f"could not be resolved ({code}: {reason})")
        self.code = code


class HostNotFound(NotResolved):
    """A name server knows that there is no such name, or nothing of what was asked for."""

    def __init__(self) -> None:
        super().__init__(3, "Host not found")
