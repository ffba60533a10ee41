"""How many connections there may be by keys, over real sockets."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from mailworker.config.limit_conn import LimitConnSettings
from mailworker.config.source import ByBackendSettings
from mailworker.mail.end import End
from mailworker.mail.record import Entrance
from mailworker.model import Level
from tests.mail.cases import IMAP, WITH_SIEVE, Case, all_protocols
from tests.mail.conftest import Scene
from tests.mail.crowds import limits
from tests.support.auth import accepted, rejected
from tests.support.backend import conversation, hang
from tests.support.daemon import wait_until
from tests.support.peer import Peer
from tests.support.proxy import Proxy
from tests.support.settings import access_log, proxy_pass, proxy_settings

CROWDED = {
    "imap": b"a1 NO [UNAVAILABLE] Too many connections\r\n",
    "pop3": b"-ERR [SYS/TEMP] Too many connections\r\n",
    "smtp": b"454 4.7.0 Too many connections\r\n",
    "sieve": b'NO (TRYLATER) "Too many connections"\r\n',
}
LIMITING = 'limiting connections by zone "a"'


def by_user(most: int, **changes: Any) -> LimitConnSettings:
    return limits(("a", "$remote_user", most), **changes)


class House:
    """A proxy whose clients log in."""

    def __init__(self, scene: Scene, settings: LimitConnSettings, case: Case = IMAP, **changes: Any) -> None:
        self.scene, self.case = scene, case
        backend = scene.backend(case.script())
        self.auth = changes.pop("auth", None) or scene.auth(accepted(backend.address))
        self.proxy: Proxy = scene.proxy(case.protocol, self.auth, limit_conn=settings, **changes)

    def knock(self) -> Peer:
        client = self.scene.client(self.proxy)
        client.expect(self.case.greeting)
        client.send(self.case.login)
        return client

    def enter(self) -> Peer:
        client = self.knock()
        client.expect(self.case.answer)
        return client

    def count(self, key: bytes = b"user@example.com", zone: str = "a") -> int:
        return self.proxy.conns[zone].count(key)

    def ended(self, count: int) -> list[End | None]:
        wait_until(lambda: len(self.proxy.ended) >= count, "ends of sessions")
        return [record.reason for record in self.proxy.ended]


@pytest.mark.parametrize("case", WITH_SIEVE, ids=lambda case: case.protocol)
def test_one_too_many_is_told_so_as_freenginx_does_and_leaves(scene: Scene, case: Case) -> None:
    house = House(scene, by_user(2), case)
    first = house.enter()
    house.enter()
    assert house.knock().rest() == CROWDED[case.protocol]
    line = house.proxy.log.find("limiting")
    assert line.startswith("[error] *")
    assert f" {LIMITING} while in http auth state, client: 127.0.0.1, server: " in line
    assert 'login: "user@example.com"' in line
    assert house.ended(1) == [End.LIMIT_CONN]
    assert house.count() == 2
    first.end()
    first.rest()
    house.ended(2)
    house.enter()
    assert house.count() == 2


def test_who_is_refused_has_no_backend(scene: Scene) -> None:
    backend = scene.backend(IMAP.script())
    log = access_log(b"$session_end $upstream_addr $upstream_session_time")
    house = House(scene, by_user(1), auth=scene.auth(accepted(backend.address)), access_log=log)
    house.enter()
    house.knock().rest()
    assert house.proxy.lines.expect(1) == [b"limit_conn - -\n"]
    assert len(backend.peers) == 1


def test_a_wrong_password_counts_for_nobody(scene: Scene) -> None:
    house = House(scene, by_user(1), auth=scene.auth(rejected(b"no")))
    for _ in range(3):
        assert house.knock().rest() == b"a1 NO no\r\n"
    house.ended(3)
    assert house.count() == 0


def test_the_user_is_whom_the_auth_service_says(scene: Scene) -> None:
    backend = scene.backend(conversation(*IMAP.backend))
    house = House(scene, by_user(1), auth=scene.auth(accepted(backend.address, (b"Auth-User", b"somebody"))))
    house.knock().line()
    assert (house.count(b"somebody"), house.count()) == (1, 0)


@pytest.mark.parametrize(
    ("key", "found", "lobby"),
    [
        ("$binary_remote_addr", bytes((127, 0, 0, 1)), False),
        ("$binary_remote_addr", bytes((127, 0, 0, 1)), True),
        ("$binary_remote_prefix", bytes((127, 0, 0, 1)), False),
        ("$protocol:$remote_addr", b"imap:127.0.0.1", False),
    ],
)
def test_an_address_is_limited_at_accept_before_anybody_is_asked(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, key: str, found: bytes, lobby: bool
) -> None:
    monkeypatch.setattr(Entrance, "has_lobby", lobby)  # a log as talkative as ours has none
    house = House(scene, limits(("a", key, 2)))
    clients = [scene.client(house.proxy) for _ in range(2)]
    for client in clients:
        client.expect(IMAP.greeting)
    assert scene.client(house.proxy).rest() == b""
    line = house.proxy.log.find("limiting")
    assert line.startswith(f"[error] *3 {LIMITING} while initializing session, client: 127.0.0.1, server: ")
    assert house.ended(1) == [End.LIMIT_CONN]
    assert house.count(found) == 2
    ((limited,),) = house.proxy.service._checks.values()
    assert (limited.quick is not None) is (key == "$binary_remote_addr")  # a lobby knows no other key
    clients[0].close()
    house.ended(2)
    scene.client(house.proxy).expect(IMAP.greeting)


def test_the_client_behind_a_balancer_is_counted(scene: Scene) -> None:
    proxy = scene.proxy(
        "imap", scene.auth(hang), limit_conn=limits(("a", "$remote_addr", 1)), proxy_protocol=True,
        real_ip_from=(ip_network("127.0.0.1"),),
    )  # fmt: skip
    for address, greeting in ((b"192.0.2.1", IMAP.greeting), (b"192.0.2.2", IMAP.greeting), (b"192.0.2.1", b"")):
        client = scene.client(proxy)
        client.send(b"PROXY TCP4 %b 192.0.2.9 1 143\r\n" % address)
        client.expect(greeting)
    assert proxy.conns["a"].count(b"192.0.2.1") == 1


def test_any_variable_may_be_a_key_and_an_empty_one_counts_nobody(scene: Scene) -> None:
    backend = scene.backend(IMAP.script())
    plan, other = accepted(backend.address, (b"Auth-Plan", b"small")), accepted(backend.address)
    house = House(scene, limits(("a", "$auth_http_auth_plan", 1)), auth=scene.auth(plan, plan, other, other))
    house.enter()
    assert house.knock().rest() == CROWDED["imap"]
    house.enter()
    house.enter()
    assert house.count(b"small") == 1


def test_all_limits_must_agree_and_what_was_counted_before_is_given_back(scene: Scene) -> None:
    house = House(scene, limits(("a", "$remote_user$protocol", 9), ("b", "$remote_user", 1)))
    house.enter()
    assert house.knock().rest() == CROWDED["imap"]
    assert 'by zone "b"' in house.proxy.log.find("limiting")
    assert (house.count(b"user@example.comimap"), house.count(zone="b")) == (1, 1)


def test_in_a_dry_run_all_are_let_in_and_the_log_tells(scene: Scene) -> None:
    house = House(scene, by_user(1, dry_run=True, log_level=Level.WARN))
    house.enter()
    house.enter()
    line = house.proxy.log.find("limiting")
    assert line.startswith("[warn] *")
    assert ' limiting connections, dry run, by zone "a" while' in line
    assert house.count() == 1


@pytest.mark.parametrize(
    ("most", "dry_run", "words"),
    [(2, False, ["PASSED", "PASSED"]), (1, False, ["REJECTED", "PASSED"]), (1, True, ["PASSED", "REJECTED_DRY_RUN"])],
)
def test_a_variable_tells_what_became_of_it(scene: Scene, most: int, dry_run: bool, words: list[str]) -> None:
    house = House(scene, by_user(most, dry_run=dry_run), access_log=access_log(b"$limit_conn_status"))
    first = house.enter()
    second = house.enter() if most == 2 or dry_run else house.knock()
    for number, client in enumerate((first, second) if words[0] == "PASSED" else (second, first), 1):
        client.end()
        client.rest()
        house.ended(number)
    assert [line.decode().strip() for line in house.proxy.lines.of()] == words


def test_too_long_a_key_counts_nobody(scene: Scene) -> None:
    long = "$remote_user-" + "x" * 250
    house = House(scene, limits(("b", "$remote_user", 2), ("a", long, 1)))
    house.enter()
    house.enter()
    value = long.replace("$remote_user", "user@example.com")
    assert f'the value of the "{long}" key is more than 255 bytes: "{value}" while' in house.proxy.log.find("value")
    assert house.count(zone="b") == 2


def test_a_full_zone_lets_nobody_in_and_says_so(scene: Scene) -> None:
    house = House(scene, by_user(5, size=128))
    table = house.proxy.conns["a"]
    for number in range(16):
        table.hold(b"%d" % number, 9)
    house.proxy.alerts_expected = True
    assert house.knock().rest() == CROWDED["imap"]
    assert house.knock().rest() == CROWDED["imap"]
    assert house.proxy.log.find("is full").startswith('[alert] *1 limit_conn_zone "a" is full while')
    assert len([line for line in house.proxy.log.lines if "is full" in line]) == 1


@pytest.mark.parametrize("most", [1, 2])
def test_where_the_backend_decides_only_its_yes_counts(scene: Scene, most: int) -> None:
    """Else strangers could keep a user out by wrong passwords alone."""
    answers = [b"a1 NO [AUTHENTICATIONFAILED] no\r\n", b"a1 OK in\r\n", b"a1 OK in\r\n"]

    def decide(peer: Peer) -> None:
        conversation(b"* OK backend\r\n", answers.pop(0), then=hang)(peer)

    backend = scene.backend(decide)
    house = House(
        scene, by_user(most), auth=scene.auth(hang), source=ByBackendSettings(),
        proxy=proxy_settings(backend=proxy_pass(backend.address)),
    )  # fmt: skip
    assert house.knock().line() == b"a1 NO [AUTHENTICATIONFAILED] Authentication failed\r\n"
    assert house.count() == 0
    assert house.knock().line() == b"a1 OK in\r\n"
    assert house.knock().line() == (b"a1 OK in\r\n" if most == 2 else CROWDED["imap"])
    assert house.count() == most


@all_protocols
def test_a_message_from_a_stranger_is_nobody_s_connection(scene: Scene, case: Case) -> None:
    house = House(scene, limits(("a", "$remote_user", 1)), case)
    client = scene.client(house.proxy)
    client.expect(case.greeting)
    assert house.count(b"") == 0
