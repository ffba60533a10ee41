from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.native.core import accelerator
from mailworker.shm.limit_table import EXCESS_MAX, HEADER_SIZE, SET_SIZE, LimitTable
from tests.shm.limits import IMPLEMENTATIONS, SECRET, SIX_A_MINUTE, SIZE, NginxLimit, shared

KEY = b"192.0.2.7"
_NAMES = ["Python"] if accelerator is None else ["C", "Python"]


@pytest.fixture(params=_NAMES)
def kind(request: pytest.FixtureRequest) -> type[LimitTable]:
    return IMPLEMENTATIONS[request.param]


@pytest.fixture
def table(kind: type[LimitTable]) -> LimitTable:
    return kind(shared(), SECRET, SIX_A_MINUTE)


@given(
    st.lists(st.integers(-70_000, 70_000), max_size=30),
    st.integers(0, 20),
    st.sampled_from([16, 100, 1000, 1500, 50_000]),
)
def test_requests_are_counted_as_in_nginx(steps: list[int], burst: int, rate: int) -> None:
    now, nginx = 1_000_000, NginxLimit(rate)
    tables = [IMPLEMENTATIONS[name](shared(), SECRET, (rate, 1000)) for name in _NAMES]
    for step in steps:
        now += step
        expected = nginx.take(now, burst * 1000)
        assert [table.take(KEY, now / 1000, burst * 1000) for table in tables] == [expected] * len(tables)


def test_each_key_is_counted_apart(table: LimitTable) -> None:
    keys = [b"", b"a", b"b", b"x" * 300, b"x" * 299 + b"y"]
    for excess in (0, 1000, 2000):
        assert [table.take(key, 1.0, 5000) for key in keys] == [excess] * len(keys)


@pytest.mark.parametrize("pace", [(1, 3600), (3, 3600), (1000, 1000)])
def test_an_excess_falls_by_the_pace(kind: type[LimitTable], pace: tuple[int, int]) -> None:
    table = kind(shared(), SECRET, pace)
    gain, period = pace
    table.take(KEY, 0.0, 9000)
    table.take(KEY, 0.0, 9000)
    assert table.take(KEY, 0.7, 9000) == 2000 - gain * 700 // period
    assert table.take(KEY, 30 * 86400.0, 9000) == 0


def test_no_time_is_too_long_for_a_fast_pace(kind: type[LimitTable]) -> None:
    """A word of 64 bits does not hold the product."""
    table = kind(shared(), SECRET, (1 << 29, 1000))
    assert [table.take(KEY, 0.0, 9000) for _ in range(3)] == [0, 1000, 2000]
    assert table.take(KEY, (1 << 35) / 1000, 9000) == 0


def test_a_refused_request_adds_nothing(table: LimitTable) -> None:
    for excess in (0, 1000, -1 - 2000, -1 - 2000):
        assert table.take(KEY, 5.0, 1000) == excess


