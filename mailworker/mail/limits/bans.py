"""Who is banned is refused at accept, where the key is known by then."""

from __future__ import annotations

from collections.abc import Iterable

from mailworker.errors import PeerError
from mailworker.mail.end import End
from mailworker.mail.facts import FactsRecord
from mailworker.mail.limits.exempt import Exempt
from mailworker.mail.limits.limit import Limit
from mailworker.mail.record import SessionRecord
from mailworker.model import Address


class BanCheck:
    """See `mailworker.mail.record.Check`."""

    __slots__ = ("_dry_run", "_exempt", "_limits", "_same")

    def __init__(self, limits: Iterable[Limit], exempt: Exempt | None, *, dry_run: bool, same: object) -> None:
        """`same` are equal for checks with the same answers."""
        self._limits = tuple(limits)
        self._exempt = exempt
        self._dry_run = dry_run
        self._same = same

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BanCheck) and self._same == other._same

    def __hash__(self) -> int:
        return hash(self._same)

    def refusal(self, client: Address, record: SessionRecord) -> End | None:
        """See `Check.refusal`."""
        if self._exempt is not None and self._exempt.holds(record.client):
            return None
        now = record.entrance.sessions.loop.now
        for limit in self._limits:
            try:
                key = limit.key(record)
            except PeerError:
                continue  # a regular expression takes too long for it, which the login will say
            left = limit.table.banned(key, now) if key else 0.0
            if left:
                return self._refuse(limit, left, record)
        return None

    def _refuse(self, limit: Limit, left: float, record: SessionRecord) -> End | None:
        if isinstance(record, FactsRecord):
            record.limit(b"BANNED_DRY_RUN" if self._dry_run else b"BANNED", limit.name.encode())
        limit.count("limit_dry_run" if self._dry_run else "limit_banned")
        dry_run = ", dry run," if self._dry_run else ""
        record.info(f'client is banned{dry_run} for {left:.0f}s more by zone "{limit.name}"')
        return None if self._dry_run else End.BANNED
