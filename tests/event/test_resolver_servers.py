"""The resolver against name servers that are silent, broken or hostile."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from time import monotonic

import dns.flags
import dns.message
import pytest

from mailworker.errors import HostNotFound, NotResolved
from mailworker.model import InetAddress
from tests.support.name_server import Answer, build, closing, code, in_turn, records, silence, truncated
from tests.support.patience import PATIENCE
from tests.support.resolver import POINTER, PTR, ResolverBench

TIMED_OUT = "could not be resolved (110: Operation timed out)"

# Of a lookup, in seconds; a server is asked again after half of it.
TIMEOUT = 0.2


def test_a_server_that_says_nothing_is_asked_again(lookups: ResolverBench) -> None:
    server = lookups.server({f"{PTR} PTR": in_turn(silence, POINTER)})
    assert lookups.host_name(lookups.resolver(server, timeout=1.0)) == b"mail.example"


def test_a_lookup_ends_when_its_time_is_over(lookups: ResolverBench) -> None:
    server = lookups.server({f"{PTR} PTR": silence})
    began = monotonic()
    with pytest.raises(NotResolved) as caught:
        lookups.host_name(lookups.resolver(server, timeout=TIMEOUT))
    assert str(caught.value) == TIMED_OUT
    assert TIMEOUT <= monotonic() - began < TIMEOUT + PATIENCE
    assert 1 <= len(server.asked) <= 2


def test_two_versions_have_no_more_time_than_one(lookups: ResolverBench) -> None:
    server = lookups.server({"mail.example A": silence, "mail.example AAAA": silence})
    began = monotonic()
    with pytest.raises(NotResolved, match="timed out"):
        lookups.addresses(lookups.resolver(server, timeout=TIMEOUT))
    assert monotonic() - began < TIMEOUT + PATIENCE


@pytest.mark.parametrize("rcode", ["FORMERR", "NOTAUTH"])
def test_a_server_that_does_not_understand_has_not_answered(lookups: ResolverBench, rcode: str) -> None:
    server = lookups.server({f"{PTR} PTR": code(rcode)})
    with pytest.raises(NotResolved, match="timed out"):
        lookups.host_name(lookups.resolver(server, timeout=5 * TIMEOUT))
    text = {"FORMERR": "1: Format error", "NOTAUTH": "9: Unknown error"}[rcode]
    assert_told(lookups, [f"[error] DNS error ({text}), query id:{asked.id}" for asked in server.asked])


def assert_told(lookups: ResolverBench, lines: list[str]) -> None:
    """A line for each question was logged, if its answer was not too late."""
    assert lookups.log.lines == [line for line in lines if line in lookups.log.lines]
    assert 1 <= len(lookups.log.lines) <= len(lines) <= 2


def test_servers_take_turns(lookups: ResolverBench) -> None:
    servers = [lookups.server({}) for _ in range(4)]
    resolver = lookups.resolver(*servers)
    for _ in range(8):
        with pytest.raises(NotResolved):
            lookups.host_name(resolver)
    assert [len(server.asked) for server in servers] == [2, 2, 2, 2]


def test_the_next_server_is_asked_where_one_is_silent(lookups: ResolverBench) -> None:
    servers = lookups.server({f"{PTR} PTR": silence}), lookups.server({f"{PTR} PTR": POINTER})
    assert lookups.host_name(lookups.resolver(*servers, timeout=1.0)) == b"mail.example"
    assert [len(server.asked) for server in servers] == [1, 1]


def test_a_server_that_has_failed_is_asked_last_until_all_have_failed(lookups: ResolverBench) -> None:
    dead, alive = nowhere(lookups), lookups.server({f"{PTR} PTR": in_turn(*[code("NXDOMAIN")] * 4, silence, POINTER)})
    resolver = lookups.resolver(dead, alive, timeout=1.0)
    for _ in range(4):
        with pytest.raises(HostNotFound):
            lookups.host_name(resolver)
    assert len(lookups.log.lines) == 1
    assert lookups.host_name(resolver) == b"mail.example"
    assert len(lookups.log.lines) == 2


@pytest.mark.parametrize("rcode", ["SERVFAIL", "NOTIMP", "REFUSED"])
def test_what_one_server_cannot_tell_the_next_one_is_asked_at_once(lookups: ResolverBench, rcode: str) -> None:
    servers = [lookups.server({f"{PTR} PTR": answer}) for answer in (code(rcode), code(rcode), POINTER)]
    assert lookups.host_name(lookups.resolver(*servers, timeout=30.0)) == b"mail.example"
    unable = lookups.resolver(*servers[:2], timeout=30.0)
    with pytest.raises(NotResolved):
        lookups.host_name(unable)
    assert [len(server.asked) for server in servers] == [2, 2, 1]


def test_what_the_last_server_cannot_tell_after_dead_ones_is_unknown_at_once(lookups: ResolverBench) -> None:
    unable = lookups.server({f"{PTR} PTR": code("SERVFAIL")})
    with pytest.raises(NotResolved, match="Server failure"):
        lookups.host_name(lookups.resolver(nowhere(lookups), unable, timeout=30.0))
    assert len(unable.asked) == 1


def nowhere(lookups: ResolverBench) -> InetAddress:
    """Where nobody is reached, nor will be: who is connected hears his peer alone."""
    probe = lookups.stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    probe.bind(("127.0.0.1", 0))
    probe.connect(("127.0.0.1", 9))
    return InetAddress(*probe.getsockname())


def test_the_next_server_is_asked_at_once_where_one_refuses(
    lookups: ResolverBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailworker.event.resolver._RESEND_INTERVAL", 60.0)  # longer than the bench waits
    dead = nowhere(lookups)
    resolver = lookups.resolver(dead, lookups.server({f"{PTR} PTR": POINTER}), timeout=300.0)
    assert lookups.host_name(resolver) == b"mail.example"
    refused = f"[error] recv() failed (111: Connection refused) while resolving, resolver: {dead}"
    assert lookups.log.lines == [refused]


def test_servers_that_all_refuse_are_asked_again_after_a_while(lookups: ResolverBench) -> None:
    began = monotonic()
    with pytest.raises(NotResolved, match="timed out"):
        lookups.host_name(lookups.resolver(nowhere(lookups), nowhere(lookups), timeout=TIMEOUT))
    assert monotonic() - began >= TIMEOUT
    assert 2 <= len(lookups.log.lines) <= 6


def test_an_unreachable_server_is_a_fault_of_connect(lookups: ResolverBench) -> None:
    server = lookups.server({f"{PTR} PTR": POINTER})
    resolver = lookups.resolver(InetAddress("255.255.255.255", 53), server)
    assert lookups.host_name(resolver) == b"mail.example"
    assert lookups.log.lines[0].startswith(
        "[error] connect() to 255.255.255.255:53 failed (13: Permission denied) while "
    )


def test_ids_and_ports_are_never_the_same(lookups: ResolverBench) -> None:
    server = lookups.server({f"{PTR} PTR": code("SERVFAIL")})
    resolver = lookups.resolver(server)
    for _ in range(20):
        with pytest.raises(NotResolved):
            lookups.host_name(resolver)
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
def test_what_is_no_answer_is_passed_over(
    lookups: ResolverBench, hostile: Callable[[dns.message.Message], bytes]
) -> None:
    def answer(query: dns.message.Message) -> list[bytes]:
        return [hostile(query)] * 3 + POINTER(query)

    server = lookups.server({f"{PTR} PTR": answer})
    assert lookups.host_name(lookups.resolver(server)) == b"mail.example"
    assert len(server.asked) == 1


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda hostile: hostile.__name__)
def test_what_is_no_answer_gives_no_more_time(
    lookups: ResolverBench, hostile: Callable[[dns.message.Message], bytes]
) -> None:
    server = lookups.server({f"{PTR} PTR": lambda query: [hostile(query)]})
    with pytest.raises(NotResolved, match="timed out"):
        lookups.host_name(lookups.resolver(server, timeout=TIMEOUT))


def test_a_huge_datagram_is_read_up_to_its_answer(lookups: ResolverBench) -> None:
    server = lookups.server({f"{PTR} PTR": lambda query: [huge_datagram(query)]})
    assert lookups.host_name(lookups.resolver(server)) == b"evil.example"


def test_a_stranger_is_not_heard(lookups: ResolverBench) -> None:
    """Nobody but the server can answer, even with the right id at the right port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:

        def answer(query: dns.message.Message) -> list[bytes]:
            stranger.sendto(
                records((PTR, 60, "PTR", "evil.example."))(query)[0], ("127.0.0.1", server.asked[-1].source)
            )
            return POINTER(query)

        server = lookups.server({f"{PTR} PTR": answer})
        assert lookups.host_name(lookups.resolver(server)) == b"mail.example"


