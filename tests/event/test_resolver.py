"""The resolver against a name server that follows a script."""

from __future__ import annotations

from ipaddress import ip_address
from time import monotonic

import pytest

from mailworker.errors import HostNotFound, NotResolved
from mailworker.event.connections import Connections
from mailworker.event.lookup import Cache
from mailworker.event.task import Task, sleep
from mailworker.wire.dns import Question, RecordType, to_name
from tests.support.name_server import Answer, code, in_turn, records, truncated
from tests.support.resolver import POINTER, PTR, ResolverBench

A = ("mail.example", 60, "A", "192.0.2.1")
AAAA = ("mail.example", 60, "AAAA", "2001:db8::1")
ADDRESS = records(A)


def test_an_address_has_a_name(lookups: ResolverBench) -> None:
    server = lookups.server({f"{PTR} PTR": records((PTR, 60, "PTR", "Mail.Example."))})
    assert lookups.host_name(lookups.resolver(server)) == b"mail.example"
    assert server.questions == [f"{PTR} PTR"]


def test_an_ipv6_address_has_a_name(lookups: ResolverBench) -> None:
    name = ip_address("2001:db8::1").reverse_pointer
    server = lookups.server({f"{name} PTR": records((name, 60, "PTR", "six.example."))})
    assert lookups.host_name(lookups.resolver(server), "2001:db8::1") == b"six.example"


def test_the_first_of_several_names_counts(lookups: ResolverBench) -> None:
    names = records((PTR, 60, "PTR", "b.example."), (PTR, 60, "PTR", "a.example."))
    assert lookups.host_name(lookups.resolver(lookups.server({f"{PTR} PTR": names}))) == b"b.example"


@pytest.mark.parametrize("whole", [True, False], ids=["in one answer", "in two answers"])
def test_a_name_behind_an_alias_is_found(lookups: ResolverBench, whole: bool) -> None:
    """RFC 2317 delegates less than 256 addresses so."""
    alias, target = (PTR, 60, "CNAME", "1.0-63.2.0.192.in-addr.arpa."), "1.0-63.2.0.192.in-addr.arpa"
    pointer = (target, 60, "PTR", "mail.example.")
    server = lookups.server(
        {f"{PTR} PTR": records(alias, pointer) if whole else records(alias), f"{target} PTR": records(pointer)}
    )
    assert lookups.host_name(lookups.resolver(server)) == b"mail.example"
    assert len(server.asked) == (1 if whole else 2)


@pytest.mark.parametrize(
    ("version", "settings", "asked", "found"),
    [
        (4, {}, ["A"], ["192.0.2.1"]),
        (6, {}, ["AAAA"], ["2001:db8::1"]),
        (4, {"ipv4": False}, ["AAAA"], ["2001:db8::1"]),
        (6, {"ipv6": False}, ["A"], ["192.0.2.1"]),
    ],
)
def test_one_version_is_enough(
    lookups: ResolverBench, version: int, settings: dict[str, bool], asked: list[str], found: list[str]
) -> None:
    server = lookups.server({"mail.example A": ADDRESS, "mail.example AAAA": records(AAAA)})
    assert lookups.addresses(lookups.resolver(server, **settings), version) == found
    assert server.questions == [f"mail.example {type_}" for type_ in asked]


def test_the_other_version_is_asked_for_where_the_first_has_nothing(lookups: ResolverBench) -> None:
    server = lookups.server({"mail.example A": records(), "mail.example AAAA": records(AAAA)})
    assert lookups.addresses(lookups.resolver(server)) == ["2001:db8::1"]
    assert server.questions == ["mail.example A", "mail.example AAAA"]


def test_the_other_version_is_not_asked_for_where_it_is_off(lookups: ResolverBench) -> None:
    server = lookups.server({"mail.example A": records(), "mail.example AAAA": records(AAAA)})
    with pytest.raises(HostNotFound):
        lookups.addresses(lookups.resolver(server, ipv6=False))
    assert server.questions == ["mail.example A"]


