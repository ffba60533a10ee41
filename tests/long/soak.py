"""Sessions over all three protocols, one in a hundred with a fault, and what memory and descriptors do meanwhile.

    python -m tests.long.soak [--sessions 1000000] [--json FILE]

Memory is the sum of what the workers have for themselves (USS), looked at whenever a batch has gone and all is quiet.
FILE holds the figures; a run that was broken off goes on where it was, with a new mailworker, whose own warm-up does
not count.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.long.clients import Client, connecting, is_right
from tests.long.figures import Figures
from tests.long.peers import Fault
from tests.long.site import Site, running, stop_in_order, system

SESSIONS = 1_000_000
_BATCH = 5_000
_CLIENTS = 24
_FAULTY = 0.01
# Faults that cost no waiting, so that all of them fit in.
_WAITING = (Fault.DENIED_FOR_AN_HOUR, Fault.AUTH_STALLS, Fault.BACKEND_STALLS)
_FAULTS = [fault for fault in Fault if fault not in _WAITING]
_SECURE = 0.1
# Batches of a mailworker whose memory does not count: its heap has yet to find its shape.
_WARM_UP = 4

# Sessions so far, bytes of memory, descriptors.
Sample = tuple[int, int, int]


class Soak:
    """Sessions in one process after the other; `seen` counts them."""

    def __init__(self, site: Site, choose: random.Random) -> None:
        self.seen: Counter[str] = Counter()
        self.failures: list[str] = []
        self._choose = choose
        self._left = 0
        self._doors = {secure: [door for door in site.doors if door.secure is secure] for secure in (True, False)}

    async def run(self, sessions: int) -> None:
        """So many sessions."""
        self._left = sessions
        await asyncio.gather(*[self._repeat() for _ in range(_CLIENTS)])

    async def _repeat(self) -> None:
        while self._left > 0:
            self._left -= 1
            fault = self._choose.choice(_FAULTS) if self._choose.random() < _FAULTY else None
            door = self._choose.choice(self._doors[self._choose.random() < _SECURE])
            with connecting(Client(door, f"{'good' if fault is None else fault.value}.{self._left}")) as client:
                await self._session(client, fault)
            self.seen[f"{door.protocol} sessions"] += 1
            self.seen["sessions with a fault"] += fault is not None

    async def _session(self, client: Client, fault: Fault | None) -> None:
        outcome = await client.log_in()
        if not is_right(fault, outcome):
            self._fail(f"{client.user}: {outcome.name}")
        elif fault is None:
            try:
                await client.echo("hello")
                await client.say_goodbye()
            except (OSError, EOFError):
                self._fail(f"{client.user}: lost")

    def _fail(self, what: str) -> None:
        self.seen["failures"] += 1
        self.failures.append(what)


def slope(samples: Sequence[tuple[float, float]]) -> float:
    """The slope of the straight line that fits best, 0 where there is none."""
    if len(samples) < 2:
        return 0.0
    mean_x = sum(x for x, _ in samples) / len(samples)
    mean_y = sum(y for _, y in samples) / len(samples)
    spread = sum((x - mean_x) ** 2 for x, _ in samples)
    return sum((x - mean_x) * (y - mean_y) for x, y in samples) / spread


def judge(samples: Sequence[Sample]) -> dict[str, float]:
    """The slopes of memory and of descriptors after the warm-up."""
    counted = samples[_WARM_UP:]
    if len(counted) < 2:
        return {}
    return {
        "memory, MB per 100,000 sessions": round(slope([(n, memory) for n, memory, _ in counted]) * 1e5 / 1e6, 3),
        "descriptors per 100,000 sessions": round(slope([(n, fds) for n, _, fds in counted]) * 1e5, 3),
        "memory after the warm-up, MB": round(counted[0][1] / 1e6, 2),
        "memory at the end, MB": round(counted[-1][1] / 1e6, 2),
        "sessions judged": counted[-1][0] - counted[0][0],
    }


def run(sessions: int, figures: Figures, batch: int = _BATCH) -> list[str]:
    """Go on until there have been so many sessions; returns what went wrong."""
    samples: list[Sample] = []
    figures.describe(system())  # now, as the files may change while we run
    with running(log_level="error") as site:
        soak = Soak(site, random.Random())
        while (done := int(figures.number("sessions"))) < sessions:
            start, size = time.monotonic(), min(batch, sessions - done)
            asyncio.run(soak.run(size))
            seconds = time.monotonic() - start
            census = site.census()
            samples.append((done + size, site.memory(), census["descriptors of workers"]))
            figures.add({"sessions": size, "seconds": round(seconds, 1), **soak.seen})
            soak.seen.clear()
            figures.set(judge(samples))
            figures.save()
            print(f"{done + size} of {sessions}  {size / seconds:.0f}/s  {samples[-1]}", file=sys.stderr, flush=True)
        return [*soak.failures, *site.alerts()]


def main() -> None:
    parser = argparse.ArgumentParser(description="A mailworker in the long run.")
    parser.add_argument("--sessions", type=int, default=SESSIONS)
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    stop_in_order()
    figures = Figures.resume(arguments.json, "sessions", arguments.sessions)
    failures = run(arguments.sessions, figures)
    print(figures.text)
    for failure in failures:
        print(failure, file=sys.stderr)


if __name__ == "__main__":
    main()
