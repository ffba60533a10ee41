from __future__ import annotations

import pytest

from mailworker.config.limit_auth import LimitZone
from mailworker.mail.limits.keys import rendered
from mailworker.mail.limits.zones import LimitZones, ZoneBan, ZoneUse
from mailworker.shm.attempts import NONE, Attempts, Rule
from mailworker.shm.limits import Limits
from mailworker.variables.variables import Variables
from tests.mail.limits.settings import SIZE, Known, limit, settings, zone
from tests.shm.limits import clock_at
from tests.support.settings import mail_server

PREFIX, ADDRESS = zone(name="prefix"), zone("$remote_addr", name="address")
PACKED, USER = zone("$binary_remote_addr", name="packed"), zone("$remote_user", name="user")


class Bench:
    """Zones with memory, and a clock."""

    def __init__(self, *zones: LimitZone, ban: float = 60.0) -> None:
        self.now = 100.0
        self.memory = {each.zone.name: Limits(each.zone.name, SIZE, each.zone.words[0]) for each in zones}
        limits = settings(*(limit(of=each, ban=ban) for each in zones), prefix=(32, 64))
        self.zones = LimitZones(
            [mail_server("imap", limit_auth=limits), mail_server("pop3", limit_auth=limits)],
            lambda zone: self.memory[zone.name],
            lambda: self.now,
        )


@pytest.mark.parametrize(
    ("key", "spelled"),
    [
        ("192.0.2.7", ["192.0.2.7"] * 3),
        ("2001:db8:1:2::7", ["2001:db8:1:2::/64", "2001:db8:1:2::7", "2001:db8:1:2::7"]),
        ("unix:", ["unix:"] * 3),
    ],
)
def test_an_address_is_banned_in_each_form_that_keys_have(key: str, spelled: list[str]) -> None:
    bench = Bench(PREFIX, ADDRESS, PACKED)
    assert bench.zones.ban(key, 60.0) == ["prefix", "address", "packed"]
    bench.now += 10.0
    assert bench.zones.bans() == [
        ZoneBan(name, each, 50.0, whole=True)
        for name, each in zip(("prefix", "address", "packed"), spelled, strict=True)
    ]
    assert bench.zones.unban(key, "address") == ["address"]
    assert bench.zones.unban(key) == ["prefix", "packed"]
    assert bench.zones.unban(key) == []
    assert bench.zones.bans() == []


@pytest.mark.parametrize("client", ["192.0.2.7", "2001:db8:1:2::7", "::ffff:192.0.2.7"])
@pytest.mark.parametrize("name", ["binary_remote_addr", "binary_remote_prefix", "remote_addr", "remote_prefix"])
def test_the_ban_of_a_client_holds_for_its_key(name: str, client: str) -> None:
    bench = Bench(zone(f"${name}", name="zone"))
    key = rendered(zone(f"${name}").key, Variables({}))
    assert bench.zones.ban(client.removeprefix("::ffff:"), 60.0) == ["zone"]
    assert bench.memory["zone"].table((100, 1000)).banned(key(Known(client)), bench.now) == 60.0
    (ban,) = bench.zones.bans()
    assert bench.zones.unban(ban.key) == ["zone"]


def test_what_is_listed_can_be_lifted() -> None:
    bench = Bench(PREFIX, USER)
    bench.zones.ban("2001:db8::1", 60.0, "prefix")
    bench.zones.ban("user@example.com", 60.0, "user")
    for ban in bench.zones.bans():
        assert bench.zones.unban(ban.key, ban.zone) == [ban.zone]


def test_a_user_is_no_key_of_addresses() -> None:
    bench = Bench(PREFIX, USER)
    assert bench.zones.ban("user@example.com", 60.0) == ["user"]
    assert bench.zones.ban("nobody", 60.0, "prefix") == []
    assert bench.zones.ban("192.0.2.7", 60.0, "elsewhere") == []


