"""The capabilities and commands that a client may use before it is logged in."""

from __future__ import annotations

import secrets
from time import time

from mailworker.errors import Party, ProtocolError
from mailworker.event.stream import Stream
from mailworker.mail.server import Server
from mailworker.model import AuthMethod, Starttls


class Refused(ProtocolError):
    """A command that exists but is not allowed here or now: answered as an invalid one, but not counted as an error.

    `what` is logged; it never contains the client's own words.
    """

    def __init__(self, what: str = "command not allowed here") -> None:
        super().__init__(Party.CLIENT, what)


class NoLogin(Refused):
    """An attempt to log in that is refused before the login source is asked."""


class Offer:
    """The capabilities, which depend on the server and on whether the connection with `client` is encrypted.

    `missed`: a login was refused without asking the login source.
    """

    __slots__ = ("client", "missed", "server")

    def __init__(self, client: Stream, server: Server) -> None:
        self.client = client
        self.missed = False
        self.server = server

    def enabled(self, method: AuthMethod) -> bool:
        """Whether the server's configuration lists `method`."""
        return method in self.server.settings.dialogue.auth

    @property
    def secure(self) -> bool:
        """Whether the connection is encrypted."""
        return self.client.secure

    @property
    def capabilities(self) -> bytes:
        """The reply that lists the current capabilities."""
        replies = self.server.capabilities
        return replies.secure if self.secure else replies.clear

    def demand_tls(self) -> None:
        """Raises Refused in clear if `starttls only` demands an encrypted connection."""
        if self.server.starttls_only and not self.secure:
            raise NoLogin("login without TLS")

    def demand_starttls(self) -> None:
        """Raises Refused if STARTTLS and STLS are not offered."""
        if self.secure:
            raise Refused("STARTTLS inside TLS")
        if self.server.settings.starttls is Starttls.OFF:
            raise Refused("STARTTLS where it is off")

    def new_salt(self) -> bytes:
        """A challenge that is never used twice, in the form of RFC 1939 and 2195."""
        return b"<%d.%d@%b>" % (secrets.randbits(64), int(time()), self.server.settings.server_name)
