"""Logins, bulk relays and idle sessions with all features on, while workers are killed, the configuration is read
again, the program is replaced, logs are rotated, certificates renewed and users kicked, and the auth service and
backends stall, reset, restart and lie.

    python -m tests.long.chaos [--seconds 600] [--servers 300] [--slower 1.0] [--json FILE]

Trouble comes as many times slower, for a machine that has other work to do.

FILE holds the figures; a run that was broken off goes on where it was. Runs as root, which alone may see whom a
worker serves: a login on a worker that is killed does not count, and no other one may fail.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import time
from asyncio import FIRST_COMPLETED
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from tests.long.all_features import FILED, KICKED, SERVERS, AllFeatures, running_with_all
from tests.long.clients import Client, Door, Outcome, connecting, is_right
from tests.long.figures import Figures
from tests.long.peers import Fault
from tests.long.site import Site, stop_in_order, system
from tests.long.trouble import Trouble

SECONDS = 600.0
_KILL_EVERY = 2.0
_RELOAD_EVERY = 4.0
_ROTATE_EVERY = 5.0
_KICK_EVERY = 0.7
_SCRAPE_EVERY = 0.5
_REWRITE_EVERY = 4.0
_KILL_HELPER_EVERY = 7.0
_RENEW_EVERY = 5.0
_UPGRADE_EVERY = 8.0
_BURST_EVERY = 15.0
_FREEZE_EVERY = 1.0
_LOGINS = 6  # clients that log in one time after another, as those below
_FAULTY_LOGINS = 6
_IDLE = 60
_BULK = 3
_KICKED = 6
_LEAVING = 4  # before their login is done
_BULK_SIZE = (1 << 18, 1 << 23)
_IDLE_SECONDS = (1.0, 12.0)
_FAULTS = [fault for fault in Fault if fault is not Fault.DENIED_FOR_AN_HOUR]
_THREADS = 32
_LONGEST_KICK = 30.0  # seconds after which a session has to be ended by a kick
# Seconds after which all go home for a moment, what has leaked is counted, and the figures are saved.
_SLICE = 120.0


class Chaos:
    """One run; `seen` counts what happened."""

    def __init__(self, site: Site, features: AllFeatures, choose: random.Random, slower: float) -> None:
        self._choose = choose
        self._features = features
        self._trouble = Trouble(site, features, choose)
        self._doomed = self._trouble.doomed
        self.failures = self._trouble.failures
        self.seen = self._trouble.seen
        self._number = 0
        self._over = asyncio.Event()
        self._site = site
        self._slower = slower

    async def run(self, seconds: float, progress: Callable[[], None]) -> float:
        """Let all loose for so long, and wait until all have gone home; returns how long there was trouble."""
        clients = [
            *[self._log_in] * _LOGINS,
            *[self._meet_a_fault] * _FAULTY_LOGINS,
            *[self._stay] * _IDLE,
            *[self._relay] * _BULK,
            *[self._wait_for_a_kick] * _KICKED,
            *[self._leave_early] * _LEAVING,
        ]
        trouble, features = self._trouble, self._features
        at_a_pace = (
            *((_KILL_EVERY, trouble.kill), (_RELOAD_EVERY, trouble.reload), (_ROTATE_EVERY, trouble.rotate)),
            *((_KILL_HELPER_EVERY, trouble.kill_helper), (_REWRITE_EVERY, features.rewrite_users)),
        )
        with_a_pause = (
            *((_KICK_EVERY, trouble.kick), (_SCRAPE_EVERY, trouble.scrape)),
            *((_RENEW_EVERY, trouble.renew), (_UPGRADE_EVERY, trouble.upgrade)),
            *((_BURST_EVERY, trouble.reload_again_and_again), (_FREEZE_EVERY, trouble.freeze)),
        )
        tasks = [
            *[asyncio.create_task(self._repeat(client)) for client in clients],
            *[asyncio.create_task(self._every(interval * self._slower, action)) for interval, action in at_a_pace],
            *[
                asyncio.create_task(self._again_and_again(pause * self._slower, action))
                for pause, action in with_a_pause
            ],
        ]
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS))
        start = time.monotonic()
        end = start + seconds
        while time.monotonic() < end and not any(task.done() for task in tasks):
            await asyncio.sleep(min(5.0, max(0.0, end - time.monotonic())))
            progress()
        self._over.set()
        troubled = time.monotonic() - start
        await asyncio.gather(*tasks)
        self._trouble.read_logs()
        return troubled

    def census(self, former: Mapping[str, int]) -> dict[str, int]:
        """What must be as it was in the `former` census once all have gone home, and workers are fresh.

        Those that have relayed keep pipes and connections for later, of which soak sees whether they become more.
        """
        self._trouble.finish_upgrade()
        self._trouble.reload()
        return self._site.census(former) | self._features.remaining()

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

    async def _again_and_again(self, pause: float, action: Callable[[], None]) -> None:
        """With so many seconds between the end of an action and the next."""
        while not self._over.is_set():
            await asyncio.get_running_loop().run_in_executor(None, action)
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._over.wait(), pause)

    def _client(self, name: str, suits: Callable[[Door], bool] = lambda _: True) -> Client:
        self._number += 1
        door = self._choose.choice([door for door in self._site.doors if suits(door)])
        number = self._number % FILED if door.source == "auth_user_file" else self._number
        return Client(door, f"{name}.{number}")

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
        with connecting(self._client(fault.value, lambda door: door.source == "auth_http")) as client:
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
        with connecting(self._client("bulk", lambda door: door.protocol != "sieve")) as client:  # which are not lines
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

    async def _wait_for_a_kick(self) -> None:
        """Stay until the session is ended; while the user is banned, no login succeeds."""
        with connecting(self._client(KICKED)) as client:
            if await client.log_in(lambda: self._doomed.watch(client)) is Outcome.LOGGED_IN:
                over = asyncio.create_task(self._over.wait())
                ended = asyncio.create_task(client.wait_for_the_end())
                done, left = await asyncio.wait(
                    (over, ended), timeout=_LONGEST_KICK * self._slower, return_when=FIRST_COMPLETED
                )
                for task in left:
                    task.cancel()
                self.seen["sessions kicked"] += ended in done
                if not done:
                    self.seen["sessions never kicked"] += 1
                    self.failures.append(f"{client.user}: never kicked")

    async def _leave_early(self) -> None:
        with connecting(self._client("short")) as client:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(client.log_in(), self._choose.expovariate(10))
            self.seen["clients that left early"] += 1


def run(seconds: float, figures: Figures, servers: int = SERVERS, slower: float = 1.0) -> list[str]:
    """Go on with a run until it has lasted for so long; returns what went wrong."""
    failures: list[str] = []
    figures.describe(system())  # now, as the files may change while we run
    with running_with_all(servers) as (site, features):
        first = Trouble(site, features, random.Random())
        first.upgrade()  # a program that has taken over has some more descriptors
        first.finish_upgrade()
        before = features.remaining() | site.census()  # in this order: the status process answers once it is ready
        while (left := seconds - figures.number("seconds")) > 0:
            failures += _run_a_while(Chaos(site, features, random.Random(), slower), before, min(left, _SLICE), figures)
        peers = site.peers.finish()
    figures.add({f"backend: {name}": count for name, count in peers.items()})
    figures.save()
    if peers.get("wrong"):
        failures.append(f"{peers['wrong']} streams came wrong to backends")
    return failures


def _run_a_while(chaos: Chaos, before: Mapping[str, int], seconds: float, figures: Figures) -> list[str]:
    start = time.monotonic()

    def progress() -> None:
        passed = figures.number("seconds") + time.monotonic() - start
        counts = " ".join(f"{name}: {count}" for name, count in sorted(chaos.seen.items()) if "bytes" not in name)
        print(f"{passed:.0f} s  {counts}", file=sys.stderr, flush=True)

    troubled = asyncio.run(chaos.run(seconds, progress))
    leaks = {f"leaked {name}": count - before[name] for name, count in chaos.census(before).items()}
    figures.add({"seconds": round(troubled, 1), **chaos.seen, **leaks})
    figures.save()
    return [*chaos.failures, *[f"{name}: {count}" for name, count in leaks.items() if count]]


def main() -> None:
    parser = argparse.ArgumentParser(description="A mailworker in the worst of company.")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--servers", type=int, default=SERVERS)
    parser.add_argument("--slower", type=float, default=1.0)
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("only root sees whom a worker serves")
    stop_in_order()
    figures = Figures.resume(arguments.json, "seconds", arguments.seconds)
    failures = run(arguments.seconds, figures, arguments.servers, arguments.slower)
    print(figures.text)
    for failure in failures:
        print(failure, file=sys.stderr)


if __name__ == "__main__":
    main()
