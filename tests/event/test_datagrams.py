"""The sockets through which name servers are asked."""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_address

import dns.message
import pytest

from mailworker.errors import NotResolved
from mailworker.event.connections import Connections
from mailworker.event.datagrams import MOST_QUERIES, MOST_SOCKETS
from mailworker.event.resolver import Resolver
from mailworker.event.task import Task, sleep
from tests.event.test_resolver_servers import TIMEOUT, nowhere
from tests.support.name_server import Answer, NameServer, records, silence, truncated
from tests.support.resolver import POINTER, PTR, ResolverBench


def addresses(count: int) -> list[str]:
    return [f"10.0.{i // 256}.{i % 256}" for i in range(count)]


def pointer(address: str) -> str:
    return ip_address(address).reverse_pointer


def knowing(lookups: ResolverBench, found: list[str]) -> NameServer:
    """A name server that calls each address by its own name."""

    def answer(address: str) -> Answer:
        return records((pointer(address), 60, "PTR", f"host-{address.replace('.', '-')}.example."))

    return lookups.server({f"{pointer(address)} PTR": answer(address) for address in found})


def names(lookups: ResolverBench, resolver: Resolver, wanted: list[str]) -> list[str]:
    """What all of `wanted`, asked for before any answer is read, are called; "" where that is not found out."""
    found: dict[int, str] = {}

    async def look_up(connections: Connections, place: int, address: str) -> None:
        try:
            found[place] = (await resolver.host_name(connections, ip_address(address))).decode()
        except NotResolved:
            found[place] = ""

    async def look_up_all(connections: Connections) -> list[str]:
        for place, address in enumerate(wanted):
            Task(connections.loop, look_up(connections, place, address)).resume()
        while len(found) < len(wanted):
            await sleep(0.01)
        return [found[place] for place in range(len(wanted))]

    return lookups.run(look_up_all)


def test_many_questions_share_a_few_sockets_and_each_gets_its_answer(lookups: ResolverBench) -> None:
    wanted = addresses(150)
    server = knowing(lookups, wanted)
    found = names(lookups, lookups.resolver(server), wanted)
    assert found == [f"host-{address.replace('.', '-')}.example" for address in wanted]
    assert list(Counter(asked.source for asked in server.asked).values()) == [MOST_QUERIES] * 2 + [
        150 - 2 * MOST_QUERIES
    ]


def test_there_are_never_more_sockets_than_a_few(lookups: ResolverBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailworker.event.datagrams.MOST_QUERIES", 2)
    wanted = addresses(40)
    server = knowing(lookups, wanted)
    assert "" not in names(lookups, lookups.resolver(server), wanted)
    assert len({asked.source for asked in server.asked}) == MOST_SOCKETS


def test_a_socket_is_used_for_a_short_time(lookups: ResolverBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailworker.event.datagrams._LONGEST_USE", 0.0)
    wanted = addresses(5)
    server = knowing(lookups, wanted)
    assert "" not in names(lookups, lookups.resolver(server), wanted)
    assert len({asked.source for asked in server.asked}) == 5


def test_the_same_question_is_asked_once(lookups: ResolverBench) -> None:
    """Several at once would let who forges answers guess several ids at once."""
    server = lookups.server({f"{PTR} PTR": POINTER})
    assert names(lookups, lookups.resolver(server), ["192.0.2.1"] * 50) == ["mail.example"] * 50
    assert len(server.asked) == 1


def test_an_answer_to_another_question_on_the_socket_is_none(lookups: ResolverBench) -> None:
    """An id alone does not make an answer: the question must be repeated."""
    ids: list[int] = []

    def crossed(query: dns.message.Message) -> list[bytes]:
        ids.append(query.id)
        if len(ids) < 2:
            return []
        forged = records((query.question[0].name.to_text(omit_final_dot=True), 60, "PTR", "evil.example."))(query)[0]
        return [ids[0].to_bytes(2, "big") + forged[2:]]

    first, second = addresses(2)
    server = lookups.server({f"{pointer(first)} PTR": crossed, f"{pointer(second)} PTR": crossed})
    assert names(lookups, lookups.resolver(server, timeout=TIMEOUT), [first, second]) == ["", ""]


def test_a_dead_server_costs_a_line_for_a_socket_not_for_a_question(lookups: ResolverBench) -> None:
    wanted = addresses(40)
    server = knowing(lookups, wanted)
    assert "" not in names(lookups, lookups.resolver(nowhere(lookups), server, timeout=30.0), wanted)
    assert 1 <= len(lookups.log.lines) <= 25


def test_a_worker_without_free_connections_asks_all_the_same(lookups: ResolverBench) -> None:
    lookups.limit = 0
    assert lookups.host_name(lookups.resolver(lookups.server({f"{PTR} PTR": POINTER}))) == b"mail.example"


def test_a_long_answer_that_no_connection_is_left_for_is_none(lookups: ResolverBench) -> None:
    lookups.limit = 0
    server = lookups.server({f"{PTR} PTR": truncated})
    with pytest.raises(NotResolved, match="timed out"):
        lookups.host_name(lookups.resolver(server, timeout=TIMEOUT))
    assert lookups.log.lines[0] == (
        f"[error] 0 worker_connections are not enough while resolving, resolver: {server.address}"
    )


def test_long_answers_take_a_few_connections_at_a_time(lookups: ResolverBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailworker.event.resolver._MOST_STREAMS", 1)
    first, second = addresses(2)
    server = lookups.server({f"{pointer(first)} PTR": truncated, f"{pointer(second)} PTR": truncated})
    for address in (first, second):
        server.answers[f"{pointer(address)} PTR tcp"] = silence
    assert names(lookups, lookups.resolver(server, timeout=TIMEOUT), [first, second]) == ["", ""]
    assert "[error] 1 connections for long DNS answers are not enough" in lookups.log.lines


def test_no_more_than_a_table_of_questions_is_asked_at_once(
    lookups: ResolverBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailworker.event.resolver.MOST_LOOKUPS", 3)
    wanted = addresses(5)
    server = knowing(lookups, wanted)
    assert [bool(name) for name in names(lookups, lookups.resolver(server), wanted)] == [True] * 3 + [False] * 2