def test_the_other_version_is_not_asked_for_where_one_is_wanted_alone(lookups: ResolverBench) -> None:
    server = lookups.server({"mail.example A": ADDRESS, "mail.example AAAA": records()})
    resolver = lookups.resolver(server)
    with pytest.raises(HostNotFound):
        lookups.run(lambda connections: resolver.addresses(connections, b"mail.example", 6, alone=True))
    assert server.questions == ["mail.example AAAA"]


def test_a_failing_version_harms_nobody_who_needs_the_other(lookups: ResolverBench) -> None:
    server = lookups.server({"mail.example A": ADDRESS, "mail.example AAAA": code("SERVFAIL")})
    assert lookups.addresses(lookups.resolver(server)) == ["192.0.2.1"]


@pytest.mark.parametrize(
    ("answer", "number", "text"),
    [
        (code("SERVFAIL"), 2, "could not be resolved (2: Server failure)"),
        (code("NXDOMAIN"), 3, "could not be resolved (3: Host not found)"),
        (records(), 3, "could not be resolved (3: Host not found)"),
        (code("NOTIMP"), 4, "could not be resolved (4: Unimplemented)"),
        (code("REFUSED"), 5, "could not be resolved (5: Operation refused)"),
    ],
    ids=["SERVFAIL", "NXDOMAIN", "no data", "NOTIMP", "REFUSED"],
)
def test_codes(lookups: ResolverBench, answer: Answer, number: int, text: str) -> None:
    server = lookups.server(
        {f"{PTR} PTR": answer, "mail.example A": answer, "mail.example AAAA": answer},
    )
    for look_up in (lookups.host_name, lookups.addresses):
        with pytest.raises(NotResolved) as caught:
            look_up(lookups.resolver(server))
        assert (caught.value.code, str(caught.value)) == (number, text)
        assert isinstance(caught.value, HostNotFound) == (number == 3)
    assert lookups.log.lines == []


def test_aliases_are_followed_from_answer_to_answer(lookups: ResolverBench) -> None:
    server = lookups.server(
        {
            "mail.example A": records(("mail.example", 60, "CNAME", "b.example.")),
            "b.example A": records(("b.example", 60, "CNAME", "c.example.")),
            "c.example A": records(("c.example", 60, "A", "192.0.2.1")),
        }
    )
    assert lookups.addresses(lookups.resolver(server)) == ["192.0.2.1"]


def test_an_alias_of_itself_is_not_followed_for_ever(lookups: ResolverBench) -> None:
    server = lookups.server({"mail.example A": records(("mail.example", 60, "CNAME", "mail.example."))})
    with pytest.raises(HostNotFound):
        lookups.addresses(lookups.resolver(server))
    assert len(server.asked) == 1


def test_aliases_without_an_end_are_not_followed_for_ever(lookups: ResolverBench) -> None:
    server = lookups.server({})
    names = [f"a{i}" for i in range(60)]
    for name, target in zip(["mail.example", *names], names, strict=False):
        server.answers[f"{name} A"] = records((name, 60, "CNAME", f"{target}."))
    with pytest.raises(HostNotFound):
        lookups.addresses(lookups.resolver(server))
    assert len(server.asked) == 50


def test_what_was_found_is_kept_for_its_ttl(lookups: ResolverBench, monkeypatch: pytest.MonkeyPatch) -> None:
    server = lookups.server({f"{PTR} PTR": in_turn(records((PTR, 600, "PTR", "old.example.")), POINTER)})
    resolver = lookups.resolver(server)
    assert lookups.host_name(resolver) == b"old.example"
    for later, name in ((500.0, b"old.example"), (700.0, b"mail.example")):
        monkeypatch.setattr("mailworker.event.loop.monotonic", lambda later=later: monotonic() + later)
        assert lookups.host_name(resolver) == name
    assert len(server.asked) == 2


