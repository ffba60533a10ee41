"""The memory of a server and of its idle sessions."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

from bench.arena import PROTOCOLS, WITH_SIEVE, Arena, Duel, Running, Setup
from bench.measure import Goal, Measure
from bench.processes import slab

ROUNDS = 3
ROUNDS_OF_SESSIONS = 1  # thousands of sessions are a sample of their own: rounds differ by less than 1%
SESSIONS = 5000
CONNECTIONS = 20_000
AT_ONCE = 32
MEGABYTE = 1e6
FURTHER = 2  # workers


def session_size(server: Running, protocol: str, version: str) -> float:
    """Kilobytes (of 1024 bytes) of one idle session that is logged in."""
    server.clients.run(server.load(protocol, version, count=AT_ONCE))  # memory of the first sessions is kept
    server.settled_cpu()
    before = server.tree.pss()
    with server.clients.stay(server.load(protocol, version, mode="idle", count=SESSIONS, at_once=AT_ONCE)):
        server.settled_cpu()
        return (server.tree.pss() - before) / SESSIONS / 1024


def kernel_size(server: Running) -> float:
    """Kilobytes of kernel memory for the two connections of one idle session; its peers need as much for their ends."""
    server.clients.run(server.load(count=AT_ONCE))
    server.settled_cpu()
    before = slab()
    with server.clients.stay(server.load(mode="idle", count=SESSIONS, at_once=AT_ONCE)):
        server.settled_cpu()
        return (slab() - before) / SESSIONS / 2


def sessions(protocol: str, version: str, arena: Arena) -> Duel:
    setup = Setup(connections=CONNECTIONS)
    return arena.fresh_duel(setup, lambda server: session_size(server, protocol, version), ROUNDS_OF_SESSIONS)


def sieve_sessions(arena: Arena) -> Duel:
    """Idle ManageSieve sessions; our own IMAP takes nginx's place."""
    setup = Setup(connections=CONNECTIONS, protocols=WITH_SIEVE)
    return Duel(*([own_size(arena, setup, protocol)] for protocol in WITH_SIEVE))


def logged_sessions(arena: Arena) -> Duel:
    """Idle sessions with an access log; mailworker without one takes nginx's place."""
    extras = "", "access_log access.log json;"
    return Duel(*([own_size(arena, Setup(connections=CONNECTIONS, extra=extra), "imap")] for extra in extras))


def own_size(arena: Arena, setup: Setup, protocol: str) -> float:
    with arena.running("mailworker", setup) as server:
        return session_size(server, protocol, "")


def empty_size(server: Running) -> float:
    """Megabytes without clients."""
    time.sleep(0.5)
    server.settled_cpu()
    return server.tree.pss() / MEGABYTE


def empty(arena: Arena) -> Duel:
    return arena.fresh_duel(Setup(), empty_size, ROUNDS)


def further_worker(arena: Arena) -> Duel:
    """Megabytes that each worker beyond the first adds."""
    one = arena.fresh_duel(Setup(), empty_size, ROUNDS)
    more = arena.fresh_duel(Setup(workers=1 + FURTHER), empty_size, ROUNDS)
    return Duel(
        [(b - a) / FURTHER for a, b in zip(one.theirs, more.theirs, strict=True)],
        [(b - a) / FURTHER for a, b in zip(one.ours, more.ours, strict=True)],
    )


def measures() -> Iterator[Measure]:
    for protocol in PROTOCOLS:
        for suffix, version, bound in (("", "", 1.6), ("s", "TLSv1.3", 15.0)):
            yield Measure(
                f"{protocol}{suffix}-idle",
                f"memory per idle {protocol.upper()}{suffix.upper()} session, of {SESSIONS}",
                "KB",
                Goal(bound, "figure"),
                partial(sessions, protocol, version),
            )
    yield Measure(
        "sieve-idle",
        f"memory per idle ManageSieve session, of {SESSIONS} (nginx: mailworker's IMAP session)",
        "KB",
        Goal(0.8, "figure"),
        sieve_sessions,
    )
    yield Measure(
        "imap-idle-access",
        f"memory per idle IMAP session with an access log, of {SESSIONS} (nginx: mailworker without)",
        "KB",
        Goal(0.9, "figure"),
        logged_sessions,
    )
    yield Measure(
        "kernel-idle",
        "kernel memory (slab) for the two connections of an idle session",
        "KB",
        Goal(1.1),
        lambda arena: arena.fresh_duel(Setup(connections=CONNECTIONS), kernel_size, ROUNDS),
    )
    yield Measure("memory", "PSS of a server without clients, 1 worker", "MB", Goal(35.0, "figure"), empty)
    yield Measure("memory-worker", "PSS of each further worker", "MB", Goal(5.0, "figure"), further_worker)
