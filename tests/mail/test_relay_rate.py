"""Relays that keep a rate, by real clocks and sockets."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from random import Random

import pytest

from mailworker.mail.end import End
from tests.mail.cases import IMAP, SIEVE
from tests.mail.conftest import Scene
from tests.mail.test_record import record_of
from tests.mail.test_relay import relayed
from tests.support.backend import hang
from tests.support.patience import PATIENCE
from tests.support.peer import Peer
from tests.support.settings import proxy_settings
from tests.tls.peers import client_context

RATE = 1_000_000
SECONDS = 1.2
DATA = Random(1).randbytes(int(RATE * SECONDS))
both = pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])


def pour(peer: Peer) -> None:
    peer.send(DATA)
    peer.rest()


def pour_more(peer: Peer) -> None:
    peer.send(DATA + bytes(10_000))
    peer.rest()


def pour_little(peer: Peer) -> None:
    peer.send(bytes(2000))
    peer.rest()


def keeps_the_rate(once: Callable[[], None]) -> None:
    """Never faster than a tenth above it; a busy machine may make it slower, but not each time."""
    took = []
    for _ in range(10):
        began = time.monotonic()
        once()
        took.append(time.monotonic() - began)
        assert took[-1] > 0.9 * SECONDS
        if took[-1] < 1.1 * SECONDS:
            return
    raise AssertionError(took)


@both
def test_what_clients_get_keeps_the_rate(scene: Scene, tls: bool) -> None:
    def once() -> None:
        client, _, _ = relayed(scene, IMAP, pour, client_context() if tls else None, proxy=settings)
        assert client.exchange(b"", len(DATA)) == DATA

    settings = proxy_settings(limit_rate=RATE)
    keeps_the_rate(once)


@both
def test_what_clients_send_keeps_the_rate(scene: Scene, tls: bool) -> None:
    def once() -> None:
        arrived = threading.Event()

        def take(peer: Peer) -> None:
            heard.append(peer.exchange(b"", len(DATA)))
            arrived.set()
            peer.rest()

        client, _, _ = relayed(scene, IMAP, take, client_context() if tls else None, proxy=settings)
        client.send(DATA)
        assert arrived.wait(PATIENCE)

    settings = proxy_settings(upload_rate=RATE)
    heard: list[bytes] = []
    keeps_the_rate(once)
    assert set(heard) == {DATA}


def test_one_direction_leaves_the_other_alone(scene: Scene) -> None:
    settings = proxy_settings(limit_rate=1000)
    arrived = threading.Event()

    def take(peer: Peer) -> None:
        assert peer.exchange(b"", len(DATA)) == DATA
        arrived.set()
        peer.rest()

    client, _, _ = relayed(scene, IMAP, take, proxy=settings)
    client.send(DATA)
    assert arrived.wait(PATIENCE)  # by that rate it would take twenty minutes


def test_the_first_bytes_are_as_fast_as_ever(scene: Scene) -> None:
    settings = proxy_settings(limit_rate=20_000, limit_rate_after=len(DATA))
    client, _, proxy = relayed(scene, IMAP, pour_more, proxy=settings)
    began = time.monotonic()
    assert client.exchange(b"", len(DATA)) == DATA
    assert time.monotonic() - began < PATIENCE  # by that rate it would take a minute
    client.exchange(b"", 10_000)
    assert 0.15 < time.monotonic() - began < PATIENCE
    client.end()
    assert record_of(proxy).client_bytes.sent == len(IMAP.greeting) + len(IMAP.answer) + len(DATA) + 10_000


def test_who_keeps_silent_for_its_own_reasons_is_not_timed_out_by_the_rate(scene: Scene) -> None:
    """Each byte that goes is traffic for proxy_timeout, though it takes longer than that for all of them."""
    settings = proxy_settings(limit_rate=2000, timeout=0.7)
    client, _, _ = relayed(scene, IMAP, pour_little, proxy=settings)
    assert client.skip(2000) == bytes(2000)


def test_a_relay_that_ends_meanwhile_leaves_no_deadline(scene: Scene) -> None:
    settings = proxy_settings(limit_rate=1, upload_rate=1)
    client, _, proxy = relayed(scene, IMAP, pour, proxy=settings)
    client.skip(1)
    client.close()
    assert record_of(proxy).reason in {End.CLIENT_RESET, End.CLIENT_CLOSED}
    delays: list[float | None] = []
    known, loop = threading.Event(), proxy._loop
    proxy.call(lambda: delays.append(loop.timers.delay(loop.now)))
    proxy.call(known.set)
    assert known.wait(PATIENCE)
    assert delays == [None]


@pytest.mark.parametrize("pieces", [1, 3])
def test_a_slow_sieve_client_is_watched_too(scene: Scene, pieces: int) -> None:
    client, _, proxy = relayed(scene, SIEVE, hang, proxy=proxy_settings(upload_rate=100_000))
    for piece in [b"UNAUTHENTICATE\r\n"] if pieces == 1 else [b"NOO", b"P\r\nUNAUTH", b"ENTICATE\r\n"]:
        client.send(piece)
    client.rest()
    assert record_of(proxy).reason is End.FORBIDDEN_COMMAND