def test_an_excess_has_a_largest_value(table: LimitTable) -> None:
    table.take(KEY, 0.0, 1 << 62)
    for _ in range(EXCESS_MAX // 1000):
        assert table.take(KEY, 0.0, 1 << 62) >= 0
    assert table.take(KEY, 0.0, 1 << 62) == -1 - (EXCESS_MAX // 1000 + 1) * 1000


def test_what_is_given_back_does_not_count(table: LimitTable) -> None:
    table.give_back(KEY)
    assert table.pending(KEY) == 0
    assert [table.take(KEY, 1.0, 5000) for _ in range(3)] == [0, 1000, 2000]
    table.give_back(KEY)
    assert table.take(KEY, 1.0, 1000) == -1 - 2000
    for _ in range(5):
        table.give_back(KEY)
    assert [table.take(KEY, 1.0, 5000) for _ in range(2)] == [0, 1000]


def test_the_time_of_what_is_given_back_is_rounded_up(kind: type[LimitTable]) -> None:
    table = kind(shared(), SECRET, (300, 1000))
    for _ in range(2):
        assert table.take(KEY, 9.0, 0) == 0
        table.give_back(KEY)


def test_requests_are_pending_until_they_are_given_back_or_settled(table: LimitTable) -> None:
    for expected in (1, 2, 3):
        table.take(KEY, 1.0, 5000)
        assert table.pending(KEY) == expected
    table.ban(KEY, 1.0, 60.0)
    table.settle(KEY)
    table.give_back(KEY)
    assert (table.pending(KEY), table.banned(KEY, 2.0)) == (1, 59.0)
    assert table.take(KEY, 1.0, 0) == -1 - 2000
    assert table.pending(KEY) == 1
    table.take(KEY, 60.0, 5000)
    assert table.pending(KEY) == 1  # that of a killed process is forgotten
    for _ in range(3):
        table.settle(KEY)
    assert table.pending(KEY) == 0


def test_giving_back_is_as_if_nothing_had_been_added(table: LimitTable) -> None:
    """However many attempts under way turn out to be right, in whatever order, the wrong ones count the same."""
    chance, now = random.Random(3), 100.0
    plain = type(table)(shared(), SECRET, SIX_A_MINUTE)
    for _ in range(500):
        now += chance.choice((0.0, 0.3, 2.0, 30.0))
        right = chance.randrange(4)
        for _ in range(right):
            assert table.take(KEY, now, 1_000_000) >= 0
        for _ in range(right):
            table.give_back(KEY)
        if chance.random() < 0.5:
            assert abs(table.take(KEY, now, 1_000_000) - plain.take(KEY, now, 1_000_000)) <= 1


def test_only_the_last_four_are_repeated(table: LimitTable) -> None:
    assert not table.repeats(KEY, b"user\0secret")
    assert not table.repeats(KEY, b"user\0secret")  # the key is not known
    table.take(KEY, 0.0, 0)
    for word in (b"1", b"2", b"3", b"4"):
        assert not table.repeats(KEY, word)
    for word in (b"1", b"2", b"3", b"4"):
        assert table.repeats(KEY, word)
    assert not table.repeats(KEY, b"5")
    assert table.repeats(KEY, b"2")
    assert not table.repeats(KEY, b"1")


def test_a_mark_says_nothing_of_a_password(kind: type[LimitTable]) -> None:
    """The same under another key or in another zone is another mark, and no byte of it is in memory."""
    memories = [shared(), shared()]
    for memory, secret in zip(memories, (SECRET, SECRET[:16] + bytes(16)), strict=True):
        table = kind(memory, secret, SIX_A_MINUTE)
        for key in (b"a", b"b"):
            table.take(key, 0.0, 0)
            assert not table.repeats(key, b"user\0correct horse")
        assert b"horse" not in memory[:]
    assert memories[0][:] != memories[1][:]


def test_a_ban_ends_or_is_lifted(table: LimitTable) -> None:
    assert not table.ban(KEY, 5.0, 0)
    assert table.banned(KEY, 5.0) == 0.0
    assert table.ban(KEY, 5.0, 900)
    assert table.banned(KEY, 5.0) == 900.0
    assert table.banned(KEY, 904.5) == 0.5
    assert table.banned(KEY, 905.0) == 0.0
    assert table.ban(KEY, 5.0, 0)
    assert table.banned(KEY, 4.9) == 0.0  # also for a worker whose clock was read before
    assert table.usage(5.0)[:2] == (1, 0)


def test_a_ban_lasts_until_a_last_moment(table: LimitTable) -> None:
    table.ban(KEY, 5.0, 1e10)
    assert table.banned(KEY, 5.0) == ((1 << 40) - 1) / 1000 - 5.0
    assert table.pending(KEY) == 0


def test_bans_are_listed(table: LimitTable) -> None:
    keys = [b"192.0.2.%d" % number for number in range(20)] + [b"u" * 55, b"v" * 56, b""]
    for key in keys:
        table.take(key, 5.0, 0)
    for key in keys[::2]:
        table.ban(key, 5.0, 60)
    listed = sorted(table.bans(10.0, 100))
    assert listed == sorted((key[:55], len(key) <= 55, 55.0) for key in keys[::2])
    assert table.usage(10.0)[:2] == (len(keys), len(keys[::2]))
    assert len(table.bans(10.0, 3)) == 3
    assert table.bans(65.0, 100) == []


def test_a_penalty_is_kept_with_its_age(table: LimitTable) -> None:
    assert table.penalty(KEY, 3.0)[0] == 0
    table.punish(KEY, 3.0, 0)
    assert table.usage(3.0)[0] == 0
    table.punish(KEY, 3.0, 2)
    assert table.penalty(KEY, 4.5) == (2, 1.5)
    table.punish(KEY, 5.0, 300)
    assert table.penalty(KEY, 5.0) == (255, 0.0)
    table.punish(KEY, 5.0, 0)
    assert table.penalty(KEY, 5.0)[0] == 0


@pytest.mark.skipif(accelerator is None, reason="there is one implementation")
def test_both_implementations_see_the_same_in_one_memory() -> None:
    memory, chance = shared(), random.Random(7)
    tables = [kind(memory, SECRET, SIX_A_MINUTE) for kind in IMPLEMENTATIONS.values()]
    now = 0.0
    for _ in range(2000):
        now += chance.random()
        key = b"%d" % chance.randrange(400)
        writer, reader = chance.sample(tables, 2)
        action = chance.randrange(5)
        if action == 4:
            writer.settle(key)
        elif action == 0:
            writer.ban(key, now, chance.randrange(30))
        elif action == 1:
            writer.punish(key, now, chance.randrange(5))
        elif action == 2 and writer.take(key, now, 5000) >= 0:
            writer.repeats(key, b"x")
            assert reader.repeats(key, b"x")
        else:
            writer.give_back(key)
        assert writer.pending(key) == reader.pending(key)
        assert writer.banned(key, now) == reader.banned(key, now)
        assert writer.penalty(key, now) == reader.penalty(key, now)
    assert tables[0].usage(now) == tables[1].usage(now)
    assert tables[0].bans(now, 999) == tables[1].bans(now, 999)


@pytest.mark.parametrize("size", [0, HEADER_SIZE, HEADER_SIZE + 2 * SET_SIZE - 1])
def test_too_little_memory_is_refused(kind: type[LimitTable], size: int) -> None:
    with pytest.raises(ValueError, match="memory"):
        kind(bytearray(size), SECRET, SIX_A_MINUTE)


@pytest.mark.parametrize("pace", [(0, 1000), (100, 0)])
def test_a_pace_is_a_rate(kind: type[LimitTable], pace: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="no rate"):
        kind(shared(), SECRET, pace)


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(33)])
def test_a_secret_has_one_size(kind: type[LimitTable], secret: bytes) -> None:
    with pytest.raises(ValueError, match="secret"):
        kind(shared(), secret, SIX_A_MINUTE)


