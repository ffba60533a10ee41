"""Authentication by the backend itself (auth_upstream)."""

from __future__ import annotations

from mailworker.event.connections import Connections
from mailworker.mail.authentication.source import Pause
from mailworker.mail.session_log import SessionLog
from mailworker.wire.auth_request import AuthRequest
from mailworker.wire.auth_response import Accepted, Rejected

_UNJUDGED = Accepted(None, passed_on=True)


class ByBackend:
    """See `LoginSource`: nobody is judged here, which `Accepted.passed_on` says."""

    __slots__ = ("action", "authzid", "name")

    def __init__(self) -> None:
        self.name = "upstream"
        self.action = "in auth state"
        self.authzid = False

    async def authenticate(
        self, connections: Connections, request: AuthRequest, pause: Pause, log: SessionLog
    ) -> Accepted | Rejected:
        """See `LoginSource.authenticate`."""
        return _UNJUDGED

    def close(self) -> None:
        """See `LoginSource.close`."""
