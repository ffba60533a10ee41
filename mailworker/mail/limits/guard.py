"""The limits of a server's logins: what comes before its source of logins is asked, and behind the answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from mailworker.config.limit_auth import REQUEST, LimitAuthSettings
from mailworker.event.plan import Link
from mailworker.mail.authentication.source import Limited, LimitedApplicant, LoginSource
from mailworker.mail.facts import FactsRecord
from mailworker.mail.limits.bans import BanCheck
from mailworker.mail.limits.delay import Penalty
from mailworker.mail.limits.exempt import Exempt
from mailworker.mail.limits.limit import Limit
from mailworker.mail.limits.shuffled import Shuffled
from mailworker.mail.record import Checks, SessionRecord
from mailworker.model import AuthMethod, Level
from mailworker.wire.auth_request import AuthRequest
from mailworker.wire.auth_response import Rejected
from mailworker.wire.login import Login

# Seconds between two looks whether attempts of the same key have been settled, and for how long at most.
_LOOK_AGAIN: Final = 0.1
_PATIENCE: Final = 5.0

# The reply's first digit of what is not the client's fault.
_TEMPORARY: Final = b"4"


class Held:
    """How many sessions of a worker wait because of limits, of `most`."""

    __slots__ = ("most", "now")

    def __init__(self, most: int) -> None:
        self.most = most
        self.now = 0

    def __enter__(self) -> None:
        self.now += 1

    def __exit__(self, *_: object) -> None:
        self.now -= 1

    @property
    def full(self) -> bool:
        return self.now >= self.most


class Guard:
    """Made in a worker that serves, for each server that has limits.

    `checks` are what it asks at accept. `penalised` is what `auth_delay` has its keys of, None without a zone;
    `penalty` says how long they have to wait.
    """

    __slots__ = (
        "_dry_run",
        "_exempt",
        "_held",
        "_level",
        "_shuffled",
        "checks",
        "limits",
        "penalised",
        "penalty",
        "seconds",
    )

    def __init__(
        self,
        settings: LimitAuthSettings,
        limits: Iterable[Limit],
        penalised: Limit | None,
        shuffled: Shuffled,
        held: Held,
    ) -> None:
        delay = settings.delay
        self.limits = tuple(limits)
        self._exempt = Exempt(settings.exempt) if settings.exempt else None
        self._dry_run = settings.dry_run
        self._level = settings.log_level
        self._shuffled = shuffled
        self._held = held
        self.penalised = penalised
        self.penalty = None if delay is None or penalised is None else Penalty(delay.seconds, delay.most)
        self.seconds = 0.0 if delay is None else delay.seconds
        banning = [limit for limit in self.limits if limit.at_accept and limit.settings.ban]
        same = (tuple(limit.settings.zone for limit in banning), settings.exempt, settings.dry_run, settings.prefix)
        check = BanCheck(banning, self._exempt, dry_run=settings.dry_run, same=same)
        self.checks: Checks = (check,) if banning else ()

    def judge(self, source: LoginSource, request: AuthRequest, session: LimitedApplicant) -> Link:
        """Ask `source`, if the limits allow it."""
        record = _record(session)
        if request.login.method is AuthMethod.NONE or (self._exempt is not None and self._exempt.holds(record.client)):
            return source.judge(request, session)
        attempt = Attempt(self, record, request.login)
        wait = attempt.enter(session.connections.loop.now)
        if wait:
            return self._hold(attempt, source, request, session)
        if self.limits:
            _note(record, b"PASSED", self.limits[-1])
        session.attempt = attempt
        return source.judge(request, session)

    def miss(self, session: Limited) -> Link:
        """See `LoginGuard.miss`."""
        record = _record(session)
        if self._exempt is not None and self._exempt.holds(record.client):
            return None
        attempt = Attempt(self, record, None)
        return self._refuse(attempt, session) if attempt.enter(session.connections.loop.now) < 0.0 else None

    async def hold_back(self, asked: float) -> None:
        """Let a refusal wait, if there is room: who floods us with them hears them at once, and is counted."""
        if self.seconds and not self._held.full:
            with self._held:
                await self._shuffled.hold(asked + self.seconds)

    async def _hold(
        self, attempt: Attempt, source: LoginSource, request: AuthRequest, session: LimitedApplicant
    ) -> Link:
        """An attempt has to wait, or is over a limit: maybe only until others that are under way have succeeded."""
        loop = session.connections.loop
        patience = loop.now + _PATIENCE
        while attempt.wait < 0.0 and not self._dry_run and loop.now < patience and attempt.may_settle(loop.now):
            if self._held.full:
                break
            with self._held:
                await session.pause(_LOOK_AGAIN)
            attempt.enter(loop.now)
        if attempt.wait < 0.0:
            refused = self._refuse(attempt, session)
            if refused is not None:
                return refused
        elif attempt.wait > 0.0:
            refused = await self._delay(attempt, session)
            if refused is not None:
                return refused
        session.attempt = attempt
        attempt.asked = loop.now
        return source.judge(request, session)

    def level(self, key: bytes, now: float) -> int:
        """What penalty there is for a key."""
        if self.penalised is None or self.penalty is None:
            return 0
        return self.penalty.level(*self.penalised.table.penalty(key, now))

    async def _delay(self, attempt: Attempt, session: LimitedApplicant) -> Link:
        """Wait before the source is asked; None where it is asked then."""
        limit, dry = attempt.over, self._dry_run
        if limit is not None:
            level = min(self._level + 1, Level.INFO)
            self._tell(attempt, limit, session, "delaying request{}, excess: {}, by zone", level)
            _note(_record(session), b"DELAYED_DRY_RUN" if dry else b"DELAYED", limit)
            limit.count("limit_dry_run" if dry else "limit_delayed")
        if dry:
            return None
        if self._held.full:  # what a limit delays must not get through by a flood; a penalty is only a courtesy
            return None if limit is None else self._refuse(attempt, session)
        with self._held:
            await session.pause(attempt.wait)
        return None

    def _refuse(self, attempt: Attempt, session: Limited) -> Link:
        limit, dry, record = attempt.over, self._dry_run, _record(session)
        assert limit is not None
        self._tell(attempt, limit, session, "limiting requests{}, excess: {} by zone", self._level)
        _note(record, b"REJECTED_DRY_RUN" if dry else b"REJECTED", limit)
        limit.count("limit_dry_run" if dry else "limit_rejected")
        if dry:
            return None
        limit.ban(attempt.key_of(limit), record, session.connections.loop.now, self._level)
        return session.limited()

    def _tell(self, attempt: Attempt, limit: Limit, session: Limited, message: str, level: int) -> None:
        excess = f"{attempt.excess // REQUEST}.{attempt.excess % REQUEST:03}"
        text = message.format(", dry run" if self._dry_run else "", excess)
        session.log.write(Level(level), f'{text} "{limit.name}"')


def _record(session: Limited) -> SessionRecord:
    assert isinstance(session.log, SessionRecord)
    return session.log


def _note(record: SessionRecord, status: bytes, limit: Limit) -> None:
    if isinstance(record, FactsRecord):
        record.limit(status, limit.name.encode())


class Attempt:
    """One attempt to log in, from the limits to what becomes of it.

    `asked` is when somebody is asked about it. `wait` are the seconds that it has to wait, less than 0 for one that is
    refused; `over` is the limit that says so, None for a penalty, and `excess` what it has come to there.
    """

    __slots__ = ("_guard", "_keys", "_level", "_login", "_record", "_taken", "asked", "excess", "over", "wait")

    def __init__(self, guard: Guard, record: SessionRecord, login: Login | None) -> None:
        """`login` is None where the client did not get so far as to send one."""
        self._guard = guard
        self._record = record
        self._login = login
        self._keys = [(limit, key) for limit in guard.limits if (key := limit.key(record))]
        self._level = 0  # of the penalty, before it has waited
        self._taken = 0
        self.asked = 0.0
        self.excess = 0
        self.over: Limit | None = None
        self.wait = 0.0

    def enter(self, now: float) -> float:
        """Be counted, by all limits or by none; gives `wait`."""
        record = self._record
        self.asked = now
        self.wait = 0.0
        self.over = None
        for limit, key in self._keys:
            if limit.trusts and limit.is_trusted(key, record, now):
                self._taken += 1
                continue
            excess = limit.take(key, record, now)
            if excess < 0:
                self.drop()
                self.over, self.excess, self.wait = limit, -1 - excess, -1.0
                return -1.0
            self._taken += 1
            if excess and (wait := limit.wait(excess)) > self.wait:
                self.over, self.excess, self.wait = limit, excess, wait
        if self._guard.penalty is not None and (wait := self._penalty(now)) > self.wait:
            self.over, self.wait = None, wait
        return self.wait

    def may_settle(self, now: float) -> bool:
        """Whether others are under way that keep this one out."""
        limit = self.over
        return limit is not None and limit.may_settle(self.key_of(limit), now)

    def key_of(self, limit: Limit) -> bytes:
        """The session's key in a limit."""
        return next((key for other, key in self._keys if other is limit), b"")

    def drop(self) -> None:
        """It shall not count: nobody has decided about it, or it was none."""
        for limit, key in self._keys[: self._taken]:
            if not limit.settings.counts_all:
                limit.table.give_back(key)
        self._taken = 0

    def succeed(self, now: float) -> None:
        """The client is who it claims to be."""
        self.drop()
        for limit, key in self._keys:
            limit.trust(key, self._record, now)
        penalised = self._guard.penalised
        if penalised is not None:
            key = penalised.key(self._record)
            if penalised.table.penalty(key, now)[0]:
                penalised.table.punish(key, now, 0)

    def fail(self, verdict: Rejected, now: float) -> bool:
        """The client is not; gives whether it was that which the verdict says. The same password again is free."""
        if verdict.code[:1] == _TEMPORARY:
            self.drop()
            return False
        login = self._login
        what = b"" if login is None or not login.password else b"%b\0%b" % (login.name, login.password.reveal())
        repeated: dict[tuple[str, bytes], bool] = {}
        for limit, key in self._keys[: self._taken]:
            repeated[limit.name, key] = again = bool(what) and limit.table.repeats(key, what)
            if again and not limit.settings.counts_all:
                limit.table.give_back(key)
        self._taken = 0
        self._punish(what, now, repeated)
        return True

    async def hold_back(self) -> None:
        """See `Guard.hold_back`."""
        await self._guard.hold_back(self.asked)

    def _penalty(self, now: float) -> float:
        guard = self._guard
        if guard.penalised is None or guard.penalty is None:
            return 0.0
        self._level = level = guard.level(guard.penalised.key(self._record), now)
        return guard.penalty.seconds(level) if level else 0.0

    def _punish(self, what: bytes, now: float, repeated: Mapping[tuple[str, bytes], bool]) -> None:
        guard = self._guard
        penalised, penalty = guard.penalised, guard.penalty
        if penalised is None or penalty is None:
            return
        key, table = penalised.key(self._record), penalised.table
        again = repeated.get((penalised.name, key))
        if again or (again is None and what and table.repeats(key, what)):
            return
        table.punish(key, now, penalty.raised(max(self._level, guard.level(key, now))))
        if again is None and what:
            table.repeats(key, what)  # before that there may have been no entry to remember it
