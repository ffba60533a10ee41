"""How a server scales with workers, idles, starts, reloads and tests its configuration."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

from bench.arena import COMMANDS, Arena, Duel, Running, Setup, server_block
from bench.logins import AT_ONCE, cost
from bench.measure import Goal, Measure
from bench.programs import Load
from tests.support.daemon import greets

ROUNDS = 5
HANDSHAKES = 1500
HANDSHAKING = 32  # at once
IDLE = 8000
CONNECTIONS = 20_000
MINUTE = 60.0
SERVERS = 1000
TIMEOUT = 20.0
# The server's part is the private key operation, some 15 times the client's work.
LIGHT = "AES128-GCM-SHA256"


def handshake_scaling(arena: Arena, rate: Callable[[Running], float]) -> Duel:
    """The handshakes of two workers as a multiple of those of one in the same time."""
    extra = f"ssl_ciphers {LIGHT}; ssl_session_cache off; ssl_session_tickets off;"
    duel = Duel([], [])
    with ExitStack() as stack:
        servers = {
            (name, workers): stack.enter_context(
                arena.running(name, Setup(workers=workers, certificate="rsa", extra=extra))
            )
            for name in ("nginx", "mailworker")
            for workers in (1, 2)
        }
        for _ in range(ROUNDS):
            rates = {key: rate(server) for key, server in servers.items()}
            duel.theirs.append(rates["nginx", 2] / rates["nginx", 1])
            duel.ours.append(rates["mailworker", 2] / rates["mailworker", 1])
    return duel


def wall_rate(server: Running) -> float:
    """Handshakes per second; clients leave after the greeting."""
    return HANDSHAKES / server.clients.run(_handshakes(server)).seconds


def cpu_rate(server: Running) -> float:
    """Handshakes in the time in which the busiest worker uses one second of CPU."""
    before = server.tree.cpu_of_workers()
    server.clients.run(_handshakes(server))
    return HANDSHAKES / max(b - a for a, b in zip(before, server.tree.cpu_of_workers(), strict=True)) * 1e9


def _handshakes(server: Running) -> Load:
    return server.load("imap", "TLSv1.2", mode="greet", count=HANDSHAKES, at_once=HANDSHAKING, ciphers=LIGHT)


def crowded_login(arena: Arena) -> Duel:
    """The CPU of a login among idle sessions, as a multiple of that at an empty server."""

    def measure(server: Running) -> float:
        empty = cost(server, "imap")
        with server.clients.stay(server.load("imap", mode="idle", count=IDLE, at_once=AT_ONCE)):
            crowded = cost(server, "imap")
        server.settled_cpu()
        return crowded / empty

    return arena.duel(Setup(connections=CONNECTIONS), measure, ROUNDS)


def idle_minute(arena: Arena) -> Duel:
    """Milliseconds of CPU in a minute; both servers are watched in the same minute."""
    setup = Setup(connections=CONNECTIONS)
    with ExitStack() as stack:
        servers = [stack.enter_context(arena.running(name, setup)) for name in ("nginx", "mailworker")]
        for server in servers:
            idle = server.load("imap", mode="idle", count=IDLE, at_once=AT_ONCE)
            stack.enter_context(server.clients.stay(idle))
        before = [server.settled_cpu() for server in servers]
        time.sleep(MINUTE)
        nginx, mailworker = (server.tree.cpu() - cpu for server, cpu in zip(servers, before, strict=True))
    return Duel([nginx / 1e6], [mailworker / 1e6])


def start(arena: Arena) -> Duel:
    """Seconds until all ports accept."""
    return arena.fresh_duel(Setup(), lambda server: server.start_seconds, ROUNDS)


def reload(arena: Arena, server: Running) -> float:
    """Seconds from SIGHUP to the greeting on a port that the new configuration adds."""
    port = arena.ports[f"reloaded {server.folder}"]
    path = next(server.folder.glob("*.conf"))
    text = path.read_text()
    path.write_text(text[: text.rindex("}")] + server_block("imap", port, tls=False) + "\n}\n")
    began = time.monotonic()
    os.kill(server.pid, signal.SIGHUP)
    while not greets(("127.0.0.1", port)):
        if time.monotonic() - began > TIMEOUT:
            raise RuntimeError(f"{server.name} did not reload")
        time.sleep(0.002)
    return time.monotonic() - began


def configuration_test(arena: Arena) -> Duel:
    """Seconds that -t takes for a configuration of 1,000 servers."""
    text, _ = arena.configuration(Setup())
    blocks = "\n".join(server_block("imap", 20_000 + number, tls=False) for number in range(SERVERS))
    text = text[: text.rindex("}")] + blocks + "\n}\n"
    duel = Duel([], [])
    for _ in range(ROUNDS):
        for name, seconds in (("nginx", duel.theirs), ("mailworker", duel.ours)):
            seconds.append(_test_seconds(COMMANDS[name](arena.new_folder(name), text)))
    return duel


def _test_seconds(command: list[str]) -> float:
    began = time.monotonic()
    subprocess.run([*command, "-t"], check=True, capture_output=True)
    return time.monotonic() - began


def measures() -> Iterator[Measure]:
    for name, what, rate in (
        ("handshake-scaling", "second", wall_rate),
        ("handshake-sharing", "CPU second of the busiest worker", cpu_rate),
    ):
        yield Measure(
            name,
            f"handshakes per {what}, 2 workers against 1 (TLS 1.2, RSA-2048, key exchange by RSA)",
            "x",
            Goal(1.8, "figure", at_least=True),
            partial(handshake_scaling, rate=rate),
        )
    yield Measure(
        "crowded-login",
        f"CPU per plain IMAP login among {IDLE} idle sessions, against an empty server",
        "x",
        Goal(1.15, "figure"),
        crowded_login,
    )
    yield Measure(
        "idle-cpu",
        f"CPU of {IDLE} idle sessions in a minute (0: nobody woke up)",
        "ms",
        Goal(0.0, "figure"),
        idle_minute,
    )
    yield Measure("start", "start to first accept", "s", Goal(0.5, "figure"), start)
    yield Measure(
        "reload",
        "SIGHUP to a new worker's greeting",
        "s",
        Goal(0.5, "figure"),
        lambda arena: arena.fresh_duel(Setup(), partial(reload, arena), ROUNDS),
    )
    yield Measure("test", f"-t with {SERVERS} servers", "s", Goal(1.5, "figure"), configuration_test)
