"""Counting a session's login attempts, where its server limits them."""

from __future__ import annotations

from collections.abc import Awaitable

from mailworker.errors import Party, PeerError
from mailworker.event.connections import Connections
from mailworker.event.plan import Link
from mailworker.mail.arriving import Arriving
from mailworker.mail.end import End, Farewell
from mailworker.mail.record import SessionRecord
from mailworker.shm.attempts import Attempt
from mailworker.wire.auth_response import Rejected
from mailworker.wire.login import Login


class Attempting(Arriving):
    """A session whose logins may be limited. `attempt`: see `Limited`; `limited_here`: its server has limits."""

    __slots__ = ("attempt", "limited_here")

    limited_here: bool

    def __init__(self, record: SessionRecord, connections: Connections) -> None:
        super().__init__(record, connections)
        self.attempt: Attempt | None = None

    def limited(self) -> Link:
        """See `Limited.limited`."""
        rejected = self.protocol.refusals.temporary
        self.log.refuse(rejected)
        return self.part(Farewell(End.LIMIT_AUTH, self.dialogue.rejection(rejected)))

    def pause(self, seconds: float) -> Awaitable[None]:
        """See `Applicant.pause`."""
        return self.dialogue.pause(seconds)

    def miss(self) -> Link:
        """Count an attempt refused without a verdict; gives the next link if it was one too many, else None."""
        self.dialogue.missed = False
        return None if self.server.guard is None else self.server.guard.miss(self)

    def banned_as(self) -> Link:
        """Refuse a right login of a user who is banned by the name that the source has given; None for all others."""
        attempt, guard = self.attempt, self.server.guard
        if attempt is None or guard is None or not guard.bans(self):
            return None
        attempt.drop()
        return self.limited()

    def let_in(self) -> bool:
        """Count the attempt as a success; gives whether `limit_conn` allows one more connection."""
        attempt, limits, log = self.attempt, self.server.limits, self.log
        if attempt is not None:
            self.attempt = None
            attempt.succeed()
        if limits is None or limits.refusal_at_login(log.number, log.client, log.login) is None:
            return True
        return limits.admits(log)

    def _take_attempt(self) -> Attempt | None:
        """The attempt whose result must be counted; it is given once, so it is counted once."""
        attempt, self.attempt = self.attempt, None
        return attempt

    async def fail_attempt(self, login: Login, verdict: Rejected) -> None:
        """Count a refused login, and delay the refusal if necessary."""
        attempt, guard = self._take_attempt(), self.server.guard
        if attempt is None or guard is None:
            return
        if guard.fail(attempt, login, verdict, self.connections.loop.now):
            await guard.hold_back(attempt.asked)

    def forget_attempt(self, error: Exception) -> None:
        """Drop an attempt without a verdict; it still counts if the client itself has left."""
        attempt = self._take_attempt()
        if attempt is None:
            return
        if isinstance(error, PeerError) and error.party is Party.CLIENT:
            attempt.keep()
        else:
            attempt.drop()