def test_arguments_of_other_types_are_refused() -> None:
    table = LimitTable(shared(), SECRET, SIX_A_MINUTE)
    names = ["take", "settle", "pending", "ban", "banned", "penalty", "punish", "repeats", "give_back", "usage", "bans"]
    for name in (*names, "adopt"):
        call: Any = getattr(table, name)
        with pytest.raises(TypeError):
            call("text", "text", "text")
        with pytest.raises(TypeError):
            call()


# What others write


@given(st.integers(0, 1 << 32), st.booleans())
def test_garbage_in_the_zone_is_no_more_than_a_wrong_count(seed: int, sparse: bool) -> None:
    chance = random.Random(seed)
    for name in _NAMES:
        memory = shared()
        table = IMPLEMENTATIONS[name](memory, SECRET, SIX_A_MINUTE)
        for number in range(20):
            table.take(b"%d" % number, 1.0, 5000)
        if sparse:
            for _ in range(200):
                memory[chance.randrange(SIZE)] = chance.randrange(256)
        else:
            memory[:] = chance.randbytes(SIZE)
        for number in range(20):
            key = b"%d" % number
            assert -1 - EXCESS_MAX - 1000 <= table.take(key, 2.0, 5000) <= 5000
            assert 0 <= table.pending(key) < 1 << 20
            table.settle(key)
            assert table.banned(key, 2.0) >= 0
            assert 0 <= table.penalty(key, 2.0)[0] <= 255
            table.repeats(key, b"x")
            table.give_back(key)
        entries, bans, room = table.usage(2.0)
        assert bans <= entries <= room
        for key, whole, left in table.bans(2.0, room):
            assert len(key) <= 55
            assert left > 0
            assert not whole or table.banned(key, 2.0)
        fresh = type(table)(shared(), SECRET, SIX_A_MINUTE)
        fresh.adopt(memory, 2.0)
        assert fresh.usage(2.0)[0] <= room


def test_another_table_goes_on_with_what_counts(kind: type[LimitTable]) -> None:
    memory = shared()
    former = kind(memory, SECRET, SIX_A_MINUTE)
    for _ in range(3):
        former.take(KEY, 1.0, 9000)
    former.repeats(KEY, b"x")
    former.take(b"banned", 1.0, 9000)
    former.ban(b"banned", 1.0, 60)
    former.punish(b"punished", 1.0, 3)
    former.take(b"idle", 1.0, 9000)
    for size in (2 * SIZE, SIZE // 2):
        table = kind(shared(size), SECRET, SIX_A_MINUTE)
        table.adopt(memory, 2.0)
        assert table.usage(2.0)[0] == 3
        assert table.repeats(KEY, b"x")
        assert table.take(KEY, 2.0, 9000) == 2900
        assert table.bans(2.0, 9) == [(b"banned", True, 59.0)]
        assert table.pending(b"banned") == 0
        assert table.penalty(b"punished", 2.0) == (3, 1.0)
    table.adopt(b"", 2.0)
    assert table.usage(2.0)[0] == 3


def test_another_table_goes_on_with_trust(kind: type[LimitTable]) -> None:
    memory, day = shared(), 86400.0
    former = kind(memory, SECRET, SIX_A_MINUTE)
    former.punish(b"\0owner\0", 0.0, 1)
    former.punish(b"punished", 0.0, 1)
    for days, expected in ((29, 1), (31, 0)):
        table = kind(shared(2 * SIZE), SECRET, SIX_A_MINUTE)
        table.adopt(memory, days * day)
        assert table.usage(days * day)[0] == table.penalty(b"\0owner\0", days * day)[0] == expected
