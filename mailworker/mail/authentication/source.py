"""Who decides about a login: the interface, of which auth_http is the first implementation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from mailworker.event.connections import Connections
from mailworker.mail.session_log import SessionLog
from mailworker.wire.auth_request import AuthRequest
from mailworker.wire.auth_response import Accepted, Rejected

Pause = Callable[[float], Awaitable[None]]


class LoginSource(Protocol):
    """Decides about the logins of a server, and says where they go.

    `kind` is its word in variables, `name` how the log calls it, `action` what a session is doing while it is asked.
    `authzid` tells whether it decides for whom clients of PLAIN may act.
    """

    kind: str
    name: str
    action: str
    authzid: bool

    async def authenticate(
        self, connections: Connections, request: AuthRequest, pause: Pause, log: SessionLog
    ) -> Accepted | Rejected:
        """The verdict on `request`; raises a PeerError of Party.AUTH_SERVICE where there is none.

        `pause` waits for a time in seconds before the answer is asked for again, and raises what ends the session.
        `log` is told the login's name where that comes with an error.
        """

    def close(self) -> None:
        """Close what is kept for later logins: there will be none."""
