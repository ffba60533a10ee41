"""Attempts to log in, as the limits of a server count them; native/shm/attempts.c and attempt.c count them in C.

Most logins make three calls: `banned` at connect, `enter` before the login is checked, and `succeed` after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from mailworker.native.core import accelerator
from mailworker.shm.exempt import by_shift, in_order
from mailworker.shm.keys import GIVEN, UNIX, USER, key, user_key
from mailworker.shm.limit_table import TRUSTED, LimitTable
from mailworker.variables.facts import Clock
from mailworker.variables.prefix import DEFAULT_LENGTHS, WHOLE, Lengths, packed_prefix

__all__ = ["Attempt", "Attempts"]

NONE: Final = -1
"""A rule that does not exist, or a burst or a delay without a limit."""

_REQUEST: Final = 1000


def distrust(key: bytes) -> bytes:
    """The key of the entry that ends trust: its penalty revokes the trust in clients that logged in with `key` before.

    The keys of entries for trust begin with it.
    """
    return b"\0%b\0" % key


# The level of that entry while the last ban of its key is an operator's. Other levels only end trust.
_BY_OPERATOR: Final = 2


def ban_by_operator(table: LimitTable, key: bytes, now: float, seconds: float) -> bool:
    """Ban a key, also for trusted clients; 0 seconds lift a ban. Returns whether the key has an entry."""
    table.punish(distrust(key), now, _BY_OPERATOR if seconds > 0 else 0)
    return table.ban(key, now, seconds)


def ban_by_limit(table: LimitTable, key: bytes, now: float, seconds: float) -> None:
    """Ban a key that is over its limit, but not trusted clients, as any stranger can cause such a ban."""
    level, age = table.penalty(distrust(key), now)
    if level == _BY_OPERATOR:
        table.punish(distrust(key), now - age, 1)
    table.ban(key, now, seconds)


def banned_by_operator(table: LimitTable, key: bytes, now: float) -> float:
    """Seconds that an operator's ban of the key still lasts, 0.0 without one."""
    return table.banned(key, now) if table.penalty(distrust(key), now)[0] == _BY_OPERATOR else 0.0


class Rule(NamedTuple):
    """One limit. `number` is that of its key, see `mailworker.shm.keys`.

    `burst` and `delay` are in thousandths; with a burst of NONE nothing is counted, with a delay of NONE nothing is
    delayed. `bans`: attempts of a banned key are refused. `counts_all`: successful attempts count as well. `trusts`:
    clients from whose network the same user has logged in before are not counted. `gain` and `period` are the rate of
    the table.
    """

    table: LimitTable
    number: int
    burst: int
    delay: int
    bans: bool
    counts_all: bool
    trusts: bool
    gain: int
    period: int


class Penalties(Protocol):
    """The delays after failed attempts; see `mailworker.mail.limits.delay`."""

    def level(self, level: int, age: float, /) -> int: ...
    def seconds(self, level: int, /) -> float: ...
    def raised(self, level: int, /) -> int: ...


class _QuickCheck:
    """The check of a lobby; the one in C calls C instead."""

    __slots__ = ()

    if TYPE_CHECKING:

        def banned(self, client: str, now: float, keys: Sequence[bytes] = (), /) -> tuple[int, float] | None: ...

    def passes(self, client: str, _number: int, now: float, /) -> bool:
        """See `mailworker.event.lobby.QuickCheck`."""
        return self.banned(client, now) is None


