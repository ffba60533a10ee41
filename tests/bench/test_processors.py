"""Servers, peers and clients are put where a row says, and back afterwards."""

import os
from collections.abc import Iterator

import psutil
import pytest

from bench.arena import Arena, Running, Setup
from bench.processors import busy_peers, one_processor
from tests.support.daemon import wait_until


@pytest.fixture(scope="module")
def server(arena: Arena) -> Iterator[Running]:
    with arena.running("mailworker", Setup()) as server:
        yield server


def test_busy_peers_poll_beside_the_servers_processor(arena: Arena, server: Running) -> None:
    peers, before = psutil.Process(arena.peers.pid), os.sched_getaffinity(0)
    first, *others = sorted(before)
    with busy_peers(arena, [server]):
        assert {frozenset(os.sched_getaffinity(pid)) for pid in server.tree.pids} == {frozenset([first])}
        assert os.sched_getaffinity(peers.pid) == os.sched_getaffinity(0) == set(others or [first])
        wait_until(lambda: peers.status() == "running", "polling")
        assert server.clients.run(server.load("imap", count=20, at_once=4, busy=True)).logins == 20
    wait_until(lambda: peers.status() == "sleeping", "sleep of the peers")
    assert os.sched_getaffinity(peers.pid) == os.sched_getaffinity(0) == before


def test_all_share_one_processor(arena: Arena, server: Running) -> None:
    before = os.sched_getaffinity(0)
    with one_processor(arena, [server]):
        pids = [0, arena.peers.pid, *server.tree.pids]
        assert {frozenset(os.sched_getaffinity(pid)) for pid in pids} == {frozenset([min(before)])}
        assert server.clients.run(server.load("imap", count=20, at_once=4)).logins == 20
    assert os.sched_getaffinity(arena.peers.pid) == os.sched_getaffinity(0) == before
