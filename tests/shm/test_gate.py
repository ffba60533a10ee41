"""Connections that limits let in: both implementations."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest

from mailworker.config.limit_conn import _MOST_LIMITS
from mailworker.native.core import accelerator
from mailworker.shm import gate
from mailworker.shm.conn_table import FULL, OVER
from mailworker.shm.gate import TOO_LONG, Gate, Rule
from mailworker.shm.keys import GIVEN, KEYS, UNIX
from tests.shm.test_conn_table import IMPLEMENTATIONS as TABLES
from tests.shm.test_conn_table import SECRET
from tests.support.implementations import without_c

ADDRESS, PREFIX, TEXT, USER = range(1, 1 + len(KEYS))
KINDS: dict[str, Any] = {"C": gate, "Python": without_c(gate)}
CLIENT = "192.0.2.7"


class House:
    """Gates over the same tables, of which the first key is who the user is and the second where it is."""

    def __init__(self, kind: str, tables: int = 2, size: int = 6400) -> None:
        self.memories = [bytearray(size) for _ in range(tables)]
        self.journals = [bytearray(8 * 50) for _ in range(tables)]
        self.tables = [
            TABLES[kind](memory, SECRET, journal) for memory, journal in zip(self.memories, self.journals, strict=True)
        ]
        self._kind = KINDS[kind]
        self.held = self._kind.Holdings(tuple(self.tables))

    def gate(self, *rules: tuple[int, int, int]) -> Gate:
        made: Gate = self._kind.Gate(self.held, tuple(Rule(*rule) for rule in rules))
        return made

    def end(self, number: int) -> None:
        self.held.end(SimpleNamespace(number=number))

    @property
    def counts(self) -> list[int]:
        return [table.usage()[1] for table in self.tables]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_connections_are_let_in_until_there_are_as_many_as_may_be(kind: str) -> None:
    house = House(kind)
    gate = house.gate((0, USER, 2))
    assert [gate.refusal(number, CLIENT, b"user") for number in range(4)] == [None, None, (0, OVER), (0, OVER)]
    assert gate.refusal(9, CLIENT, b"other") is None
    assert (house.counts, len(house.held)) == ([3, 0], 3)
    house.end(1)
    house.end(1)
    assert gate.refusal(2, CLIENT, b"user") is None
    assert house.counts == [3, 0]


def test_all_rules_agree_or_nothing_is_counted(kind: str) -> None:
    house = House(kind)
    gate = house.gate((0, USER, 9), (1, ADDRESS, 1))
    assert gate.refusal(1, CLIENT, b"user") is None
    assert gate.refusal(2, CLIENT, b"user") == (1, OVER)
    assert gate.refusal(3, UNIX, b"user") is None
    assert (house.counts, len(house.held)) == ([2, 2], 2)
    house.end(2)
    house.end(3)
    house.end(1)
    assert house.counts == [0, 0]
    assert not any(map(any, house.memories))


def test_a_connection_is_counted_once_in_each_table(kind: str) -> None:
    """At accept, again where its session begins with care, and at its login."""
    house = House(kind)
    at_accept, at_login = house.gate((1, TEXT, 1)), house.gate((0, USER, 1), (1, ADDRESS, 1))
    assert at_accept.passes(CLIENT, 7, 10.0)
    assert at_accept.passes(CLIENT, 7, 10.0)
    assert not at_accept.passes(CLIENT, 8, 10.0)
    assert at_login.refusal(7, CLIENT, b"user") is None
    assert house.counts == [1, 1]
    assert at_login.refusal(9, CLIENT, b"user") == (0, OVER)
    house.end(7)
    assert house.counts == [0, 0]


def test_spellings_of_a_user_or_an_address_are_counted_as_one(kind: str) -> None:
    house = House(kind)
    gate = house.gate((0, USER, 3), (1, TEXT, 3))
    for number, (client, login) in enumerate(((CLIENT, b"A"), (f"::ffff:{CLIENT}", b"a"), (CLIENT, b" a\0"))):
        assert gate.refusal(number, client, login) is None
    assert (house.tables[0].count(b"a"), house.tables[1].count(CLIENT.encode())) == (3, 3)
    assert gate.refusal(9, CLIENT, b"A") == (0, OVER)
    assert gate.refusal(9, f"::ffff:{CLIENT}", b"other") == (1, OVER)


def test_empty_keys_count_nobody(kind: str) -> None:
    house = House(kind)
    gate = house.gate((0, USER, 1), (1, GIVEN, 1))
    for number in range(3):
        assert gate.refusal(number, CLIENT, b"", (b"",)) is None
        assert gate.refusal(number, CLIENT, b"") is None
        assert house.gate((0, USER, 1)).passes(CLIENT, number, 10.0)
    assert (house.counts, len(house.held)) == ([0, 0], 0)


def test_keys_may_be_given(kind: str) -> None:
    house = House(kind)
    gate = house.gate((0, GIVEN, 1), (1, GIVEN, 1))
    assert gate.refusal(1, CLIENT, b"user", (b"a", b"b")) is None
    assert gate.refusal(2, CLIENT, b"user", (b"b", b"b")) == (1, OVER)
    assert (house.tables[0].count(b"a"), house.tables[1].count(b"b")) == (1, 1)


def test_too_long_a_key_is_told_and_can_be_left_out(kind: str) -> None:
    house = House(kind)
    gate = house.gate((0, GIVEN, 1), (1, USER, 1))
    keys = (b"x" * 256,)
    assert gate.refusal(1, CLIENT, b"user", keys) == (0, TOO_LONG)
    assert house.counts == [0, 0]
    assert gate.refusal(1, CLIENT, b"user", keys, 1) is None
    assert gate.refusal(2, CLIENT, b"user", (b"x" * 255,)) == (1, OVER)
    assert house.counts == [0, 1]
    second = house.gate((0, TEXT, 1), (1, GIVEN, 1))
    assert second.refusal(3, CLIENT, b"", keys) == (1, TOO_LONG)
    assert second.refusal(3, CLIENT, b"", keys, 0b10) is None
    assert house.counts == [1, 1]


def test_a_full_table_lets_nobody_in(kind: str) -> None:
    house = House(kind, size=128)
    gate = house.gate((0, USER, 1))
    found = {gate.refusal(number, CLIENT, b"%d" % number) for number in range(17)}
    assert found == {None, (0, FULL)}
    assert len(house.held) == 16


def test_both_implementations_do_and_write_the_same() -> None:
    houses = {name: House(name) for name in KINDS}
    seen: dict[str, list[object]] = {name: [] for name in KINDS}
    for name, house in houses.items():
        chance = random.Random(4)
        gates = house.gate((0, USER, 3), (1, PREFIX, 5)), house.gate((1, GIVEN, 2)), house.gate((0, TEXT, 4))
        for _ in range(1500):
            number, client = chance.randrange(60), chance.choice((CLIENT, "2001:db8::1", "::ffff:192.0.2.7", UNIX))
            if chance.random() < 0.3:
                house.end(number)
            else:
                login, keys = b"user%d" % chance.randrange(5), (b"key%d" % chance.randrange(3),)
                seen[name].append(chance.choice(gates).refusal(number, client, login, keys))
        seen[name].append(len(house.held))
    assert seen["C"] == seen["Python"]
    assert houses["C"].memories == houses["Python"].memories
    assert houses["C"].journals == houses["Python"].journals


@pytest.mark.skipif(accelerator is None, reason="only the gate in C has room for so many")
def test_a_gate_has_room_for_the_rules_that_a_server_can_have() -> None:
    house = House("C", tables=_MOST_LIMITS + 1)
    rules = [(number, USER, 1) for number in range(_MOST_LIMITS + 1)]
    assert house.gate(*rules[1:]).refusal(1, CLIENT, b"user") is None
    with pytest.raises(ValueError, match="too many"):
        house.gate(*rules)


@pytest.mark.parametrize("rule", [(2, USER, 1), (-1, USER, 1), (0, 5, 1), (0, -1, 1)])
def test_what_will_not_do_is_refused(kind: str, rule: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="no such table"):
        House(kind).gate(rule)
