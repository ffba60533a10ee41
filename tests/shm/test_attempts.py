"""Attempts to log in, as the limits of a server count them: both implementations."""

from __future__ import annotations

import random
from collections.abc import Sequence
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailworker.mail.client.address import is_inside
from mailworker.mail.limits.delay import Penalty
from mailworker.shm import attempts
from mailworker.shm.attempts import (
    NONE,
    Attempt,
    Attempts,
    Rule,
    ban_by_limit,
    ban_by_operator,
    banned_by_operator,
    distrust,
)
from mailworker.shm.keys import GIVEN, KEYS, UNIX, key, user_key
from mailworker.shm.limit_table import HEADER_SIZE, SET_SIZE, LimitTable
from tests.shm.limits import IMPLEMENTATIONS as TABLES
from tests.shm.limits import SECRET, SIZE, NginxLimit, clock_at
from tests.support.implementations import without_c

KINDS: dict[str, type[Attempts]] = {"C": Attempts, "Python": without_c(attempts).Attempts}
ADDRESS, PREFIX, TEXT, USER = range(1, 1 + len(KEYS))
CLIENT, OTHER = "192.0.2.7", "192.0.2.8"
LENGTHS = 32, 64
ALICE = b"alice"


class Counting:
    """Attempts over tables of their own; each rule's memory is at its place."""

    def __init__(
        self, kind: str, *rules: dict[str, Any], exempt: Sequence[str] = (), penalised: int = NONE, size: int = SIZE
    ) -> None:
        self.memories = [bytearray(size) for _ in rules]
        self.rules = [self._rule(kind, number, **each) for number, each in enumerate(rules)]
        self.clock = clock_at(10.0)
        penalties = None if penalised == NONE else Penalty(2, 15)
        self.attempts = KINDS[kind](
            tuple(self.rules), LENGTHS, tuple(map(packed, exempt)), penalised, penalties, self.clock
        )

    def _rule(
        self, kind: str, place: int, number: int = PREFIX, burst: int = 2000, delay: int = NONE, *, bans: bool = False,
        counts_all: bool = False, trusts: bool = False, gain: int = 100,
    ) -> Rule:  # fmt: skip
        table: LimitTable = TABLES[kind](self.memories[place], SECRET, (gain, 1000))
        return Rule(table, number, burst, delay, bans, counts_all, trusts, gain, 1000)

    def enter(self, now: float, client: str = CLIENT, login: bytes = ALICE, keys: tuple[bytes, ...] = ()) -> Attempt:
        self.clock.now = now
        attempt = self.attempts.enter(client, login, keys)
        assert attempt is not None
        return attempt


def packed(network: str) -> tuple[bytes, int]:
    if network == UNIX:
        return b"", 0
    found = ip_network(network)
    return found.network_address.packed, found.prefixlen


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_an_attempt_counts_until_it_is_settled(kind: str) -> None:
    counting = Counting(kind, {})
    first, second, third = (counting.enter(10.0) for _ in range(3))
    assert [each.wait for each in (first, second, third)] == [0.0] * 3
    assert all(each and (each.over, each.full) == (NONE, NONE) for each in (first, second, third))
    fourth = counting.enter(10.0)
    assert (fourth.wait, fourth.over, fourth.excess, bool(fourth)) == (-1.0, 0, 3000, False)
    assert fourth.key(0) == bytes((192, 0, 2, 7))
    with pytest.raises(IndexError):
        fourth.key(1)
    first.succeed()
    assert fourth.enter(10.0) == 0.0
    second.drop()
    third.fail(b"alice\0guess", 10.0)
    third.drop()
    assert [counting.enter(10.0).wait for _ in range(2)] == [0.0, -1.0]