class Attempts(_QuickCheck):
    """The attempts at one server.

    `client` is an address without a port, or "unix:". `keys` are the keys of the rules with the number GIVEN, in their
    order; empty ones are not counted.
    """

    __slots__ = ("_clock", "_dropped", "_exempt", "_lengths", "_penalised", "_penalties", "_rules", "_unix")

    def __init__(  # noqa: PLR0913, PLR0917 - made once for each server
        self,
        rules: Sequence[Rule],
        lengths: Lengths,
        exempt: Iterable[tuple[bytes, int]],
        penalised: int,
        penalties: Penalties | None,
        clock: Clock,
        /,
    ) -> None:
        """`exempt` are networks, each as its first address and its length in bits; (b"", 0) is for unix sockets.

        `penalised` is the index of the rule whose table has the penalties, NONE for no penalties. Raises ValueError for
        invalid arguments.
        """
        self._rules = tuple(rules)
        if not all(rule.gain > 0 and GIVEN <= rule.number <= USER for rule in self._rules):
            raise ValueError("a rule has no rate, or no such key")
        if not NONE <= penalised < len(self._rules):
            raise ValueError("no such rule")
        self._lengths = lengths
        networks = tuple(exempt)
        self._exempt = by_shift(networks)
        self._unix = (b"", 0) in networks
        self._penalised = penalised
        self._penalties = penalties
        self._clock = clock
        self._dropped = [rule.table.dropped for rule in self._rules]

    def enter(self, client: str, login: bytes, keys: Sequence[bytes] = (), /) -> Attempt | None:
        """Count an attempt by all limits or by none; None for an exempt client."""
        if self._is_exempt(client):
            return None
        attempt = Attempt.__new__(Attempt)
        attempt._begin(self, client, login, keys)
        attempt.enter(self._clock.now)
        return attempt

    def banned(self, client: str, now: float, keys: Sequence[bytes] = (), /) -> tuple[int, float] | None:
        """The rule by which a new client is banned, and the seconds of the ban that are left; None without a ban."""
        if self._is_exempt(client):
            return None
        given = iter(keys)
        for place, rule in enumerate(self._rules):
            text = b""
            if rule.number == GIVEN:
                text = next(given, b"")
            elif rule.bans and rule.number != USER:
                text = key(rule.number, client, b"", self._lengths)
            left = rule.table.banned(text, now) if rule.bans and text else 0.0
            if left:
                return place, left
        return None

    def _is_exempt(self, client: str) -> bool:
        if client == UNIX:
            return self._unix
        packed = packed_prefix(client, WHOLE)
        number = int.from_bytes(packed, "big")
        return any(number >> shift in numbers for shift, numbers in self._exempt[len(packed)])


class _Outcome:
    """What becomes of an attempt that does not succeed at once; these methods are those of both implementations."""

    __slots__ = ()

    _all: Attempts
    _level: int  # of the penalty, before the attempt has waited
    over: int

    if TYPE_CHECKING:

        def key(self, place: int, /) -> bytes: ...
        def _is_taken(self, place: int, /) -> bool: ...
        def _release(self, place: int, counts: bool, /) -> None: ...

    def may_settle(self) -> bool:
        """Whether the limit may be exceeded by unfinished attempts that will not count."""
        if self.over == NONE:
            return False
        rule = self._all._rules[self.over]
        return not rule.counts_all and rule.table.pending(self.key(self.over)) > 0

    def drop(self) -> None:
        """Uncount the attempt, as there was no decision about it; limits that count all keep it."""
        for place, rule in enumerate(self._all._rules):
            self._release(place, rule.counts_all)

    def keep(self) -> None:
        """Count the attempt for good, without a decision about it."""
        for place in range(len(self._all._rules)):
            self._release(place, True)

    def fail(self, what: bytes, now: float, /) -> None:
        """Note that the login has failed. Repeated credentials `what` do not count again; b"" always counts."""
        repeated: dict[int, bool] = {}
        for place, rule in enumerate(self._all._rules):
            if self._is_taken(place):
                repeated[place] = again = bool(what) and rule.table.repeats(self.key(place), what)
                self._release(place, rule.counts_all or not again)
        self._punish(what, now, repeated.get(self._all._penalised))

    def _penalty(self, now: float) -> float:
        self._level = level = self._level_now(now)  # type: ignore[misc] # all attempts have it
        penalties = self._all._penalties
        return penalties.seconds(level) if level and penalties is not None else 0.0

    def _level_now(self, now: float) -> int:
        penalised, penalties = self._all._penalised, self._all._penalties
        if penalised == NONE or penalties is None or not self.key(penalised):
            return 0
        level, age = self._all._rules[penalised].table.penalty(self.key(penalised), now)
        return penalties.level(level, age) if level else 0

    def _punish(self, what: bytes, now: float, again: bool | None) -> None:
        """`again`: whether `what` is known to be a repetition, None if that was not checked."""
        penalised, penalties = self._all._penalised, self._all._penalties
        if penalised == NONE or penalties is None or again or not self.key(penalised):
            return
        table, text = self._all._rules[penalised].table, self.key(penalised)
        if again is None and what and table.repeats(text, what):
            return
        table.punish(text, now, penalties.raised(max(self._level, self._level_now(now))))
        if again is None and what:
            table.repeats(text, what)  # once more, as the entry may not have existed before


