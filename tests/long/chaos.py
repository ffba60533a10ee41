"""Logins, bulk relays and idle sessions while workers are killed, the configuration is read again, logs are rotated,
and the auth service and backends stall, reset and lie.

    python -m tests.long.chaos [--seconds 600] [--json FILE]

FILE holds the figures; a run that was broken off goes on where it was. Runs as root, which alone may see whom a
worker serves: a login on a worker that is killed does not count, and no other one may fail.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from tests.long.clients import Client, Outcome, connecting, is_right
from tests.long.figures import Figures
from tests.long.held import hold, served
from tests.long.peers import Fault
from tests.long.site import ALERT, Site, running, stop_in_order, system

SECONDS = 600.0
_KILL_EVERY = 1.0
_RELOAD_EVERY = 2.0
_ROTATE_EVERY = 5.0
_LOGINS = 6  # clients that log in one time after another, as those below
_FAULTY_LOGINS = 6
_IDLE = 60
_BULK = 3
_BULK_SIZE = (1 << 18, 1 << 23)
_IDLE_SECONDS = (1.0, 12.0)
_FAULTS = [fault for fault in Fault if fault is not Fault.DENIED_FOR_AN_HOUR]
_KEPT_LOGS = 2
# Seconds after which all go home for a moment, what has leaked is counted, and the figures are saved.
_SLICE = 120.0


class Doomed:
    """The clients of workers that were killed."""

    def __init__(self) -> None:
        self._clients: dict[tuple[int, int], Client] = {}  # by the ports of both ends
        self._doomed: set[Client] = set()

    def watch(self, client: Client) -> None:
        """`client` has a port now, which may have been another's before."""
        self._clients[client.ports] = client

    def kill(self, worker: psutil.Process) -> bool:
        """Hold the worker so that nobody comes or goes, note whom it serves, and kill it; False if it is gone."""
        try:
            hold(worker)
        except psutil.NoSuchProcess:
            return False
        self._doomed.update(self._clients[ports] for ports in served(worker.pid) if ports in self._clients)
        worker.kill()
        return True

    def __contains__(self, client: Client) -> bool:
        return client in self._doomed


