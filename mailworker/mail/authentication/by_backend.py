"""Authentication by the backend itself (auth_upstream)."""

from __future__ import annotations

from mailworker.event.plan import Link
from mailworker.mail.authentication.source import Applicant
from mailworker.model import Address
from mailworker.wire.auth_request import AuthRequest
from mailworker.wire.auth_response import Accepted


class ByBackend:
    """See `LoginSource`. It accepts every login, with `Accepted.passed_on` set, as the backend will decide.

    `backend` is the one that decides, None if it is chosen for each login.
    """

    __slots__ = ("_verdict", "action", "authzid", "name")

    kind = "upstream"

    def __init__(self, backend: Address | None) -> None:
        self._verdict = Accepted(backend, passed_on=True)
        self.name = "upstream"
        self.action = "in auth state"
        self.authzid = False

    def judge(self, _request: AuthRequest, applicant: Applicant) -> Link:
        """See `LoginSource.judge`."""
        return self.pass_on(applicant)

    def pass_on(self, applicant: Applicant) -> Link:
        """As `judge`, without a request, as nobody reads it."""
        return applicant.judged(self._verdict)

    def close(self) -> None:
        """See `LoginSource.close`."""
