from __future__ import annotations

import random
import time
from math import inf
from selectors import EVENT_READ, DefaultSelector

import pytest

from mailworker.mail.limits.delay import Penalty
from tests.mail.cases import IMAP, WITH_SIEVE, Case
from tests.mail.conftest import Scene
from tests.mail.limits.settings import Mailbox, delay, limit, limits_of, login, settings, zone
from tests.support.auth import rejected
from tests.support.backend import hang
from tests.support.patience import PATIENCE
from tests.support.peer import Peer

WRONG = b"a1 NO Wrong password\r\n"


@pytest.mark.parametrize(
    ("level", "age", "left"),
    [(4, 0, 4), (4, 14.9, 4), (4, 15, 0), (1, 14.9, 1), (2, 15, 0), (0, 100, 0), (255, 0, 4)],
)
def test_a_penalty_falls_as_in_dovecot(level: int, age: float, left: int) -> None:
    assert Penalty(2, 15).level(level, age) == left


def test_a_penalty_doubles_as_in_dovecot() -> None:
    penalty = Penalty(2, 15)
    assert [penalty.seconds(level) for level in range(5)] == [2, 4, 8, 15, 15]
    assert [penalty.raised(level) for level in range(5)] == [1, 2, 3, 4, 4]


@pytest.mark.parametrize(("first", "most", "top"), [(1, 60, 6), (0.001, inf, 30), (2, 2, 4)])
def test_a_penalty_rises_until_it_comes_to_the_most(first: float, most: float, top: int) -> None:
    penalty, level = Penalty(first, most), 0
    for _ in range(99):
        level = penalty.raised(level)
    assert level == top
    assert penalty.seconds(level) <= most
    assert penalty.level(level, 0.0) == top


def test_a_penalty_is_left_out_where_enough_are_held_back(scene: Scene) -> None:
    mailbox = Mailbox(scene, settings(delay=delay(2.0, 15.0, zone())), worker_connections=10)
    limits_of(mailbox.proxy)[0].table.punish(b"\x7f\0\0\1", mailbox.proxy._loop.now, 3)
    held = mailbox.client()
    held.send(login(IMAP, b"secret"))
    assert held.is_silent(0.1)
    assert mailbox.try_to_log_in(b"secret") == IMAP.answer
    scene.skip(15.0)
    held.expect(IMAP.answer)
    assert not [line for line in mailbox.proxy.log.lines if "delaying" in line]  # it is no limit's delay


@pytest.mark.parametrize("case", WITH_SIEVE, ids=lambda case: case.protocol)
def test_refusals_come_late_and_successes_at_once(scene: Scene, case: Case) -> None:
    mailbox = Mailbox(scene, settings(delay=delay(2.0, inf)), case)
    assert mailbox.try_to_log_in(b"secret") == case.answer
    client = mailbox.client()
    client.send(login(case, b"guess"))
    assert client.is_silent(0.1)
    scene.skip(1.5)
    assert client.is_silent(0.1)
    scene.skip(1.5)
    assert client.until(b"\r\n")
    assert mailbox.asked == 2


def test_a_refusal_that_is_held_back_is_no_silence_of_the_client(scene: Scene) -> None:
    mailbox = Mailbox(scene, settings(delay=delay(30.0, inf)), timeout=5.0)
    client = mailbox.client()
    client.send(login(IMAP, b"guess"))
    mailbox.service.peer()
    scene.skip(10.0)
    assert client.is_silent(0.1)
    scene.skip(21.0)
    assert client.until(b"\r\n") == WRONG


def test_a_client_that_leaves_meanwhile_does_no_harm(scene: Scene) -> None:
    mailbox = Mailbox(scene, settings(delay=delay(2.0, inf)))
    client = mailbox.client()
    client.send(login(IMAP, b"guess"))
    mailbox.service.peer()
    client.reset()
    scene.skip(3.0)
    mailbox.proxy.service_is_idle()