@pytest.mark.parametrize("key", ["$binary_remote_prefix$remote_user", "$remote_user/$binary_remote_addr"])
def test_a_key_with_a_packed_part_is_none_that_can_be_typed(key: str) -> None:
    bench = Bench(zone(key, name="composed"), zone("$remote_addr/$remote_user", name="typed"))
    assert bench.zones.ban("192.0.2.7/bob", 60.0) == ["typed"]
    assert bench.zones.ban("192.0.2.7/bob", 60.0, "composed") == []


@pytest.mark.parametrize(
    ("key", "whole", "other"),
    [
        ("$remote_addr/$remote_user", "192.0.2.7/bob", "bob"),
        ("$remote_addr/$remote_user", "2001:db8::7/bob", "192.0.2.7"),
        ("$remote_addr/$remote_user", "unix:/bob", "2001:db8::7"),
        ("$remote_addr$remote_user", "192.0.2.7bob", "192.0.2.7"),
        ("$remote_addr$remote_user", "2001:db8::7bob", "bob"),
        ("$remote_addr$remote_user", "unix:bob", "1.2.3"),
        ("$remote_prefix$remote_user", "2001:db8::/64bob", "bad"),
        ("$remote_user $remote_addr", "bob 192.0.2.7", "bob"),
        ("$remote_user $remote_prefix", "bob 2001:db8::/64", "bob 7"),
        ("$remote_user $remote_prefix", "bob 192.0.2.0/24", "bob/24"),
        ("imap:$remote_user", "imap:bob", "bob"),
        ("$remote_user@$protocol", "bob@imap", None),
        ("${remote_user}.", "bob.", "bob"),
        ("$remote_user/$imap_id", "bob/", "/bob"),
    ],
)
def test_a_key_of_several_parts_is_typed_whole(key: str, whole: str, other: str | None) -> None:
    bench = Bench(zone(key, name="composed"))
    assert bench.zones.ban(whole, 60.0) == ["composed"]
    if other is not None:
        assert bench.zones.ban(other, 60.0) == []
        assert bench.zones.ban(other, 60.0, "composed") == []


def test_a_user_is_banned_where_the_user_alone_is_the_key() -> None:
    composed = ("$remote_addr$remote_user", "$remote_user_domain", "$binary_remote_prefix$remote_user")
    bench = Bench(USER, ADDRESS, zone("$protocol", name="protocol"), *(zone(key, name=key) for key in composed))
    assert bench.zones.ban_user("192.0.2.7", 60.0) == ["user"]
    assert [(ban.zone, ban.key) for ban in bench.zones.bans()] == [("user", "192.0.2.7")]
    assert bench.zones.beyond_users == [*composed]
    assert Bench(USER, zone(composed[0], name="composed"), ban=0.0).zones.beyond_users == []


@pytest.mark.parametrize("how", ["ban", "ban_user"])
def test_the_ban_of_a_user_holds_for_clients_that_have_logged_in_as_this_user(how: str) -> None:
    bench = Bench(USER)
    table = bench.memory["user"].table((100, 1000))
    clock = clock_at(bench.now)
    rule = Rule(table, 4, 1000, NONE, True, False, True, 100, 1000)
    attempts = Attempts((rule,), (32, 64), (), NONE, None, clock)

    def enters(name: bytes = b"bob") -> bool:
        clock.now = bench.now
        attempt = attempts.enter("192.0.2.7", name)
        assert attempt is not None
        let_in = attempt.wait == 0.0
        if let_in:
            attempt.succeed()
        return let_in

    assert enters()
    bench.now += 1.0
    assert getattr(bench.zones, how)("Bob", 60.0) == ["user"]
    bench.now += 1.0
    assert not any(enters(name) for name in (b"bob", b"BOB", b" bob", b"bob\0"))
    assert bench.zones.unban("boB") == ["user"]
    assert enters()


