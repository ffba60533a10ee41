"""The costs of relaying, also for other sessions."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from bench.arena import Arena, Duel, Running, Server, Setup, alternate
from bench.haproxy import haproxy
from bench.measure import Goal, Measure

ROUNDS = 7
FAIRNESS_ROUNDS = 3
DOWNLOADS = 4
MEGABYTES = 24  # of each download
CROWD = 20  # endless downloads
LOGINS = 100  # among them
TALKERS = 64
TALKING = 16  # at once
LINES_ROUNDS = 5
LINES = 300_000
WRITERS = 2  # one after the other
COMMANDS = 500  # of each talker, so that its login hardly counts


def cost(server: Server, version: str) -> float:
    """Microseconds of CPU for one megabyte, of four downloads at once."""
    load = server.load("imap", version, mode="bulk", count=DOWNLOADS, at_once=DOWNLOADS, amount=MEGABYTES)
    return server.cpu_of(load) / 1000 / DOWNLOADS / MEGABYTES


def relay(version: str, buffer: str, arena: Arena) -> Duel:
    return arena.duel(Setup(buffer=buffer), lambda server: cost(server, version), ROUNDS)


def relay_beside_haproxy(version: str, buffer: str, arena: Arena) -> Duel:
    with haproxy(arena) as theirs, arena.running("mailworker", Setup(buffer=buffer)) as ours:
        servers: tuple[Server, Server] = theirs, ours
        return alternate(*servers, lambda server: cost(server, version), ROUNDS)


def exchange_cost(server: Running, version: str) -> float:
    """Microseconds of CPU for one command and its reply."""
    load = server.load("imap", version, mode="dialogue", count=TALKERS, at_once=TALKING, amount=COMMANDS)
    return server.cpu_of(load) / 1000 / TALKERS / COMMANDS


def dialogue(version: str, arena: Arena) -> Duel:
    return arena.duel(Setup(), lambda server: exchange_cost(server, version), ROUNDS)


def lines_cost(server: Running, version: str) -> float:
    """Milliseconds of CPU for an upload of LINES lines of 8 bytes, each written on its own, as PHPMailer does."""
    load = server.load("imap", version, mode="lines", count=WRITERS, at_once=1, amount=LINES)
    return server.cpu_of(load) / 1e6 / WRITERS


def lines(version: str, arena: Arena) -> Duel:
    return arena.duel(Setup(), lambda server: lines_cost(server, version), LINES_ROUNDS)


def fairness(arena: Arena) -> Duel:
    """Milliseconds in which 99 of 100 logins are done while downloads keep the worker busy."""

    def measure(server: Running) -> float:
        crowd = server.load("imap", mode="bulk", count=CROWD, at_once=CROWD)
        with server.clients.stay(crowd):
            return server.clients.run(server.load("imap", count=LOGINS)).p99 / 1000

    return arena.duel(Setup(), measure, FAIRNESS_ROUNDS)


def measures() -> Iterator[Measure]:
    for name, version, bounds in (("plain", "", (0.9, 0.6)), ("tls", "TLSv1.3", (0.85, 0.95))):
        for buffer, bound in zip(("4k", "64k"), bounds, strict=True):
            to = "TLS 1.3 to the client" if version else "plain"
            yield Measure(
                f"relay-{name}-{buffer}",
                f"CPU per megabyte relayed, {to}, proxy_buffer {buffer}",
                "us",
                Goal(bound),
                partial(relay, version, buffer),
            )
    yield Measure(
        "relay-tls-haproxy",
        "CPU per megabyte relayed, TLS 1.3 to the client, proxy_buffer 64k, beside HAProxy (one thread, splice-auto)",
        "us",
        Goal(0.9),
        partial(relay_beside_haproxy, "TLSv1.3", "64k"),
        "HAProxy",
    )
    for name, version, way in (("imap", "", "plain"), ("imaps", "TLSv1.3", "TLS 1.3")):
        yield Measure(
            f"{name}-dialogue",
            f"CPU per NOOP and reply of a client that is logged in, {way}",
            "us",
            Goal(1.0),
            partial(dialogue, version),
        )
    for name, version, way in (("imap", "", ""), ("imaps", "TLSv1.3", ", a TLS 1.3 record each")):
        yield Measure(
            f"{name}-lines",
            f"CPU per {LINES:,} lines of 8 bytes from a client{way}",
            "ms",
            Goal(0.95),
            partial(lines, version),
        )
    title = f"99th percentile of the wall time of a plain IMAP login beside {CROWD} downloads"
    yield Measure("fairness", title, "ms", Goal(2.0), fairness)
