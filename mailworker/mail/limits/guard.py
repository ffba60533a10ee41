"""The limits of a server's logins, applied before its login source is asked and after the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mailworker.config.limit_auth import REQUEST, AuthDelay, LimitAuthSettings
from mailworker.config.networks import Network
from mailworker.event.plan import Link
from mailworker.mail.authentication.source import Limited, LimitedApplicant
from mailworker.mail.facts import FactsRecord
from mailworker.mail.held import Held
from mailworker.mail.limits.bans import BanCheck
from mailworker.mail.limits.delay import Penalty
from mailworker.mail.limits.limit import Limit
from mailworker.mail.limits.shuffled import Shuffled
from mailworker.mail.record import Checks, SessionRecord
from mailworker.mail.session_log import SessionLog
from mailworker.model import AuthMethod, Level
from mailworker.shm.attempts import NONE, Attempt, Attempts, banned_by_operator
from mailworker.shm.keys import user_key
from mailworker.wire.auth_response import Rejected
from mailworker.wire.login import Login

# Seconds between two checks whether attempts of the same key have been settled, and for how long at most.
_LOOK_AGAIN: Final = 0.1
_PATIENCE: Final = 5.0


class Guard:
    """The limits of one server; a worker makes one for each server that has limits.

    `checks` run at accept. `limits` are the rules of `attempts`; the last one may count nothing and only hold the
    penalties of `auth_delay`. `quick` handles most attempts, None if a key or a variable needs more.
    """

    __slots__ = (
        "_attempts", "_check", "_dry_run", "_held", "_keys", "_level", "_of_users", "_seconds", "_shuffled", "_zone",
        "checks", "limits", "quick",
    )  # fmt: skip

    def __init__(
        self, settings: LimitAuthSettings, limits: Sequence[Limit], shuffled: Shuffled, held: Held, *, noted: bool
    ) -> None:
        """`noted`: variables use the result of the limits."""
        delay = settings.delay
        self.limits = tuple(limits)
        self._dry_run = settings.dry_run
        self._level = settings.log_level
        self._shuffled = shuffled
        self._held = held
        self._seconds = 0.0 if delay is None else delay.seconds
        self._keys = [limit.key for limit in self.limits if limit.key is not None]
        self._zone = settings.limits[-1].zone.name.encode() if settings.limits and noted else None
        self._attempts = attempts = Attempts(
            tuple(limit.rule for limit in self.limits),
            settings.prefix,
            tuple(map(_packed, settings.exempt)),
            _penalised(delay, self.limits),
            None if delay is None or delay.zone is None else Penalty(delay.seconds, delay.most),
            shuffled.loop,
        )
        banning = tuple(limit.settings.zone for limit in self.limits if limit.at_accept and limit.settings.ban)
        same = (banning, settings.exempt, settings.dry_run, settings.prefix)
        self._check = check = BanCheck(self.limits, attempts, dry_run=settings.dry_run, same=same)
        self.checks: Checks = (check,) if banning else ()
        self._of_users = tuple(limit for limit in self.limits if limit.settings.ban and not limit.at_accept)
        self.quick = None if self._keys or self._zone is not None else attempts

    def enter(self, login: Login, session: LimitedApplicant) -> Link:
        """See `LoginGuard.enter`."""
        if login.method is AuthMethod.NONE:
            return session.ask()
        return self.go_on(self._enter(session.log), session)

    def go_on(self, attempt: Attempt | None, session: LimitedApplicant) -> Link:
        """See `LoginGuard.go_on`."""
        if attempt is not None:
            if not attempt:
                return self._hold(attempt, session)
            if self._zone is not None:
                _note(session, b"PASSED", self._zone)
            session.attempt = attempt
        return session.ask()

    def miss(self, session: Limited) -> Link:
        """See `LoginGuard.miss`."""
        attempt = self._enter(session.log)
        if attempt is None:
            return None
        attempt.keep()
        self._complain(attempt, session)
        return self._refuse(attempt, session) if attempt.wait < 0.0 else None

    def bans(self, session: Limited) -> bool:
        """See `LoginGuard.bans`."""
        record, now = _record(session.log), session.connections.loop.now
        for limit in self._of_users:
            key = user_key(record.login) if limit.key is None else limit.key(record)
            left = banned_by_operator(limit.table, key, now) if key else 0.0
            if left and self._check.refuse(limit, left, record) is not None:
                return True
        return False

    def fail(self, attempt: Attempt, login: Login, verdict: Rejected, now: float) -> bool:
        """See `LoginGuard.fail`."""
        if verdict.temporary:
            attempt.drop()
            return False
        attempt.fail(_tried(login), now)
        return True

    async def hold_back(self, asked: float) -> None:
        """See `LoginGuard.hold_back`."""
        if self._seconds and not self._held.full:
            with self._held:
                await self._shuffled.hold(asked + self._seconds)

    def _enter(self, log: SessionLog) -> Attempt | None:
        keys = tuple(key(log) for key in self._keys)
        return self._attempts.enter(log.client, log.login, keys)

    async def _hold(self, attempt: Attempt, session: LimitedApplicant) -> Link:
        """Hold an attempt that must wait or is over a limit, and go on with it."""
        try:
            refused = await self._wait(attempt, session)
        except BaseException:  # the client has left, or its time is over: nobody was asked, so it has learned nothing
            attempt.drop()
            raise
        if refused is not None:
            return refused
        session.attempt = attempt
        attempt.asked = session.connections.loop.now
        return session.ask()

    async def _wait(self, attempt: Attempt, session: LimitedApplicant) -> Link:
        """Wait until the attempt may go on, None, or is refused: pending attempts may still succeed and make room."""
        loop = session.connections.loop
        patience = loop.now + _PATIENCE
        self._complain(attempt, session)
        while attempt.wait < 0.0 and not self._dry_run and loop.now < patience and attempt.may_settle():
            if self._held.full:
                break
            with self._held:
                await session.pause(_LOOK_AGAIN)
            attempt.enter(loop.now)
        if attempt.wait < 0.0:
            return self._refuse(attempt, session)
        if attempt.wait > 0.0:
            return await self._delay(attempt, session)
        if self._zone is not None:
            _note(session, b"PASSED", self._zone)
        return None

    async def _delay(self, attempt: Attempt, session: LimitedApplicant) -> Link:
        """Delay the attempt before the source is asked; None if the source is to be asked then."""
        dry = self._dry_run
        limit = None if attempt.over == NONE else self.limits[attempt.over]
        if limit is not None:
            level = min(self._level + 1, Level.INFO)
            self._tell(attempt, limit, session, "delaying request{}, excess: {}, by zone", level)
            _note(session, b"DELAYED_DRY_RUN" if dry else b"DELAYED", limit.name.encode())
            limit.count("limit_dry_run" if dry else "limit_delayed")
        if dry:
            return None
        if self._held.full:  # a flood must not bypass a limit's delay; a penalty may be skipped
            return None if limit is None else self._refuse(attempt, session)
        with self._held:
            await session.pause(attempt.wait)
        return None

    def _refuse(self, attempt: Attempt, session: Limited) -> Link:
        limit, dry = self.limits[attempt.over], self._dry_run
        self._tell(attempt, limit, session, "limiting requests{}, excess: {} by zone", self._level)
        _note(session, b"REJECTED_DRY_RUN" if dry else b"REJECTED", limit.name.encode())
        limit.count("limit_dry_run" if dry else "limit_rejected")
        if dry:
            return None
        key = attempt.key(attempt.over)
        pending = 0 if limit.settings.counts_all else limit.table.pending(key)
        if attempt.excess - REQUEST * pending > limit.settings.burst:  # also without those that may succeed
            limit.ban(key, _record(session.log), session.connections.loop.now, self._level)
        attempt.drop()
        return session.limited()

    def _tell(self, attempt: Attempt, limit: Limit, session: Limited, message: str, level: int) -> None:
        excess = f"{attempt.excess // REQUEST}.{attempt.excess % REQUEST:03}"
        text = message.format(", dry run" if self._dry_run else "", excess)
        session.log.write(Level(level), f'{text} "{limit.name}"')

    def _complain(self, attempt: Attempt, session: Limited) -> None:
        if attempt.full != NONE:
            self.limits[attempt.full].complain(_record(session.log), session.connections.loop.now)


def _record(log: SessionLog) -> SessionRecord:
    assert isinstance(log, SessionRecord)
    return log


def _tried(login: Login) -> bytes:
    """What counts once, however often it is tried; b"" for no password and for an answer to a challenge."""
    if not login.password or login.salt is not None:
        return b""
    return b"%b\0%b" % (login.name, login.password.revealed)


def _note(session: Limited, status: bytes, zone: bytes) -> None:
    if isinstance(session.log, FactsRecord):
        session.log.limit(status, zone)


def _penalised(delay: AuthDelay | None, limits: Sequence[Limit]) -> int:
    """The index of the limit whose zone holds the penalties."""
    zone = None if delay is None else delay.zone
    return next((place for place, limit in enumerate(limits) if limit.settings.zone == zone), NONE)


def _packed(network: Network) -> tuple[bytes, int]:
    return (b"", 0) if isinstance(network, str) else (network.network_address.packed, network.prefixlen)
