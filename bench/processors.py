"""Where servers, peers and clients run, and whether those that a server writes to sleep until then.

To wake a peer that sleeps costs the server more than the write itself, and most on another processor.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

from bench.arena import Arena, Server

Place = Callable[[Arena, Iterable[Server]], AbstractContextManager[None]]


@contextmanager
def one_processor(arena: Arena, servers: Iterable[Server]) -> Iterator[None]:
    """Let servers, peers and clients share a processor, so that no write wakes another processor."""
    first = _processors()[:1]
    with _placed(arena, servers, first, first):
        yield


@contextmanager
def busy_peers(arena: Arena, servers: Iterable[Server]) -> Iterator[None]:
    """Let peers poll instead of sleeping, beside the servers' processor; clients do so by `Load.busy`."""
    first, *others = _processors()
    with _placed(arena, servers, (first,), others or (first,)):
        arena.peers.tell("b")
        try:
            yield
        finally:
            arena.peers.tell("i")


@contextmanager
def _placed(
    arena: Arena, servers: Iterable[Server], theirs: Collection[int], others: Collection[int]
) -> Iterator[None]:
    """Put servers on the processors `theirs`, peers and this process with its future clients on `others`."""
    before = os.sched_getaffinity(0)
    for server in servers:
        _put(server.tree.pids, theirs)
    try:
        _put((0, arena.peers.pid), others)
        yield
    finally:
        _put((0, arena.peers.pid), before)


def _processors() -> list[int]:
    return sorted(os.sched_getaffinity(0))


def _put(pids: Iterable[int], processors: Collection[int]) -> None:
    for pid in pids:
        os.sched_setaffinity(pid, processors)
