from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.native.tls.tls_session_table import CELL_SIZE, LARGEST_SESSION, SET_SIZE, TlsSessionTable
from mailworker.shm.tls_sessions import TlsSessions
from tests.native.sessions import CERTIFICATE_SIZE, Clock, session, session_id

SMALLEST = 2 * SET_SIZE
TIMEOUT = 300
MEGABYTE = 1 << 20


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def zone() -> TlsSessions:
    return TlsSessions("SSL", 32768)


@pytest.fixture
def table(zone: TlsSessions, clock: Clock) -> TlsSessionTable:
    return TlsSessionTable(zone.memory, TIMEOUT, clock)


def store(table: TlsSessionTable, number: int, size: int = 158) -> bytes:
    """Store the session of that number and return its id."""
    identity = session_id(number)
    table.new(identity, session(identity, size))
    return identity


def is_stored(table: TlsSessionTable, number: int, size: int = 158) -> bool:
    """Whether the session of that number is there; it must be the right one if it is."""
    found = table.get(session_id(number))
    assert found in (None, session(session_id(number), size))
    return found is not None


@pytest.mark.parametrize("size", [32, 33, 100, 158, 172, 173, 190, CERTIFICATE_SIZE, LARGEST_SESSION])
def test_a_session_comes_back_as_it_was_stored(table: TlsSessionTable, size: int) -> None:
    store(table, 1, size)
    assert is_stored(table, 1, size)
    assert not is_stored(table, 2)


@pytest.mark.parametrize(
    ("identity", "text"),
    [
        (b"", b""),
        (b"", b"text"),
        (b"id", b""),
        (b"id", b"id"),
        (b"id", b"no part of it"),
        (b"id", b"at the end: id"),
        (b"id", b"idididid"),
        (b"\0" * 32, b"\0" * 8192),
        (b"i" * 32, b"x" * CELL_SIZE),
    ],
)
def test_any_bytes_come_back_as_they_were_stored(table: TlsSessionTable, identity: bytes, text: bytes) -> None:
    table.new(identity, text)
    assert table.get(identity) == text


def test_a_session_is_not_stored_with_its_id(table: TlsSessionTable, zone: TlsSessions) -> None:
    identity = store(table, 1)
    assert identity not in bytes(zone.memory)
    assert session(identity)[-40:] in bytes(zone.memory)


def test_a_session_that_is_too_large_is_not_stored(table: TlsSessionTable, zone: TlsSessions) -> None:
    store(table, 1, LARGEST_SESSION + 1)
    assert bytes(zone.memory) == bytes(len(zone.memory))


def test_another_session_of_the_same_id_replaces_the_first(table: TlsSessionTable) -> None:
    identity = session_id(1)
    for size in (158, CERTIFICATE_SIZE, 400, 158):
        table.new(identity, session(identity, size))
        assert table.get(identity) == session(identity, size)


def test_tables_of_one_zone_share_sessions(zone: TlsSessions, table: TlsSessionTable, clock: Clock) -> None:
    store(table, 1)
    assert is_stored(TlsSessionTable(zone.memory, 1, clock), 1)


@pytest.mark.parametrize("size", [158, CERTIFICATE_SIZE])
def test_nothing_is_left_of_a_removed_session(table: TlsSessionTable, zone: TlsSessions, size: int) -> None:
    table.remove(store(table, 1, size))
    assert not is_stored(table, 1, size)
    assert bytes(zone.memory) == bytes(len(zone.memory))


def test_only_the_session_of_that_id_is_removed(table: TlsSessionTable) -> None:
    store(table, 1)
    store(table, 2)
    table.remove(session_id(1))
    table.remove(session_id(3))
    assert [is_stored(table, number) for number in (1, 2, 3)] == [False, True, False]


@pytest.mark.parametrize("size", [158, CERTIFICATE_SIZE])
def test_an_expired_session_is_a_miss_and_overwritten(
    table: TlsSessionTable, zone: TlsSessions, clock: Clock, size: int
) -> None:
    store(table, 1, size)
    clock.now += TIMEOUT - 0.2
    assert is_stored(table, 1, size)
    clock.now += 0.2
    assert not is_stored(table, 1, size)
    assert bytes(zone.memory) == bytes(len(zone.memory))


