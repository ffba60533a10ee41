"""The resolver against a name server that follows a script."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from ipaddress import ip_address
from time import monotonic
from typing import Any, TypeVar

import dns.flags
import dns.message
import pytest

from mailworker.config.settings import InetAddress, ResolverSettings
from mailworker.errors import HostNotFound, MailworkerError, NotResolved, OutOfConnections
from mailworker.event.connections import Connections
from mailworker.event.loop import Loop
from mailworker.event.resolver import Cache, Resolver
from mailworker.event.task import Task, sleep
from mailworker.event.timers import Timed
from mailworker.wire.dns import Question, RecordType, to_name
from tests.support.name_server import Answer, NameServer, build, code, in_turn, records, silence, truncated
from tests.support.recorded_log import RecordedLog

CLIENT = "192.0.2.1"
PTR = "1.2.0.192.in-addr.arpa"
A = ("mail.example", 60, "A", "192.0.2.1")
AAAA = ("mail.example", 60, "AAAA", "2001:db8::1")
POINTER = records((PTR, 60, "PTR", "mail.example."))
ADDRESS = records(A)
Result = TypeVar("Result")
TIMED_OUT = "could not be resolved (110: Operation timed out)"

# Of a lookup, in seconds; a server is asked again after half of it.
TIMEOUT = 0.2


class Watchdog(Timed):
    """Ends a loop that does not end by itself."""

    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self._loop = loop

    def expire(self) -> None:
        self._loop.stop()


class Bench:
    """Runs what a worker would, in a loop of its own; no connection may be in use when it has ended."""

    def __init__(self) -> None:
        self.log = RecordedLog()
        self.limit = 8
        self.stack = ExitStack()

    def server(self, answers: dict[str, Answer]) -> NameServer:
        server = NameServer(answers)
        self.stack.callback(server.stop)
        return server

    def resolver(self, *servers: NameServer | InetAddress, **settings: Any) -> Resolver:
        addresses = tuple(server.address if isinstance(server, NameServer) else server for server in servers)
        settings = {"timeout": 5.0} | settings
        return Resolver(ResolverSettings(addresses, **settings), self.log.log)

    def host_name(self, resolver: Resolver, address: str = CLIENT) -> bytes:
        return self.run(lambda connections: resolver.host_name(connections, ip_address(address)))

    def addresses(self, resolver: Resolver, version: int = 4) -> list[str]:
        found = self.run(lambda connections: resolver.addresses(connections, b"mail.example", version))
        return sorted(map(str, found))

    def run(self, work: Callable[[Connections], Coroutine[Any, None, Result]]) -> Result:
        """The result of a coroutine, or what it raises of our own."""
        results: list[Result] = []
        errors: list[Exception] = []
        loop = Loop(errors.append)
        connections = Connections(loop, self.limit)

        async def run() -> None:
            try:
                results.append(await work(connections))
            except MailworkerError as error:
                errors.append(error)
            finally:
                loop.stop()

        loop.set_deadline(Watchdog(loop), loop.now + 10.0)
        Task(loop, run()).resume()
        loop.run()
        loop.close()
        assert connections.in_use == 0
        if errors:
            raise errors[0]
        assert results, "the resolver does not come to an end"
        return results[0]


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    with bench.stack:
        yield bench


def test_an_address_has_a_name(bench: Bench) -> None:
    server = bench.server({f"{PTR} PTR": records((PTR, 60, "PTR", "Mail.Example."))})
    assert bench.host_name(bench.resolver(server)) == b"mail.example"
    assert server.questions == [f"{PTR} PTR"]


def test_an_ipv6_address_has_a_name(bench: Bench) -> None:
    name = ip_address("2001:db8::1").reverse_pointer
    server = bench.server({f"{name} PTR": records((name, 60, "PTR", "six.example."))})
    assert bench.host_name(bench.resolver(server), "2001:db8::1") == b"six.example"


def test_the_first_of_several_names_counts(bench: Bench) -> None:
    names = records((PTR, 60, "PTR", "b.example."), (PTR, 60, "PTR", "a.example."))
    assert bench.host_name(bench.resolver(bench.server({f"{PTR} PTR": names}))) == b"b.example"


@pytest.mark.parametrize("whole", [True, False], ids=["in one answer", "in two answers"])
def test_a_name_behind_an_alias_is_found(bench: Bench, whole: bool) -> None:
    """RFC 2317 delegates less than 256 addresses so."""
    alias, target = (PTR, 60, "CNAME", "1.0-63.2.0.192.in-addr.arpa."), "1.0-63.2.0.192.in-addr.arpa"
    pointer = (target, 60, "PTR", "mail.example.")
    server = bench.server(
        {f"{PTR} PTR": records(alias, pointer) if whole else records(alias), f"{target} PTR": records(pointer)}
    )
    assert bench.host_name(bench.resolver(server)) == b"mail.example"
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
    bench: Bench, version: int, settings: dict[str, bool], asked: list[str], found: list[str]
) -> None:
    server = bench.server({"mail.example A": ADDRESS, "mail.example AAAA": records(AAAA)})
    assert bench.addresses(bench.resolver(server, **settings), version) == found
    assert server.questions == [f"mail.example {type_}" for type_ in asked]


def test_the_other_version_is_asked_for_where_the_first_has_nothing(bench: Bench) -> None:
    server = bench.server({"mail.example A": records(), "mail.example AAAA": records(AAAA)})
    assert bench.addresses(bench.resolver(server)) == ["2001:db8::1"]
    assert server.questions == ["mail.example A", "mail.example AAAA"]


def test_the_other_version_is_not_asked_for_where_it_is_off(bench: Bench) -> None:
    server = bench.server({"mail.example A": records(), "mail.example AAAA": records(AAAA)})
    with pytest.raises(HostNotFound):
        bench.addresses(bench.resolver(server, ipv6=False))
    assert server.questions == ["mail.example A"]


def test_a_failing_version_harms_nobody_who_needs_the_other(bench: Bench) -> None:
    server = bench.server({"mail.example A": ADDRESS, "mail.example AAAA": code("SERVFAIL")})
    assert bench.addresses(bench.resolver(server)) == ["192.0.2.1"]


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
def test_codes(bench: Bench, answer: Answer, number: int, text: str) -> None:
    server = bench.server(
        {f"{PTR} PTR": answer, "mail.example A": answer, "mail.example AAAA": answer},
    )
    for look_up in (bench.host_name, bench.addresses):
        with pytest.raises(NotResolved) as caught:
            look_up(bench.resolver(server))
        assert (caught.value.code, str(caught.value)) == (number, text)
        assert isinstance(caught.value, HostNotFound) == (number == 3)
    assert bench.log.lines == []


def test_a_server_that_says_nothing_is_asked_again(bench: Bench) -> None:
    server = bench.server({f"{PTR} PTR": in_turn(silence, POINTER)})
    assert bench.host_name(bench.resolver(server, timeout=1.0)) == b"mail.example"


def test_a_lookup_ends_when_its_time_is_over(bench: Bench) -> None:
    server = bench.server({f"{PTR} PTR": silence})
    began = monotonic()
    with pytest.raises(NotResolved) as caught:
        bench.host_name(bench.resolver(server, timeout=TIMEOUT))
    assert str(caught.value) == TIMED_OUT
    assert TIMEOUT <= monotonic() - began < TIMEOUT + 1.0
    assert 1 <= len(server.asked) <= 2


def test_two_versions_have_no_more_time_than_one(bench: Bench) -> None:
    server = bench.server({"mail.example A": silence, "mail.example AAAA": silence})
    began = monotonic()
    with pytest.raises(NotResolved, match="timed out"):
        bench.addresses(bench.resolver(server, timeout=TIMEOUT))
    assert monotonic() - began < TIMEOUT + 1.0


@pytest.mark.parametrize("rcode", ["FORMERR", "NOTAUTH"])
def test_a_server_that_does_not_understand_has_not_answered(bench: Bench, rcode: str) -> None:
    server = bench.server({f"{PTR} PTR": code(rcode)})
    with pytest.raises(NotResolved, match="timed out"):
        bench.host_name(bench.resolver(server, timeout=TIMEOUT))
    text = {"FORMERR": "1: Format error", "NOTAUTH": "9: Unknown error"}[rcode]
    assert bench.log.lines == [f"[error] DNS error ({text}), query id:{asked.id}" for asked in server.asked]
    assert 1 <= len(server.asked) <= 2


def test_servers_take_turns(bench: Bench) -> None:
    servers = [bench.server({f"{PTR} PTR": code("SERVFAIL")}) for _ in range(3)]
    resolver = bench.resolver(*servers)
    for _ in range(6):
        with pytest.raises(NotResolved):
            bench.host_name(resolver)
    assert [len(server.asked) for server in servers] == [2, 2, 2]


def test_the_next_server_is_asked_where_one_is_silent(bench: Bench) -> None:
    servers = bench.server({f"{PTR} PTR": silence}), bench.server({f"{PTR} PTR": POINTER})
    assert bench.host_name(bench.resolver(*servers, timeout=1.0)) == b"mail.example"
    assert [len(server.asked) for server in servers] == [1, 1]


def nowhere() -> InetAddress:
    """An address whose port nobody listens on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return InetAddress(*probe.getsockname())


