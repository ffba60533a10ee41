"""Who decides about a login: the interface, of which auth_http is the first implementation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from mailworker.event.connections import Connections
from mailworker.wire.auth_request import AuthRequest
from mailworker.wire.auth_response import Accepted, Rejected

Pause = Callable[[float], Awaitable[None]]


class Authenticator(Protocol):
    """Decides about logins and names the backend. `name` is how the log calls it."""

    name: str

    async def authenticate(self, connections: Connections, request: AuthRequest, pause: Pause) -> Accepted | Rejected:
        """The verdict on `request`; raises a PeerError of Party.AUTH_SERVICE where there is none.

        `pause` waits for a time in seconds before the answer is asked for again, and raises what ends the session.
        """

    def close(self) -> None:
        """Give back what is kept for later logins; there will be none."""