def test_a_late_answer_does_no_harm(lookups: ResolverBench) -> None:
    """It comes to a query that was given up, and the next one gets its own."""
    late: list[bytes] = []

    def answer(query: dns.message.Message) -> list[bytes]:
        late.extend(records((PTR, 60, "PTR", "late.example."))(query))
        return [] if len(late) == 1 else [late[0], *POINTER(query)]

    server = lookups.server({f"{PTR} PTR": answer})
    assert lookups.host_name(lookups.resolver(server, timeout=1.0)) == b"mail.example"


def test_a_truncated_answer_is_fetched_by_tcp(lookups: ResolverBench) -> None:
    whole = records(*(("mail.example", 60, "A", f"192.0.2.{i}") for i in range(100)))
    server = lookups.server({"mail.example A udp": truncated, "mail.example A tcp": whole})
    assert len(lookups.addresses(lookups.resolver(server))) == 100
    assert server.questions == ["mail.example A", "mail.example A by TCP"]


def test_what_is_fetched_by_tcp_leaves_room_for_more(lookups: ResolverBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailworker.event.resolver._MOST_STREAMS", 1)
    server = lookups.server(
        {"mail.example A udp": truncated, "mail.example A tcp": records(("mail.example", 0, "A", "192.0.2.1"))}
    )
    resolver = lookups.resolver(server)
    for _ in range(3):
        assert lookups.addresses(resolver) == ["192.0.2.1"]
    assert not lookups.log.lines


def test_the_longest_message_by_tcp_is_read_in_bounded_time(lookups: ResolverBench) -> None:
    whole = records(*(("mail.example", 60, "A", f"10.0.{i // 256}.{i % 256}") for i in range(4000)))
    server = lookups.server({"mail.example A udp": truncated, "mail.example A tcp": whole})
    assert len(lookups.addresses(lookups.resolver(server))) == 256


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (truncated, "[error] DNS answer is broken, query id:{id}"),
        (lambda query: [wrong_id(query)], "[error] DNS answer is broken, query id:{id}"),
        (closing, "[error] recv() failed (104: Connection reset by peer) while resolving, resolver: {server}"),
    ],
    ids=["truncated again", "another id", "closed"],
)
def test_tcp_that_does_not_help_is_given_up(lookups: ResolverBench, answer: Answer, line: str) -> None:
    server = lookups.server({"mail.example A udp": truncated, "mail.example A tcp": answer})
    with pytest.raises(NotResolved, match="timed out"):
        lookups.addresses(lookups.resolver(server, timeout=5 * TIMEOUT))
    asked = [asked for asked in server.asked if asked.transport == "tcp"]
    assert_told(lookups, [line.format(id=query.id, server=server.address) for query in asked])