@pytest.mark.parametrize("counts_all", [False, True])
def test_what_is_over_the_limit_may_wait_for_attempts_under_way(kind: str, counts_all: bool) -> None:
    counting = Counting(kind, {"burst": 4000, "counts_all": counts_all})
    under_way = [counting.enter(10.0) for _ in range(5)]
    another = counting.enter(10.0)
    for number, end in enumerate(("fail", "fail", "keep", "succeed", "drop")):
        assert another.may_settle() is not counts_all
        getattr(under_way[number], end)(*((b"x", 10.0) if end == "fail" else ()))
        assert counting.rules[0].table.pending(another.key(0)) == 4 - number
    assert not another.may_settle()


def test_the_same_failure_again_is_free(kind: str) -> None:
    counting = Counting(kind, {"burst": 1000})
    for _ in range(9):
        attempt = counting.enter(10.0)
        assert attempt.wait == 0.0
        attempt.fail(b"alice\0old", 10.0)
    counting.enter(10.0).fail(b"alice\0new", 10.0)
    assert counting.enter(10.0).wait == -1.0


@pytest.mark.parametrize(("burst", "delay", "rate"), [(5, 0, 100), (5, 2, 100), (3, 0, 1000), (20, 8, 16)])
def test_delays_are_those_of_nginx_where_all_attempts_count(kind: str, burst: int, delay: int, rate: int) -> None:
    counting = Counting(kind, {"burst": burst * 1000, "delay": delay * 1000, "counts_all": True, "gain": rate})
    nginx, now = NginxLimit(rate), 10_000
    for step in (0, 0, 0, 10, 400, 0, 0, 90_000, 0, 0, 0, 0, 0, 3_000):
        now += step
        excess, attempt = nginx.take(now, burst * 1000), counting.enter(now / 1000)
        above = excess - delay * 1000
        assert attempt.wait == (-1.0 if excess < 0 else above * 1000 // rate / 1000 if above > 0 else 0.0)
        if attempt.wait:
            assert attempt.excess == (excess if excess >= 0 else -1 - excess)


def test_an_attempt_is_no_failure_yet(kind: str) -> None:
    counting = Counting(kind, {"burst": 5000, "delay": 0})
    assert [counting.enter(10.0).wait for _ in range(4)] == [0.0, 0.0, 10.0, 20.0]


def test_all_rules_count_or_none(kind: str) -> None:
    counting = Counting(kind, {"burst": 9000}, {"number": USER, "burst": 0})
    counting.enter(10.0)
    for _ in range(20):
        assert (counting.enter(10.0).over, counting.enter(10.0, login=b"").wait) == (1, 0.0)
        counting.enter(10.0, login=b"").drop()
        counting.attempts.enter(CLIENT, b"").drop()  # type: ignore[union-attr]
        for memory in counting.memories[:1]:
            memory[:] = bytes(SIZE)


def test_who_is_banned_is_not_counted(kind: str) -> None:
    counting = Counting(kind, {"bans": True})
    counting.rules[0].table.ban(bytes((192, 0, 2, 7)), 10.0, 60.0)
    assert counting.attempts.banned(CLIENT, 20.0) == (0, 50.0)
    assert counting.attempts.banned(OTHER, 20.0) is None
    assert not counting.attempts.passes(CLIENT, 1, 69.9)
    assert counting.attempts.passes(CLIENT, 1, 70.0)
    assert counting.enter(20.0).wait == -1.0
    assert counting.enter(70.0).wait == 0.0


def test_only_what_bans_by_what_is_known_at_accept_is_asked_there(kind: str) -> None:
    asked = {"number": GIVEN, "bans": True}
    counting = Counting(kind, {}, {"number": USER, "bans": True}, asked, {"number": GIVEN})
    for rule, text in zip(counting.rules, (bytes((192, 0, 2, 7)), ALICE, b"given", b"last"), strict=True):
        rule.table.ban(text, 10.0, 60.0)
    assert counting.attempts.banned(CLIENT, 20.0) is None
    assert counting.attempts.banned(CLIENT, 20.0, (b"other", b"last")) is None
    assert counting.attempts.banned(CLIENT, 20.0, (b"given",)) == (2, 50.0)


def test_only_clients_that_have_logged_in_by_a_key_are_trusted(kind: str) -> None:
    counting = Counting(kind, {"number": USER, "burst": 0, "trusts": True})
    counting.enter(10.0).succeed()
    counting.enter(10.0, client=OTHER).fail(b"alice\0guess", 10.0)
    assert counting.enter(11.0, client=OTHER).wait == -1.0
    assert counting.enter(11.0).wait == 0.0
    assert counting.enter(11.0, login=b"bob").wait == 0.0
    assert counting.enter(11.0, login=b"bob").wait == -1.0
    late = 31 * 86400.0
    counting.enter(late, client=OTHER)
    assert counting.enter(late).wait == -1.0


def test_a_login_as_one_user_gives_no_trust_for_others_of_the_same_key(kind: str) -> None:
    """As of a domain: else a stranger with a mailbox of its own there is in no limit."""
    counting = Counting(kind, {"number": GIVEN, "burst": 0, "trusts": True})
    domain = (b"example.com",)
    counting.enter(10.0, login=b"mallory", keys=domain).succeed()
    counting.enter(10.0, keys=domain).fail(b"alice\0guess", 10.0)
    assert counting.enter(11.0, keys=domain).wait == -1.0
    assert counting.enter(11.0, login=b"Mallory", keys=domain).wait == 0.0
    assert counting.enter(11.0, login=b"Mallory", keys=(b"example.org",)).wait == 0.0
    assert counting.enter(11.0, login=b"Mallory", keys=(b"example.org",)).wait == -1.0
    assert ban_by_operator(counting.rules[0].table, domain[0], 12.0, 60.0)
    counting.rules[0].table.take(domain[0], 12.0, 9000)
    assert counting.enter(13.0, login=b"mallory", keys=domain).wait == -1.0


def test_a_ban_of_an_operator_holds_for_trusted_clients_too(kind: str) -> None:
    """A thief who has logged in with a stolen password is trusted."""
    counting = Counting(kind, {"number": USER, "trusts": True, "bans": True})
    table = counting.rules[0].table
    for login in (ALICE, b"bob"):
        counting.enter(10.0, login=login).succeed()
        ban_by_limit(table, login, 11.0, 60.0)
        assert counting.enter(12.0, login=login).wait == 0.0
        assert not banned_by_operator(table, login, 12.0)
    under_way = counting.enter(12.0)
    assert ban_by_operator(table, ALICE, 13.0, 59.0)
    assert banned_by_operator(table, ALICE, 14.0) == 58.0
    assert counting.enter(14.0).wait == -1.0
    assert counting.enter(14.0, login=b"bob").wait == 0.0
    under_way.succeed()
    assert counting.enter(15.0).wait == -1.0
    counting.enter(72.0).succeed()
    ban_by_limit(table, ALICE, 73.0, 60.0)
    assert counting.enter(74.0).wait == 0.0
    assert not banned_by_operator(table, ALICE, 74.0)
    assert table.penalty(distrust(ALICE), 74.0) == (1, 61.0)


def test_no_name_that_a_client_sends_is_an_entry_for_trust(kind: str) -> None:
    """Else a failed login as b"\\0alice\\0" and an address gives a stranger trust, or takes it from the owner."""
    counting = Counting(kind, {"number": USER, "trusts": True}, penalised=0)
    counting.enter(10.0).succeed()
    for name in (distrust(ALICE) + packed(OTHER)[0], distrust(ALICE)):
        counting.enter(11.0, client=OTHER, login=name).fail(b"", 11.0)
    while (stranger := counting.enter(100.0, client=OTHER)).wait >= 0.0:
        stranger.fail(b"", 100.0)
    assert counting.enter(200.0).wait >= 0.0


@given(
    st.text("Ab \0\n\xff", max_size=9).map(lambda text: text.encode("latin-1"))
    | st.text("Ab \0\xa0\xad\xc4\u0301\u0130\u1e9e\uff21\U0001f600", max_size=9).map(str.encode)
)
@settings(max_examples=400)
def test_both_implementations_have_the_same_key_for_a_user(login: bytes) -> None:
    for name in KINDS:
        assert Counting(name, {"number": USER}).enter(10.0, login=login).key(0) == user_key(login)


def test_who_is_trusted_gives_nothing_back_that_it_has_not_taken(kind: str) -> None:
    """Else an owner who logs in every minute gives strangers as many guesses."""
    counting = Counting(kind, {"number": USER, "burst": 0, "trusts": True})
    counting.enter(10.0).succeed()
    counting.enter(10.0, client=OTHER).fail(b"alice\0guess", 10.0)
    for _ in range(5):
        counting.enter(10.0).succeed()
        counting.enter(10.0).drop()
    assert counting.enter(10.0, client=OTHER).wait == -1.0


def test_penalties_are_dovecot_s_and_end_with_a_success(kind: str) -> None:
    counting = Counting(kind, {"burst": NONE}, penalised=0)
    now = 10.0
    for number, seconds in enumerate((0.0, 4.0, 8.0, 15.0, 15.0)):
        attempt = counting.enter(now)
        assert (attempt.wait, attempt.over) == (seconds, NONE)
        now += seconds
        attempt.fail(b"alice\0%d" % number, now)
    counting.enter(now).fail(b"alice\0004", now)
    assert counting.enter(now).wait == 15.0
    assert counting.enter(now, client=OTHER).wait == 0.0
    counting.enter(now).succeed()
    assert counting.enter(now)


def test_parallel_attempts_raise_the_penalty_too(kind: str) -> None:
    counting = Counting(kind, {"burst": NONE}, penalised=0)
    for number, attempt in enumerate([counting.enter(10.0) for _ in range(3)]):
        attempt.fail(b"alice\0%d" % number, 10.0)
    assert counting.enter(10.0).wait == 15.0


def test_a_full_table_is_told(kind: str) -> None:
    counting = Counting(kind, {"gain": 1}, size=HEADER_SIZE + 2 * SET_SIZE)
    attempts = [counting.enter(10.0, client=f"10.0.0.{1 + number // 2}") for number in range(80)]
    found = [attempt.full for attempt in attempts]
    assert found[:16] == [NONE] * 16
    assert set(found) == {NONE, 0}
    assert [bool(attempt) for attempt in attempts] == [full == NONE for full in found]


@pytest.mark.parametrize(
    ("client", "exempt"),
    [
        *(
            ("10.255.0.1", True),
            ("10.2.0.1", True),
            ("11.0.0.1", False),
            ("192.0.2.7", True),
            ("192.0.2.8", False),
            ("192.0.2.31", True),
        ),
        *(("2001:db8:ffff::1", True), ("2001:db9::1", False), ("::1", True), ("::ffff:10.0.0.1", True)),
        *(("0.0.0.0", True), ("0.0.0.1", False), (UNIX, True)),
    ],
)
def test_networks_may_be_exempt(kind: str, client: str, exempt: bool) -> None:
    networks = ("10.1.0.0/16", "10.0.0.0/8", "192.0.2.7", "192.0.2.16/28", "2001:db8::/32", "::1", "0.0.0.0/32", UNIX)
    counting = Counting(kind, {"bans": True}, exempt=networks)
    assert (counting.attempts.enter(client, ALICE) is None) is exempt
    counting.rules[0].table.ban(key(PREFIX, client, ALICE, LENGTHS), 10.0, 60.0)
    assert (counting.attempts.banned(client, 11.0) is None) is exempt
    assert counting.attempts.passes(client, 1, 11.0) is exempt
    assert Counting(kind, {}).attempts.enter(client, ALICE) is not None


@settings(max_examples=40)
@given(st.ip_addresses(), st.lists(st.integers(0, 32), max_size=4))
def test_exempt_networks_are_asked_as_every_other_list_of_networks(address: object, lengths: list[int]) -> None:
    networks = tuple(ip_network(f"{address}/{length}", strict=False) for length in lengths)
    for kind in KINDS:
        counting = Counting(kind, {}, exempt=tuple(map(str, networks)))
        for host in (str(address), "192.0.2.1", "2001:db8::1"):
            exempt = counting.attempts.enter(host, ALICE) is None
            assert exempt is is_inside(host, networks)


def test_both_implementations_do_the_same() -> None:
    rules: tuple[dict[str, Any], ...] = (
        {"bans": True, "delay": 1000, "burst": 3000},
        {"number": USER, "burst": 2000, "trusts": True},
        {"number": GIVEN, "burst": 4000, "counts_all": True},
        {"number": ADDRESS, "burst": 9000},
        {"number": TEXT, "burst": NONE},
    )
    seen: dict[str, list[object]] = {name: [] for name in KINDS}
    left = {}
    for name in KINDS:
        for penalised in (0, 4):
            counting = Counting(name, *rules, penalised=penalised, exempt=("198.51.100.0/24",))
            _live(counting, random.Random(penalised), seen[name])
            tables = [rule.table for rule in counting.rules]
            left[name, penalised] = [(table.usage(1500.0), sorted(table.bans(1500.0, 99))) for table in tables]
    assert seen["C"] == seen["Python"]
    for penalised in (0, 4):
        assert left["C", penalised] == left["Python", penalised]


def _live(counting: Counting, chance: random.Random, seen: list[object]) -> None:
    """A few clients that try, succeed, fail and leave at any times."""
    clients = ("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "::ffff:192.0.2.1", "198.51.100.9", UNIX)
    now, open_attempts = 1000.0, list[Attempt]()
    for _ in range(300):
        now += chance.choice((0.0, 0.001, 0.5, 7.0))
        client, login = chance.choice(clients), b"user%d" % chance.randrange(3)
        counting.clock.now = now
        attempt = counting.attempts.enter(client, login, (chance.choice((b"", b"some", b"other")),))
        seen.append(counting.attempts.banned(client, now, (b"",)))
        if attempt is not None:
            seen.append([getattr(attempt, name) for name in ("asked", "wait", "over", "excess", "full")])
            seen.append(bool(attempt))
            seen.append([attempt.key(place) for place in range(5)])
            seen.append(attempt.may_settle())
            if attempt.over != NONE and chance.random() < 0.1:
                counting.rules[0].table.ban(attempt.key(0), now, 3.0)
            open_attempts.append(attempt)
        while open_attempts and chance.random() < 0.6:
            settled = open_attempts.pop(chance.randrange(len(open_attempts)))
            end = chance.randrange(5)
            if end == 0:
                settled.succeed()
            elif end == 1:
                settled.drop()
            elif end == 2:
                settled.keep()
            else:
                settled.fail(chance.choice((b"", b"%d" % chance.randrange(6))), now)


@pytest.mark.parametrize(
    ("rules", "penalised"),
    [([{"gain": 0}], NONE), ([{"number": 5}], NONE), ([{"number": -1}], NONE), ([{}], 1), ([{}], -2)],
)
def test_what_will_not_do_is_refused(kind: str, rules: list[dict[str, Any]], penalised: int) -> None:
    with pytest.raises(ValueError, match="no "):
        Counting(kind, *rules, penalised=penalised)


def test_what_is_no_address_is_no_client(kind: str) -> None:
    counting = Counting(kind, {"bans": True})
    with pytest.raises(OSError, match="illegal IP address"):
        counting.attempts.enter("nobody", ALICE)
    with pytest.raises(OSError, match="illegal IP address"):
        counting.attempts.banned("1.2.3.4.5", 10.0)


def test_nothing_is_left_of_an_attempt() -> None:
    """Attempts know what they are attempts of, and not the other way round."""
    counting = Counting("C", {"number": GIVEN})
    keys = (b"key" * 100,)
    for _ in range(3):
        counting.enter(10.0, keys=keys).fail(b"x", 10.0)
    del counting.attempts
    assert counting.rules[0].table.pending(keys[0]) == 0
