"""The checks that clients must pass before they are served.

They run at accept, or after a PROXY header has named the client. If the name that a client sends in TLS selects its
server, they run as soon as that is known.
"""

from __future__ import annotations

from typing import Protocol

from mailworker.config.access import Rule
from mailworker.mail.client.access import Access
from mailworker.mail.end import End
from mailworker.mail.record import Checks, SessionRecord
from mailworker.model import Address


class GuardedServer(Protocol):
    """The part of the settings of a `server` block that is needed here."""

    @property
    def access(self) -> tuple[Rule, ...]: ...


class AccessCheck(Access):
    """The check of `allow` and `deny`."""

    __slots__ = ()

    @property
    def quick(self) -> AccessCheck:
        """See `Check`."""
        return self

    def passes(self, client: str, _number: int, _now: float) -> bool:
        """See `mailworker.event.lobby.QuickCheck`."""
        return self.allows_host(client)

    def refusal(self, client: Address, record: SessionRecord) -> End | None:
        """See `Check.refusal`."""
        if self.allows(client):
            return None
        record.error("access forbidden by rule")
        return End.DENIED


def new_checks(settings: GuardedServer) -> Checks:
    """The checks of a server that need nothing but its settings; those of bans and of `limit_conn` follow them."""
    return (AccessCheck(settings.access),) if settings.access else ()


def refusal(checks: Checks, client: Address, record: SessionRecord) -> End | None:
    """Run the checks. Gives why the client is not served, after logging it; None if it is served."""
    action, record.action = record.action, "initializing session"  # nginx's word in its stream module
    for check in checks:
        reason = check.refusal(client, record)
        if reason is not None:
            return reason
    record.action = action
    return None
