"""The check that refuses banned clients at accept, if the key is known then."""

from __future__ import annotations

from collections.abc import Sequence

from mailworker.errors import PeerError
from mailworker.mail.end import End
from mailworker.mail.facts import FactsRecord
from mailworker.mail.limits.keys import Key
from mailworker.mail.limits.limit import Limit
from mailworker.mail.record import SessionRecord
from mailworker.model import Address
from mailworker.shm.attempts import Attempts


class BanCheck:
    """See `mailworker.mail.record.Check`. `quick` is the check for a lobby, None if a lobby cannot check."""

    __slots__ = ("_attempts", "_dry_run", "_keys", "_limits", "_same", "quick")

    def __init__(self, limits: Sequence[Limit], attempts: Attempts, *, dry_run: bool, same: object) -> None:
        """`limits` are all limits of `attempts`; checks with equal `same` have the same answers."""
        self._limits = limits
        self._attempts = attempts
        self._keys = [_ban_key(limit) for limit in limits if limit.key is not None]
        self._dry_run = dry_run
        self._same = same
        self.quick = None if any(self._keys) else attempts

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BanCheck) and self._same == other._same

    def __hash__(self) -> int:
        return hash(self._same)

    def refusal(self, client: Address, record: SessionRecord) -> End | None:
        """See `Check.refusal`."""
        now = record.entrance.sessions.loop.now
        banned = self._attempts.banned(record.client, now, tuple(_value(each, record) for each in self._keys))
        if banned is None:
            return None
        place, left = banned
        return self.refuse(self._limits[place], left, record)

    def refuse(self, limit: Limit, left: float, record: SessionRecord) -> End | None:
        """Note that a key of the client is banned for `left` seconds; gives how the session ends, if it does."""
        if isinstance(record, FactsRecord):
            record.limit(b"BANNED_DRY_RUN" if self._dry_run else b"BANNED", limit.name.encode())
        limit.count("limit_dry_run" if self._dry_run else "limit_banned")
        dry_run = ", dry run," if self._dry_run else ""
        record.info(f'client is banned{dry_run} for {left:.0f}s more by zone "{limit.name}"')
        return None if self._dry_run else End.BANNED


def _ban_key(limit: Limit) -> Key | None:
    """The function that gives the key, None if the limit does not ban, or if the key is not known at accept."""
    return limit.key if limit.at_accept and limit.settings.ban else None


def _value(key: Key | None, record: SessionRecord) -> bytes:
    try:
        return b"" if key is None else key(record)
    except PeerError:
        return b""  # a regular expression takes too long for it; the login will log that