def test_each_session_has_the_timeout_of_the_table_that_stored_it(
    zone: TlsSessions, table: TlsSessionTable, clock: Clock
) -> None:
    store(TlsSessionTable(zone.memory, 10, clock), 1)
    store(table, 2)
    clock.now += 10
    assert [is_stored(table, number) for number in (1, 2)] == [False, True]


@pytest.mark.parametrize("now", [0.0, 1e9])
def test_any_age_of_the_machine_will_do(zone: TlsSessions, now: float) -> None:
    table = TlsSessionTable(zone.memory, 1 << 40, Clock(now))
    assert not is_stored(table, 1)
    store(table, 1)
    assert is_stored(table, 1) is (now == 0.0)


def test_the_oldest_make_room(table: TlsSessionTable, clock: Clock) -> None:
    for number in range(1000):
        clock.now += 0.1
        store(table, number)
    assert all(is_stored(table, number) for number in range(900, 1000))
    assert not any(is_stored(table, number) for number in range(600))


def test_expired_sessions_make_room_before_older_ones_that_live(
    zone: TlsSessions, table: TlsSessionTable, clock: Clock
) -> None:
    living = range(90)
    for number in living:
        store(table, number)
    clock.now += 1
    brief = TlsSessionTable(zone.memory, 10, clock)
    for number in range(1000, 1060):
        store(brief, number)
    clock.now += 10
    for number in range(2000, 2050):
        store(table, number)
    assert all(is_stored(table, number) for number in [*living, *range(2000, 2050)])


@pytest.mark.parametrize(
    ("count", "size", "kept"),
    [
        (4000, 158, 4000),
        (6000, 158, 6000),
        (10000, 158, 6300),
        (4000, 190, 3000),
        (700, CERTIFICATE_SIZE, 650),
    ],
)
def test_how_many_sessions_a_megabyte_keeps(clock: Clock, count: int, size: int, kept: int) -> None:
    table = TlsSessionTable(TlsSessions("SSL", MEGABYTE).memory, TIMEOUT, clock)
    for number in range(count):
        store(table, number, size)
    assert sum(is_stored(table, number, size) for number in range(count)) >= kept


def test_the_smallest_zone() -> None:
    table = TlsSessionTable(TlsSessions("SSL", SMALLEST).memory, TIMEOUT)
    store(table, 1)
    assert is_stored(table, 1)
    with pytest.raises(ValueError, match="too little for sessions"):
        TlsSessionTable(TlsSessions("SSL", SMALLEST - 1).memory, TIMEOUT)


IDS = st.sampled_from([b"", b"a", b"ab", bytes(32), session_id(1), session_id(2)])
STEPS = st.lists(st.tuples(st.sampled_from(["new", "new", "get", "remove"]), IDS, st.binary(max_size=600)))


@given(STEPS, st.binary(max_size=8))
def test_a_table_with_room_is_a_dict(steps: list[tuple[str, bytes, bytes]], tail: bytes) -> None:
    table, model = TlsSessionTable(TlsSessions("SSL", 32768).memory, TIMEOUT, Clock()), dict[bytes, bytes]()
    for step, identity, text in steps:
        if step == "new":
            model[identity] = text + identity + tail
            table.new(identity, model[identity])
        elif step == "remove":
            model.pop(identity, None)
            table.remove(identity)
        assert table.get(identity) == model.get(identity)
    assert {identity: table.get(identity) for identity in model} == model


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(32, 3000)), max_size=300))
def test_a_full_table_forgets_but_never_mistakes(steps: list[tuple[int, int]]) -> None:
    table, model = TlsSessionTable(TlsSessions("SSL", SMALLEST).memory, TIMEOUT, Clock()), dict[bytes, bytes]()
    for number, size in steps:
        identity = store(table, number, size)
        model[identity] = session(identity, size)
    for identity, text in model.items():
        assert table.get(identity) in (None, text)