def test_the_next_server_is_asked_at_once_where_one_refuses(bench: Bench) -> None:
    dead = nowhere()
    resolver = bench.resolver(dead, bench.server({f"{PTR} PTR": POINTER}), timeout=30.0)
    assert bench.host_name(resolver) == b"mail.example"
    refused = f"[error] recv() failed (111: Connection refused) while resolving, resolver: {dead}"
    assert bench.log.lines == [refused]


def test_servers_that_all_refuse_are_asked_again_after_a_while(bench: Bench) -> None:
    began = monotonic()
    with pytest.raises(NotResolved, match="timed out"):
        bench.host_name(bench.resolver(nowhere(), nowhere(), timeout=TIMEOUT))
    assert monotonic() - began >= TIMEOUT
    assert 2 <= len(bench.log.lines) <= 6


def test_an_unreachable_server_is_a_fault_of_connect(bench: Bench) -> None:
    server = bench.server({f"{PTR} PTR": POINTER})
    resolver = bench.resolver(InetAddress("255.255.255.255", 53), server)
    assert bench.host_name(resolver) == b"mail.example"
    assert bench.log.lines[0].startswith(
        "[error] connect() to 255.255.255.255:53 failed (13: Permission denied) while "
    )


def test_ids_and_ports_are_never_the_same(bench: Bench) -> None:
    server = bench.server({f"{PTR} PTR": code("SERVFAIL")})
    resolver = bench.resolver(server)
    for _ in range(20):
        with pytest.raises(NotResolved):
            bench.host_name(resolver)
    assert len({asked.id for asked in server.asked}) > 15
    assert len({asked.source for asked in server.asked}) > 15