class Chaos:
    """One run; `seen` counts what happened."""

    def __init__(self, site: Site, choose: random.Random) -> None:
        self.seen: Counter[str] = Counter()
        self.failures: list[str] = []
        self._choose = choose
        self._doomed = Doomed()
        self._number = 0
        self._over = asyncio.Event()
        self._site = site

    async def run(self, seconds: float, progress: Callable[[], None]) -> float:
        """Let all loose for so long, and wait until all have gone home; returns how long there was trouble."""
        clients = [
            *[self._log_in] * _LOGINS,
            *[self._meet_a_fault] * _FAULTY_LOGINS,
            *[self._stay] * _IDLE,
            *[self._relay] * _BULK,
        ]
        trouble = ((_KILL_EVERY, self._kill), (_RELOAD_EVERY, self._reload), (_ROTATE_EVERY, self._rotate))
        tasks = [
            *[asyncio.create_task(self._repeat(client)) for client in clients],
            *[asyncio.create_task(self._every(interval, action)) for interval, action in trouble],
        ]
        start = time.monotonic()
        end = start + seconds
        while time.monotonic() < end and not any(task.done() for task in tasks):
            await asyncio.sleep(min(5.0, max(0.0, end - time.monotonic())))
            progress()
        self._over.set()
        troubled = time.monotonic() - start
        await asyncio.gather(*tasks)
        self._read_logs()
        return troubled

    # Clients

    async def _repeat(self, client: Callable[[], Awaitable[None]]) -> None:
        while not self._over.is_set():
            await client()

    async def _every(self, interval: float, action: Callable[[], None]) -> None:
        """At that pace, even where an action takes longer."""
        loop = asyncio.get_running_loop()
        begun: list[asyncio.Future[None]] = []
        start = loop.time()
        while not self._over.is_set():
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._over.wait(), start + interval * (len(begun) + 1) - loop.time())
                break
            begun.append(loop.run_in_executor(None, action))
        await asyncio.gather(*begun)

    def _client(self, name: str) -> Client:
        self._number += 1
        return Client(self._choose.choice(self._site.doors), f"{name}.{self._number}")

    async def _begin(self, client: Client, fault: Fault | None = None) -> bool:
        """Log in, and judge how that went; whether the session may go on."""
        outcome = await client.log_in(lambda: self._doomed.watch(client))
        kind = "logins" if fault is None else "faulty logins"
        if is_right(fault, outcome):
            self.seen[kind] += 1
        elif client in self._doomed:
            self.seen[f"{kind} on killed workers"] += 1
        else:
            self.seen[f"{kind} gone wrong"] += 1
            self.failures.append(f"{client.user}: {outcome.name}")
        return outcome is Outcome.LOGGED_IN

    def _lost(self, client: Client, kind: str) -> None:
        """A session has ended before its time."""
        on_killed = client in self._doomed
        self.seen[f"{kind} on killed workers" if on_killed else f"{kind} lost"] += 1
        if not on_killed:
            self.failures.append(f"{client.user}: lost")

    async def _log_in(self) -> None:
        with connecting(self._client("short")) as client:
            if await self._begin(client):
                try:
                    await client.echo("hello")
                    await client.say_goodbye()
                    self.seen["short sessions"] += 1
                except (OSError, EOFError):
                    self._lost(client, "short sessions")

    async def _meet_a_fault(self) -> None:
        fault = self._choose.choice(_FAULTS)
        with connecting(self._client(fault.value)) as client:
            await self._begin(client, fault)

    async def _stay(self) -> None:
        with connecting(self._client("idle")) as client:
            if await self._begin(client):
                try:
                    await client.echo("here")
                    await asyncio.sleep(self._choose.uniform(*_IDLE_SECONDS))
                    await client.echo("still here")
                    await client.say_goodbye()
                    self.seen["idle sessions"] += 1
                except (OSError, EOFError):
                    self._lost(client, "idle sessions")

    async def _relay(self) -> None:
        size, seed = self._choose.randint(*_BULK_SIZE), self._choose.getrandbits(32)
        with connecting(self._client("bulk")) as client:
            if not await self._begin(client):
                return
            stream = await client.bulk(size, seed)
            self.seen["bytes to clients"] += stream.length
            if not stream.is_right:
                self.seen["streams with wrong bytes"] += 1
                self.failures.append(f"{client.user}: wrong bytes")
            elif stream.length < size:
                self._lost(client, "streams")
            else:
                self.seen["streams"] += 1

    # Trouble

    def _kill(self) -> None:
        workers = self._site.mailworker.workers()
        if workers and self._doomed.kill(self._choose.choice(workers)):
            self.seen["kills"] += 1

    def _reload(self) -> None:
        self._site.mailworker.signal(signal.SIGHUP)
        self.seen["reloads"] += 1

    def _rotate(self) -> None:
        log = self._site.mailworker.error_log
        log.rename(log.with_name(f"{log.name}.{time.time_ns()}"))
        self._site.mailworker.signal(signal.SIGUSR1)
        self.seen["rotations"] += 1
        for old in _rotated(log)[:-_KEPT_LOGS]:
            self._read_log(old)
            old.unlink()

    def _read_logs(self) -> None:
        """All there are, which are then empty for those that come after us."""
        log = self._site.mailworker.error_log
        for each in (*_rotated(log), log):
            self._read_log(each)
            os.truncate(each, 0)

    def _read_log(self, log: Path) -> None:
        """What an operator would have to look into: alerts but for those that say that we have killed somebody."""
        for line in log.read_text(errors="replace").splitlines():
            self.seen["log lines"] += 1
            if re.search(ALERT, line):
                self.seen["alerts"] += 1
                self.failures.append(line)


def _rotated(log: Path) -> list[Path]:
    return sorted(log.parent.glob(f"{log.name}.*"))


def run(seconds: float, figures: Figures) -> list[str]:
    """Go on with a run until it has lasted for so long; returns what went wrong."""
    failures: list[str] = []
    figures.describe(system())  # now, as the files may change while we run
    with running(main="worker_sandbox on;") as site:
        before = site.census()
        while (left := seconds - figures.number("seconds")) > 0:
            failures += _run_a_while(site, before, min(left, _SLICE), figures)
        peers = site.peers.finish()
    figures.add({f"backend: {name}": count for name, count in peers.items()})
    figures.save()
    if peers.get("wrong"):
        failures.append(f"{peers['wrong']} streams came wrong to backends")
    return failures


def _run_a_while(site: Site, before: Mapping[str, int], seconds: float, figures: Figures) -> list[str]:
    chaos = Chaos(site, random.Random())
    start = time.monotonic()

    def progress() -> None:
        passed = figures.number("seconds") + time.monotonic() - start
        counts = " ".join(f"{name}: {count}" for name, count in sorted(chaos.seen.items()) if "bytes" not in name)
        print(f"{passed:.0f} s  {counts}", file=sys.stderr, flush=True)

    troubled = asyncio.run(chaos.run(seconds, progress))
    leaks = {f"leaked {name}": count - before[name] for name, count in site.census().items()}
    figures.add({"seconds": round(troubled, 1), **chaos.seen, **leaks})
    figures.save()
    return [*chaos.failures, *[f"{name}: {count}" for name, count in leaks.items() if count]]


def main() -> None:
    parser = argparse.ArgumentParser(description="A mailworker in the worst of company.")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("only root sees whom a worker serves")
    stop_in_order()
    figures = Figures.resume(arguments.json, "seconds", arguments.seconds)
    failures = run(arguments.seconds, figures)
    print(figures.text)
    for failure in failures:
        print(failure, file=sys.stderr)


if __name__ == "__main__":
    main()
