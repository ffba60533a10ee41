"""The interface of the login sources, which decide about logins; auth_http was the first of them."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import Any, Protocol

from mailworker.event.connections import Connections
from mailworker.event.plan import Link
from mailworker.mail.session_log import SessionLog
from mailworker.shm.attempts import Attempt, Attempts
from mailworker.wire.auth_request import AuthRequest
from mailworker.wire.auth_response import Accepted, Rejected
from mailworker.wire.login import Login


class Conversing(Protocol):
    """The part of a session that is needed to write to its log and to open connections for it."""

    connections: Connections

    @property
    def log(self) -> SessionLog: ...


class Applicant(Conversing, Protocol):
    """A session that waits for a verdict; `log` gets the login's name if that comes with an error."""

    def judged(self, verdict: Accepted | Rejected, /) -> Link:
        """The link that follows from the verdict."""

    def fail(self, error: Exception, /) -> Coroutine[Any, Any, None]:
        """The coroutine that follows if there is no verdict."""

    def pause(self, seconds: float, /) -> Awaitable[None]:
        """Wait before the source is asked again; raises the error that ends the session."""


class Limited(Conversing, Protocol):
    """A session whose logins are limited; `attempt` is the one whose result is still open, None if there is none."""

    attempt: Attempt | None

    def limited(self) -> Link:
        """Refuse the login for now, and end the session."""


class LimitedApplicant(Limited, Applicant, Protocol):
    """A limited session that waits for a verdict."""

    def ask(self) -> Link:
        """Let the source of logins decide about the current login."""


class LoginGuard(Protocol):
    """Limits the logins of a server."""

    @property
    def quick(self) -> Attempts | None:
        """Counts most attempts faster than `enter`; None if a key needs more than the address and the name."""

    def enter(self, login: Login, applicant: LimitedApplicant, /) -> Link:
        """Let the applicant ask about its login, now or later, or refuse it."""

    def go_on(self, attempt: Attempt | None, applicant: LimitedApplicant, /) -> Link:
        """As `enter` for an attempt that has been counted; None for a client that no limit counts."""

    def miss(self, session: Limited, /) -> Link:
        """Count a login refused without a verdict; gives the link that follows, None if the session goes on."""

    def bans(self, session: Limited, /) -> bool:
        """Whether an operator has banned the user by the name that the source of logins has given."""

    def fail(self, attempt: Attempt, login: Login, verdict: Rejected, now: float, /) -> bool:
        """Count a refused attempt if the verdict is about the client; gives whether it is."""

    async def hold_back(self, asked: float, /) -> None:
        """Delay the refusal of an attempt about which the source was asked at the time `asked`.

        In a flood of refusals they are sent at once; the attempts are counted all the same.
        """


class LoginSource(Protocol):
    """Decides about the logins of a server, and names their backends.

    `kind` is its name in variables, `name` its name in the log, `action` the action of a session that is asking it.
    `authzid` tells whether it decides about the authorization identity of PLAIN.
    """

    kind: str
    name: str
    action: str
    authzid: bool

    def judge(self, request: AuthRequest, applicant: Applicant) -> Link:
        """The link that gets a verdict on `request` and gives it to the applicant.

        If there is no verdict, raises a PeerError of Party.AUTH_SERVICE or calls the applicant's `fail` with it.
        """

    def close(self) -> None:
        """Close the connections that are kept for later logins: there will be none."""