class Attempt(_Outcome):
    """One attempt to log in, from the limits to its outcome.

    `asked` is when the login source is asked. `wait` is the delay in seconds, less than 0 if the attempt is refused;
    `over` is the index of the rule that delays or refuses it, NONE for a penalty, and `excess` is the excess there.
    `full` is the index of a rule whose table had no room for another key, NONE for no such rule. An attempt is true if
    there is no delay and nothing to log.
    """

    __slots__ = (
        "_all",
        "_client",
        "_keys",
        "_level",
        "_plain",
        "_taken",
        "_user",
        "asked",
        "excess",
        "full",
        "over",
        "wait",
    )  # fmt: skip

    _all: Attempts
    _client: str
    _keys: list[bytes]
    _plain: bool
    _taken: list[bool]
    _user: bytes
    asked: float
    excess: int
    full: int
    wait: float

    def _begin(self, attempts: Attempts, client: str, login: bytes, keys: Sequence[bytes]) -> None:
        given = iter(keys)
        self._all = attempts
        self._client = client
        self._keys = [
            next(given, b"") if rule.number == GIVEN else key(rule.number, client, login, attempts._lengths)
            for rule in attempts._rules
        ]
        self._taken = [False] * len(self._keys)
        self._user = user_key(login)
        self._level = 0

    def __bool__(self) -> bool:
        return self._plain

    def enter(self, now: float, /) -> float:
        """Count the attempt, also once more after it was refused; returns `wait`."""
        self.asked, self.wait, self.over, self.excess, self.full, self._plain = now, 0.0, NONE, 0, NONE, False
        for place, rule in enumerate(self._all._rules):
            if rule.burst == NONE or not self._keys[place] or (rule.trusts and self._is_trusted(place, now)):
                continue
            excess = self._take(place, now)
            if excess < 0:
                self.drop()
                self.over, self.excess, self.wait = place, -1 - excess, -1.0
                return -1.0
            if (wait := _wait(rule, excess)) > self.wait:
                self.over, self.excess, self.wait = place, excess, wait
        if (wait := self._penalty(now)) > self.wait:
            self.over, self.wait = NONE, wait
        self._plain = self.wait == 0.0 and self.full == NONE
        return self.wait

    def key(self, place: int, /) -> bytes:
        """The key of the rule at `place`."""
        return self._keys[place]

    def succeed(self) -> None:
        """Note that the login has succeeded: uncount the attempt, trust the client, and end its penalty."""
        self.drop()
        now = self._all._clock.now
        for place, rule in enumerate(self._all._rules):
            if rule.trusts and rule.burst != NONE and self._keys[place] and not self._is_banned(place, now):
                rule.table.punish(self._trust(place), now, 1)
        penalised = self._all._penalised
        if penalised != NONE and self._keys[penalised]:
            table = self._all._rules[penalised].table
            if table.penalty(self._keys[penalised], now)[0]:
                table.punish(self._keys[penalised], now, 0)

    def _is_taken(self, place: int, /) -> bool:
        return self._taken[place]

    def _release(self, place: int, counts: bool, /) -> None:
        """Count the attempt for good by a rule that has taken it, or uncount it."""
        if self._taken[place]:
            table = self._all._rules[place].table
            (table.settle if counts else table.give_back)(self._keys[place])
        self._taken[place] = False

    def _take(self, place: int, now: float) -> int:
        """See `LimitTable.take`. An attempt with a banned key is not counted."""
        rule, text = self._all._rules[place], self._keys[place]
        if self._is_banned(place, now):
            return -1 - rule.burst - _REQUEST
        excess = rule.table.take(text, now, rule.burst)
        self._taken[place] = excess >= 0
        if rule.table.dropped != self._all._dropped[place]:
            self._all._dropped[place] = rule.table.dropped
            self.full = place
        return excess

    def _is_banned(self, place: int, now: float) -> bool:
        rule = self._all._rules[place]
        return rule.bans and rule.table.banned(self._keys[place], now) > 0

    def _is_trusted(self, place: int, now: float) -> bool:
        table = self._all._rules[place].table
        level, age = table.penalty(self._trust(place), now)
        if not level or age >= TRUSTED:
            return False
        level, since = table.penalty(distrust(self._keys[place]), now)
        return not level or since > age

    def _trust(self, place: int) -> bytes:
        """The key of the entry for trust: that of `distrust`, the user, unless it is the key, and the network."""
        client = self._client
        user = b"" if self._all._rules[place].number == USER else b"%b\0" % self._user
        network = client.encode() if client == UNIX else packed_prefix(client, DEFAULT_LENGTHS)
        return distrust(self._keys[place]) + user + network


def _wait(rule: Rule, excess: int) -> float:
    """Seconds by which an attempt with this excess is delayed.

    Where only failures count, only those before it decide, as it has not failed yet.
    """
    if rule.delay == NONE:
        return 0.0
    above = excess - rule.delay - (0 if rule.counts_all else _REQUEST)
    return above * rule.period // rule.gain / 1000 if above > 0 else 0.0


if accelerator is not None and not TYPE_CHECKING:

    class Attempt(accelerator.Attempt, _Outcome):
        """An attempt in C."""

        __slots__ = ()

    class Attempts(accelerator.Attempts, _QuickCheck):
        """The attempts at one server in C."""

        __slots__ = ()

        kind = Attempt

        def __new__(cls, rules, lengths, exempt, *more):
            return super().__new__(cls, rules, lengths, in_order(exempt), *more)