def test_the_shortest_ttl_on_the_way_counts(lookups: ResolverBench) -> None:
    server = lookups.server(
        {
            "mail.example A": records(("mail.example", 0, "CNAME", "b.example.")),
            "b.example A": records(("b.example", 60, "A", "192.0.2.1")),
        }
    )
    resolver = lookups.resolver(server)
    for _ in range(2):
        assert lookups.addresses(resolver) == ["192.0.2.1"]
    assert len(server.asked) == 4


def test_valid_overrides_a_short_ttl(lookups: ResolverBench) -> None:
    server = lookups.server({f"{PTR} PTR": records((PTR, 0, "PTR", "mail.example."))})
    resolver = lookups.resolver(server, valid=60.0)
    for _ in range(2):
        lookups.host_name(resolver)
    assert len(server.asked) == 1


def test_valid_overrides_a_long_ttl(lookups: ResolverBench) -> None:
    server = lookups.server({f"{PTR} PTR": POINTER})
    resolver = lookups.resolver(server, valid=0.0)
    for _ in range(2):
        lookups.host_name(resolver)
    assert len(server.asked) == 2


@pytest.mark.parametrize("answer", [code("NXDOMAIN"), code("SERVFAIL"), records()])
def test_failures_are_not_kept(lookups: ResolverBench, answer: Answer) -> None:
    server = lookups.server({f"{PTR} PTR": in_turn(answer, POINTER)})
    resolver = lookups.resolver(server)
    with pytest.raises(NotResolved):
        lookups.host_name(resolver)
    assert lookups.host_name(resolver) == b"mail.example"


def test_a_full_cache_forgets_its_oldest_entry() -> None:
    questions = [Question(to_name(b"%d.example" % i), RecordType.A) for i in range(4)]
    cache = Cache(3, 100)
    for question in (*questions[:3], questions[0], questions[3]):
        cache.put(question, (b"",), 1.0)
    assert [cache.get(question, 0.0) is not None for question in questions] == [True, False, True, True]


def test_a_full_cache_of_addresses_forgets_its_oldest_entry() -> None:
    """A worker's memory must not be filled from outside."""
    questions = [Question(to_name(b"%d.example" % i), RecordType.A) for i in range(3)]
    cache = Cache(100, 10)
    for question in (*questions, questions[2]):
        cache.put(question, (b"",) * 5, 1.0)
    assert [cache.get(question, 0.0) is not None for question in questions] == [False, True, True]


def test_lookups_at_the_same_time_get_their_own_answers(lookups: ResolverBench) -> None:
    names = {i: ip_address(f"192.0.2.{i}").reverse_pointer for i in range(1, 7)}
    server = lookups.server(
        {f"{name} PTR": records((name, 60, "PTR", f"host{i}.example.")) for i, name in names.items()}
    )
    resolver = lookups.resolver(server)
    found: dict[int, bytes] = {}

    async def look_up(connections: Connections, i: int) -> None:
        found[i] = await resolver.host_name(connections, ip_address(f"192.0.2.{i}"))

    async def look_up_all(connections: Connections) -> None:
        for i in names:
            Task(connections.loop, look_up(connections, i)).resume()
        while len(found) < len(names):
            await sleep(0.01)

    lookups.run(look_up_all)
    assert found == {i: b"host%d.example" % i for i in names}


def test_as_many_addresses_as_are_read_are_kept(lookups: ResolverBench) -> None:
    """Else who has many makes us ask for them each time."""
    server = lookups.server(
        {"mail.example A": records(*(("mail.example", 60, "A", f"10.0.{i // 256}.{i % 256}") for i in range(300)))}
    )
    server.answers["mail.example A udp"] = truncated
    resolver = lookups.resolver(server)
    for _ in range(2):
        assert len(lookups.addresses(resolver)) == 256
    assert server.questions == ["mail.example A", "mail.example A by TCP"]
