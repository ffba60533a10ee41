"""Which entries of a limit's table make room for others."""

from __future__ import annotations

import pytest

from mailworker.native.core import accelerator
from mailworker.shm.limit_table import HEADER_SIZE, SET_SIZE, LimitTable
from tests.shm.limits import ENTRY_SIZE, SECRET, SIX_A_MINUTE, SLOTS, shared
from tests.shm.test_limit_table import KEY, kind, table

__all__ = ["kind", "table"]


def fill(table: LimitTable, room: int, now: float = 0.0, burst: int = 9000) -> list[bytes]:
    keys = [b"filler %d" % number for number in range(4 * room)]
    for key in keys:
        table.take(key, now, burst)
    return keys


def test_a_full_zone_drops_idle_keys_first(table: LimitTable) -> None:
    room = table.usage(0.0)[2]
    fill(table, room)
    assert table.usage(0.0)[0] == room
    for _ in range(3):
        table.take(KEY, 1.0, 9000)
    table.ban(b"banned", 1.0, 60)
    table.punish(b"punished", 1.0, 3)
    dropped = table.dropped
    for number in range(4 * room):
        table.take(b"stranger %d" % number, 1.0, 9000)
    assert table.take(KEY, 1.0, 9000) == 3000
    assert table.banned(b"banned", 1.0)
    assert table.penalty(b"punished", 1.0)[0] == 3
    assert table.dropped == dropped == 0


@pytest.mark.parametrize(("now", "dropped"), [(599.0, 1), (601.0, 0)])
def test_a_penalty_is_idle_after_ten_minutes(kind: type[LimitTable], now: float, dropped: int) -> None:
    table = kind(shared(HEADER_SIZE + 2 * SET_SIZE), SECRET, SIX_A_MINUTE)
    for number in range(2 * SLOTS):
        table.punish(b"%d" % number, 0.0, 1)
    table.take(KEY, now, 0)
    assert table.dropped == dropped


def test_trust_goes_after_idle_keys_and_before_what_counts(table: LimitTable) -> None:
    """Names that strangers try, each once, must not end the trust in those who log in."""
    room, now = table.usage(0.0)[2], 7 * 86400.0
    owners = [b"\0owner %d\0" % number for number in range(room // 4)]
    for owner in owners:
        table.punish(owner, 0.0, 1)
    for number in range(4 * room):
        table.take(b"stranger %d" % number, now, 9000)
    assert [table.penalty(owner, now)[0] for owner in owners] == [1] * len(owners)
    assert not table.dropped
    for number in range(4 * room):
        for _ in range(3):
            table.take(b"guesser %d" % number, now, 9000)
    assert not any(table.penalty(owner, now)[0] for owner in owners)
    assert table.dropped >= len(owners)


def test_the_trust_that_was_not_renewed_for_longest_goes_first(kind: type[LimitTable]) -> None:
    table = kind(shared(HEADER_SIZE + 2 * SET_SIZE), SECRET, SIX_A_MINUTE)
    owners = [b"\0%d\0" % number for number in range(2 * SLOTS)]
    for number, owner in enumerate([*owners, owners[0]]):
        table.punish(owner, 3600.0 * number, 1)
    table.punish(b"\0another\0", 86400.0, 1)
    assert [owner for owner in owners if not table.penalty(owner, 86400.0)[0]] == [owners[1]]


def test_who_was_counted_by_a_clock_that_is_a_bit_ahead_goes_last(kind: type[LimitTable]) -> None:
    table = kind(shared(HEADER_SIZE + 2 * SET_SIZE), SECRET, SIX_A_MINUTE)
    for _ in range(3):
        for number in range(2 * SLOTS - 1):
            table.take(b"%d" % number, 5.0, 9000)
        table.take(KEY, 5.02, 9000)
    table.take(b"another", 5.01, 0)
    assert table.take(KEY, 5.02, 9000) == 3000


def test_a_zone_full_of_what_counts_drops_the_longest_rest_and_counts_that(table: LimitTable) -> None:
    room = table.usage(0.0)[2]
    for number in range(4 * room):
        for _ in range(3):
            table.take(b"old %d" % number, 0.0, 9000)
    assert table.usage(0.0)[0] == room
    assert table.dropped > room
    before = table.dropped
    for _ in range(3):
        table.take(KEY, 5.0, 9000)
    assert table.take(KEY, 5.0, 9000) == 3000
    assert table.dropped == before + 1


def test_bans_go_last_and_the_one_that_ends_next_goes_first(table: LimitTable) -> None:
    room = table.usage(0.0)[2]
    for number in range(2 * room):
        table.ban(b"%d" % number, 0.0, 1000 + number)
    left = [left for _, _, left in table.bans(0.0, room)]
    assert len(left) == room
    assert sum(left) / room > 1000 + room * 1.2  # of 1000 to 1000 + 2 * room those of the later half for the most part
    table.take(KEY, 0.0, 0)
    assert len(table.bans(0.0, room)) == room - 1


def test_a_key_takes_less_than_128_bytes() -> None:
    """A million in a zone of 128 million bytes, of which hardly any has to go."""
    count = 1_000_000 if accelerator is not None else 1000
    table = LimitTable(shared(128 * count), SECRET, SIX_A_MINUTE)
    for number in range(count):
        key = b"%d" % number
        table.take(key, 1.0, 9000)
        table.take(key, 1.0, 9000)
    assert table.usage(1.0)[0] == count - table.dropped
    assert table.dropped < 100
    assert ENTRY_SIZE + 1 <= 128


def test_keys_that_claim_to_be_of_the_future_make_room_first(table: LimitTable) -> None:
    room = table.usage(0.0)[2]
    for _ in range(3):
        fill(table, room, now=1e6)
    for _ in range(3):
        table.take(KEY, 1.0, 9000)
    for number in range(room // 4):
        for _ in range(3):
            table.take(b"%d" % number, 1.0, 9000)
    assert table.take(KEY, 1.0, 9000) == 3000