def test_the_next_attempts_of_an_address_wait_longer_each_time(scene: Scene) -> None:
    mailbox = Mailbox(scene, settings(delay=delay(2.0, 15.0, zone())))

    def fails_after(number: int, seconds: float) -> None:
        client = mailbox.client()
        client.send(login(IMAP, b"guess%d" % number))
        if seconds:
            assert client.is_silent(0.05)
            scene.skip(seconds - 1.0)
            assert client.is_silent(0.05)
            assert mailbox.asked == number
            scene.skip(1.0)
        mailbox.service.peer(number)
        for _ in range(2):  # the refusal waits from here on
            assert client.is_silent(0.05)
            scene.skip(1.5)
        assert client.until(b"\r\n") == WRONG

    for number, seconds in enumerate((0.0, 4.0, 8.0, 15.0, 15.0)):
        fails_after(number, seconds)
    assert mailbox.try_to_log_in(b"secret", source="127.0.0.2") == IMAP.answer
    scene.skip(15.0)
    assert mailbox.try_to_log_in(b"secret") == IMAP.answer


def test_the_same_password_again_waits_no_longer(scene: Scene) -> None:
    mailbox = Mailbox(scene, settings(delay=delay(2.0, 15.0, zone())))
    for number in range(5):
        client = mailbox.client()
        client.send(login(IMAP, b"old"))
        assert client.is_silent(0.05)
        scene.skip(4.0)
        mailbox.service.peer(number)
        scene.skip(3.0)
        assert client.until(b"\r\n") == WRONG


def test_a_success_ends_the_penalty(scene: Scene) -> None:
    mailbox = Mailbox(scene, settings(delay=delay(2.0, 15.0, zone())))
    for password, seconds in ((b"guess", 3.0), (b"secret", 4.1)):
        client = mailbox.client()
        client.send(login(IMAP, password))
        assert client.is_silent(0.1)
        scene.skip(seconds)
        assert client.until(b"\r\n")
    assert mailbox.try_to_log_in(b"secret") == IMAP.answer


def test_a_tenth_of_the_connections_is_held_back_and_no_more(scene: Scene) -> None:
    """Beyond that, refusals come at once and still count."""
    mailbox = Mailbox(scene, settings(limit(60), delay=delay(30.0, inf)), worker_connections=100)
    clients = {b"guess%d" % number: mailbox.client() for number in range(40)}
    for password, client in clients.items():
        client.send(login(IMAP, password))
    answered = [password for _, password in answers_in_order(clients, 30)]
    waiting = [client for password, client in clients.items() if password not in answered]
    assert len(waiting) == 10
    assert all(client.is_silent(0.02) for client in waiting)
    assert mailbox.asked == 40
    (limited,) = limits_of(mailbox.proxy)
    assert limited.table.take(b"\x7f\0\0\1", mailbox.proxy._loop.now, 99_000) > 38_000
    scene.skip(31.0)
    for client in waiting:
        assert client.until(b"\r\n") == WRONG


def test_neither_time_nor_order_tells_whether_a_user_exists(scene: Scene) -> None:
    """The service takes longer for the passwords of users that exist."""
    service = scene.auth(hang)

    def judge(peer: Peer) -> None:
        exists = (service.header(b"Auth-User") or b"").startswith(b"real")
        if exists:
            time.sleep(0.15)
        peer.send(rejected(b"Wrong password"))

    service._answers = [judge]
    proxy = scene.proxy("imap", service, limit_auth=settings(delay=delay(1.0, inf)), worker_connections=2000)
    users = [b"real%d" % number if number % 2 else b"none%d" % number for number in range(100)]
    random.Random(5).shuffle(users)
    clients = {user: scene.client(proxy) for user in users}
    for user, client in clients.items():
        client.expect(IMAP.greeting)
        client.send(login(IMAP, b"guess", user))
    order = answers_in_order(clients, len(users))
    real = [place for place, (_, user) in enumerate(order) if user.startswith(b"real")]
    assert 35 < sum(real) / len(real) < 65  # in the middle, where those of others are as well


def answers_in_order(clients: dict[bytes, Peer], count: int) -> list[tuple[float, bytes]]:
    """The times of the first answers and whose they are, in the order in which these were asked at the same moment."""
    order: list[tuple[float, bytes]] = []
    with DefaultSelector() as selector:
        for name, client in clients.items():
            selector.register(client._socket, EVENT_READ, name)
        while len(order) < count:
            heard = selector.select(PATIENCE)
            assert heard, f"{len(order)} answers of {count}"
            for key, _ in heard:
                order.append((time.monotonic(), key.data))
                selector.unregister(key.fileobj)
    return order