@pytest.mark.parametrize(
    ("network", "zones"),
    [
        ("2001:db8::/64", ["prefix"]),
        ("2001:db8::/48", []),
        ("2001:db8::7/64", ["prefix"]),
        ("192.0.2.0/24", []),
        ("192.0.2.0/32", ["prefix", "address"]),
        ("unix:", ["prefix", "address"]),
    ],
)
def test_a_network_is_banned_where_it_is_counted_as_one_key(network: str, zones: list[str]) -> None:
    users = USER, zone("$remote_addr/$remote_user", name="pair")
    assert Bench(PREFIX, ADDRESS, *users).zones.ban(network, 60.0) == zones


def test_an_address_is_a_user_only_in_a_zone_that_is_named() -> None:
    zones = Bench(PREFIX, USER).zones
    assert zones.ban("192.0.2.7", 60.0, "user") == ["user"]
    assert zones.unban("192.0.2.7") == ["user"]


def test_nobody_is_banned_where_no_server_looks_for_bans() -> None:
    bench = Bench(PREFIX, USER, ban=0.0)
    assert bench.zones.ban("192.0.2.7", 60.0) == []
    assert bench.zones.ban("192.0.2.7", 60.0, "prefix") == []
    assert bench.zones.ban_user("bob", 60.0) == []
    assert bench.zones.bans() == []


def test_lifting_a_ban_lets_a_client_begin_anew() -> None:
    bench = Bench(ADDRESS)
    table = bench.memory["address"].table((100, 1000))
    for _ in range(20):
        table.take(b"192.0.2.7", bench.now, 99_000)
    bench.zones.ban("192.0.2.7", 60.0)
    bench.zones.unban("192.0.2.7")
    assert table.take(b"192.0.2.7", bench.now, 0) == 0


def test_a_count_without_a_ban_is_not_lifted() -> None:
    bench = Bench(ADDRESS)
    table = bench.memory["address"].table((100, 1000))
    for excess in (0, 1000):
        assert table.take(b"192.0.2.7", bench.now, 99_000) == excess
        assert bench.zones.unban("192.0.2.7") == []


def test_only_names_of_users_have_one_case_and_any_bytes() -> None:
    bench = Bench(USER, zone("$imap_id", name="id"))
    bench.zones.ban("CafE", 60.0)
    assert bench.zones.ban_user("Jos\udce9", 60.0) == ["user"]
    assert sorted((ban.zone, ban.key) for ban in bench.zones.bans()) == [
        ("id", "CafE"), ("user", "cafe"), ("user", "jose"),
    ]  # fmt: skip


def test_usage_tells_how_full_zones_are() -> None:
    bench = Bench(PREFIX, USER)
    bench.zones.ban("192.0.2.7", 60.0, "prefix")
    table = bench.memory["user"].table((1, 1_000_000))
    for number in range(3000):
        for _ in range(2):
            table.take(b"%d" % number, bench.now, 9000)
    prefix, user = bench.zones.usage()
    assert prefix == ZoneUse("prefix", "$binary_remote_prefix", 1, 1, prefix.room, 0)
    assert (user.entries, user.bans, user.dropped) == (user.room, 0, table.dropped)
    assert bench.zones.names == ("prefix", "user")


def test_whatever_is_in_a_zone_it_can_be_listed() -> None:
    bench = Bench(PREFIX, USER)
    bench.memory["prefix"].table((100, 1000)).ban(b"no address\n", bench.now, 60.0)
    bench.memory["prefix"].table((100, 1000)).ban(b"longer than any address\n", bench.now, 60.0)
    assert len({ban.key for ban in bench.zones.bans() if ban.key.isprintable()}) == 2
    for memory in bench.memory.values():
        for place in range(64, len(memory.memory) - 8):
            memory.memory[place] = place * 7 % 256
    for ban in bench.zones.bans():
        assert ban.key.isprintable()
    assert len(bench.zones.bans(3)) <= 6
    assert all(use.entries <= use.room for use in bench.zones.usage())
