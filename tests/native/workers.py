"""Workers that store and look up sessions in one zone while one after the other is killed, to be run as a program.

`python -m tests.native.workers SECONDS` prints a line "ready", goes on for that long, kills all workers, and prints
what it has seen as JSON. The memory has no name, so the workers must be forked by whoever makes the zone.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from dataclasses import asdict, dataclass, field
from signal import SIGKILL
from typing import NoReturn

from mailworker.native.tls.tls_session_table import TlsSessionTable
from mailworker.shm.tls_sessions import TlsSessions
from tests.native.sessions import CERTIFICATE_SIZE, TYPICAL_SIZE, session, session_id

WORKERS = 8
KILL_INTERVAL = 0.05  # seconds
PROGRESS_LIMIT = 20.0  # seconds
SESSIONS = 400  # more than the zone has room for
WRONG = 3  # exit code


@dataclass
class Seen:
    """`foreign` counts the hits that another worker had stored; `stuck` workers did nothing after the last kill."""

    kills: int = 0
    hits: int = 0
    foreign: int = 0
    wrong: list[int] = field(default_factory=list)
    stuck: list[int] = field(default_factory=list)


class Counters:
    """What each worker has done so far, in memory that outlives it."""

    def __init__(self) -> None:
        self._counts = memoryview(TlsSessions("counters", 65536).memory).cast("Q")

    def count(self, worker: int, *, foreign: bool) -> None:
        self._counts[worker] += 1
        self._counts[WORKERS + worker] += foreign

    @property
    def hits(self) -> list[int]:
        return self._counts[:WORKERS].tolist()

    @property
    def foreign(self) -> int:
        return sum(self._counts[WORKERS : 2 * WORKERS])


def size_of(number: int) -> int:
    return CERTIFICATE_SIZE if number % 10 == 0 else TYPICAL_SIZE


def work(worker: int, zone: TlsSessions, counters: Counters) -> NoReturn:
    """Each worker stores another session under an id, so that two at once would make a mixture."""
    parent = os.getppid()
    numbers = random.Random(os.urandom(8))
    table = TlsSessionTable(zone.memory, 300)
    while os.getppid() == parent:
        number = numbers.randrange(SESSIONS)
        identity, size = session_id(number), size_of(number)
        kind = numbers.random()
        if kind < 0.45:
            table.new(identity, session(identity, size, worker))
        elif kind < 0.5:
            table.remove(identity)
        elif (found := table.get(identity)) is not None:
            versions = [session(identity, size, version) for version in range(WORKERS)]
            if found not in versions:
                os._exit(WRONG)
            counters.count(worker, foreign=versions.index(found) != worker)
    os._exit(0)


def start(worker: int, zone: TlsSessions, counters: Counters) -> int:
    pid = os.fork()
    if pid == 0:
        work(worker, zone, counters)
    return pid


def kill(pid: int) -> bool:
    """Kill a worker; False if it had ended by itself."""
    os.kill(pid, SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -SIGKILL


def await_progress(counters: Counters) -> list[int]:
    """The workers that have no hit in PROGRESS_LIMIT seconds."""
    before, end = counters.hits, time.monotonic() + PROGRESS_LIMIT
    while time.monotonic() < end:
        stuck = [worker for worker, hits in enumerate(counters.hits) if hits == before[worker]]
        if not stuck:
            break
        time.sleep(KILL_INTERVAL)
    return stuck


def main(seconds: float) -> None:
    zone, counters, seen = TlsSessions("SSL", 32768), Counters(), Seen()
    pids = [start(worker, zone, counters) for worker in range(WORKERS)]
    print("ready", flush=True)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(KILL_INTERVAL)
        worker = random.randrange(WORKERS)
        if not kill(pids[worker]):
            seen.wrong.append(worker)
        pids[worker] = start(worker, zone, counters)
        seen.kills += 1
    seen.stuck = await_progress(counters)
    seen.wrong += [worker for worker, pid in enumerate(pids) if not kill(pid)]
    seen.hits, seen.foreign = sum(counters.hits), counters.foreign
    print(json.dumps(asdict(seen)))


if __name__ == "__main__":
    main(float(sys.argv[1]))