def wrong_id(query: dns.message.Message) -> bytes:
    response = build(query, (PTR, 60, "PTR", "evil.example."))
    response.id ^= 1
    return response.to_wire()


def wrong_question(query: dns.message.Message) -> bytes:
    other = dns.message.make_query("2.2.0.192.in-addr.arpa.", "PTR", id=query.id)
    return build(other, ("2.2.0.192.in-addr.arpa", 60, "PTR", "evil.example.")).to_wire()


def compression_loop(query: dns.message.Message) -> bytes:
    wire = build(query).to_wire()
    return wire[:6] + b"\x00\x01" + wire[8:] + struct.pack("!H", 0xC000 | len(wire)) + b"\x00\x0c\x00\x01" + b"\x00" * 6


def huge_datagram(query: dns.message.Message) -> bytes:
    return build(query, (PTR, 60, "PTR", "evil.example.")).to_wire() + bytes(60000)


def empty(query: dns.message.Message) -> bytes:
    return b""


HOSTILE = [wrong_id, wrong_question, compression_loop, empty]


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda hostile: hostile.__name__)
def test_what_is_no_answer_is_passed_over(bench: Bench, hostile: Callable[[dns.message.Message], bytes]) -> None:
    def answer(query: dns.message.Message) -> list[bytes]:
        return [hostile(query)] * 3 + POINTER(query)

    server = bench.server({f"{PTR} PTR": answer})
    assert bench.host_name(bench.resolver(server)) == b"mail.example"
    assert len(server.asked) == 1


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda hostile: hostile.__name__)
def test_what_is_no_answer_gives_no_more_time(bench: Bench, hostile: Callable[[dns.message.Message], bytes]) -> None:
    server = bench.server({f"{PTR} PTR": lambda query: [hostile(query)]})
    with pytest.raises(NotResolved, match="timed out"):
        bench.host_name(bench.resolver(server, timeout=TIMEOUT))


