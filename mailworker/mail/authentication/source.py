"""The interface of what decides about logins; auth_http is the first implementation."""

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
    """The part of a session that is needed to write to its log and to connect on its behalf."""

    connections: Connections

    @property
    def log(self) -> SessionLog: ...


class Applicant(Conversing, Protocol):
    """A session that waits for a verdict; `log` gets the login's name if that comes with an error."""

    def judged(self, verdict: Accepted | Rejected, /) -> Link:
        """What follows from the verdict."""

    def fail(self, error: Exception, /) -> Coroutine[Any, Any, None]:
        """What follows where there is no verdict."""

    def pause(self, seconds: float, /) -> Awaitable[None]:
        """Wait before an answer is asked for again; raises what ends the session."""


class Limited(Conversing, Protocol):
    """A session whose logins are limited; `attempt` is what has to be settled, None without such."""

    attempt: Attempt | None

    def limited(self) -> Link:
        """Refuse the login for now, and end."""


class LimitedApplicant(Limited, Applicant, Protocol):
    """One that waits for a verdict."""

    def ask(self) -> Link:
        """Let the source of logins decide about the login at hand."""


class LoginGuard(Protocol):
    """Limits the logins of a server."""

    @property
    def quick(self) -> Attempts | None:
        """What counts most attempts, as `enter` does with all; None where it needs more than an address and a name."""

    def enter(self, login: Login, applicant: LimitedApplicant, /) -> Link:
        """Let the applicant ask about a login, now or later, or refuse it."""

    def go_on(self, attempt: Attempt | None, applicant: LimitedApplicant, /) -> Link:
        """The same of an attempt that has been counted, None for a client that is in no limit."""

    def miss(self, session: Limited, /) -> Link:
        """A login was refused before anybody could judge it; gives what follows, None where that is nothing."""

    def fail(self, attempt: Attempt, login: Login, verdict: Rejected, now: float, /) -> bool:
        """Refuse the client if the verdict says so; gives whether it does."""

    async def hold_back(self, asked: float, /) -> None:
        """Let a refusal wait, of an attempt about which somebody was asked at that time.

        Who floods us with them hears them at once, and is counted.
        """


class LoginSource(Protocol):
    """Decides about the logins of a server, and says where they go.

    `kind` is its word in variables, `name` how the log calls it, `action` what a session is doing while it is asked.
    `authzid` tells whether it decides for whom clients of PLAIN may act.
    """

    kind: str
    name: str
    action: str
    authzid: bool

    def judge(self, request: AuthRequest, applicant: Applicant) -> Link:
        """What leads to a verdict on `request`, which the applicant gets.

        Raises a PeerError of Party.AUTH_SERVICE where there is none, or lets the applicant fail by it.
        """

    def close(self) -> None:
        """Close what is kept for later logins: there will be none."""