def test_a_huge_datagram_is_read_up_to_its_answer(bench: Bench) -> None:
    server = bench.server({f"{PTR} PTR": lambda query: [huge_datagram(query)]})
    assert bench.host_name(bench.resolver(server)) == b"evil.example"


def test_a_stranger_is_not_heard(bench: Bench) -> None:
    """Nobody but the server can answer, even with the right id at the right port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:

        def answer(query: dns.message.Message) -> list[bytes]:
            stranger.sendto(
                records((PTR, 60, "PTR", "evil.example."))(query)[0], ("127.0.0.1", server.asked[-1].source)
            )
            return POINTER(query)

        server = bench.server({f"{PTR} PTR": answer})
        assert bench.host_name(bench.resolver(server)) == b"mail.example"


def test_a_late_answer_does_no_harm(bench: Bench) -> None:
    """It comes to a query that was given up, and the next one gets its own."""
    late: list[bytes] = []

    def answer(query: dns.message.Message) -> list[bytes]:
        late.extend(records((PTR, 60, "PTR", "late.example."))(query))
        return [] if len(late) == 1 else [late[0], *POINTER(query)]

    server = bench.server({f"{PTR} PTR": answer})
    assert bench.host_name(bench.resolver(server, timeout=1.0)) == b"mail.example"


def test_a_truncated_answer_is_fetched_by_tcp(bench: Bench) -> None:
    whole = records(*(("mail.example", 60, "A", f"192.0.2.{i}") for i in range(100)))
    server = bench.server({"mail.example A udp": truncated, "mail.example A tcp": whole})
    assert len(bench.addresses(bench.resolver(server))) == 100
    assert server.questions == ["mail.example A", "mail.example A by TCP"]


def test_the_longest_message_by_tcp_is_read_in_bounded_time(bench: Bench) -> None:
    whole = records(*(("mail.example", 60, "A", f"10.0.{i // 256}.{i % 256}") for i in range(4000)))
    server = bench.server({"mail.example A udp": truncated, "mail.example A tcp": whole})
    assert len(bench.addresses(bench.resolver(server))) == 256


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (truncated, "[error] DNS answer is broken, query id:{id}"),
        (lambda query: [wrong_id(query)], "[error] DNS answer is broken, query id:{id}"),
        (lambda query: [], "[error] recv() failed (104: Connection reset by peer) while resolving, resolver: {server}"),
    ],
    ids=["truncated again", "another id", "closed"],
)
def test_tcp_that_does_not_help_is_given_up(bench: Bench, answer: Answer, line: str) -> None:
    server = bench.server({"mail.example A udp": truncated, "mail.example A tcp": answer})
    with pytest.raises(NotResolved, match="timed out"):
        bench.addresses(bench.resolver(server, timeout=TIMEOUT))
    asked = [asked for asked in server.asked if asked.transport == "tcp"]
    assert bench.log.lines == [line.format(id=query.id, server=server.address) for query in asked]
    assert 1 <= len(asked) <= 2


def test_aliases_are_followed_from_answer_to_answer(bench: Bench) -> None:
    server = bench.server(
        {
            "mail.example A": records(("mail.example", 60, "CNAME", "b.example.")),
            "b.example A": records(("b.example", 60, "CNAME", "c.example.")),
            "c.example A": records(("c.example", 60, "A", "192.0.2.1")),
        }
    )
    assert bench.addresses(bench.resolver(server)) == ["192.0.2.1"]


def test_an_alias_of_itself_is_not_followed_for_ever(bench: Bench) -> None:
    server = bench.server({"mail.example A": records(("mail.example", 60, "CNAME", "mail.example."))})
    with pytest.raises(HostNotFound):
        bench.addresses(bench.resolver(server))
    assert len(server.asked) == 1


def test_aliases_without_an_end_are_not_followed_for_ever(bench: Bench) -> None:
    server = bench.server({})
    names = [f"a{i}" for i in range(60)]
    for name, target in zip(["mail.example", *names], names, strict=False):
        server.answers[f"{name} A"] = records((name, 60, "CNAME", f"{target}."))
    with pytest.raises(HostNotFound):
        bench.addresses(bench.resolver(server))
    assert len(server.asked) == 50


def test_what_was_found_is_kept_for_its_ttl(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    server = bench.server({f"{PTR} PTR": in_turn(records((PTR, 600, "PTR", "old.example.")), POINTER)})
    resolver = bench.resolver(server)
    assert bench.host_name(resolver) == b"old.example"
    for later, name in ((500.0, b"old.example"), (700.0, b"mail.example")):
        monkeypatch.setattr("mailworker.event.loop.monotonic", lambda later=later: monotonic() + later)
        assert bench.host_name(resolver) == name
    assert len(server.asked) == 2


def test_the_shortest_ttl_on_the_way_counts(bench: Bench) -> None:
    server = bench.server(
        {
            "mail.example A": records(("mail.example", 0, "CNAME", "b.example.")),
            "b.example A": records(("b.example", 60, "A", "192.0.2.1")),
        }
    )
    resolver = bench.resolver(server)
    for _ in range(2):
        assert bench.addresses(resolver) == ["192.0.2.1"]
    assert len(server.asked) == 4


def test_valid_overrides_a_short_ttl(bench: Bench) -> None:
    server = bench.server({f"{PTR} PTR": records((PTR, 0, "PTR", "mail.example."))})
    resolver = bench.resolver(server, valid=60.0)
    for _ in range(2):
        bench.host_name(resolver)
    assert len(server.asked) == 1


def test_valid_overrides_a_long_ttl(bench: Bench) -> None:
    server = bench.server({f"{PTR} PTR": POINTER})
    resolver = bench.resolver(server, valid=0.0)
    for _ in range(2):
        bench.host_name(resolver)
    assert len(server.asked) == 2


@pytest.mark.parametrize("answer", [code("NXDOMAIN"), code("SERVFAIL"), records()])
def test_failures_are_not_kept(bench: Bench, answer: Answer) -> None:
    server = bench.server({f"{PTR} PTR": in_turn(answer, POINTER)})
    resolver = bench.resolver(server)
    with pytest.raises(NotResolved):
        bench.host_name(resolver)
    assert bench.host_name(resolver) == b"mail.example"


def test_a_full_cache_forgets_its_oldest_entry() -> None:
    questions = [Question(to_name(b"%d.example" % i), RecordType.A) for i in range(4)]
    cache = Cache(3)
    for question in (*questions[:3], questions[0], questions[3]):
        cache.put(question, (b"",), 1.0)
    assert [cache.get(question, 0.0) is not None for question in questions] == [True, False, True, True]


def test_a_worker_without_free_connections_cannot_ask(bench: Bench) -> None:
    bench.limit = 0
    with pytest.raises(OutOfConnections):
        bench.host_name(bench.resolver(nowhere()))


def test_lookups_at_the_same_time_get_their_own_answers(bench: Bench) -> None:
    names = {i: ip_address(f"192.0.2.{i}").reverse_pointer for i in range(1, 7)}
    server = bench.server({f"{name} PTR": records((name, 60, "PTR", f"host{i}.example.")) for i, name in names.items()})
    resolver = bench.resolver(server)
    found: dict[int, bytes] = {}

    async def look_up(connections: Connections, i: int) -> None:
        found[i] = await resolver.host_name(connections, ip_address(f"192.0.2.{i}"))

    async def look_up_all(connections: Connections) -> None:
        for i in names:
            Task(connections.loop, look_up(connections, i)).resume()
        while len(found) < len(names):
            await sleep(0.01)

    bench.run(look_up_all)
    assert found == {i: b"host%d.example" % i for i in names}
