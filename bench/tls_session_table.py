"""The costs and the room of the shared session cache.

    python -m bench.tls_session_table [--json]

Stores sessions of 158 bytes, the size of TLS 1.3 with ALPN in the encoding of OpenSSL 3, in a zone of 10 MB, and shows
the CPU time of one more store and of one lookup at several fills. Then stores sessions in zones of 1 MB and counts
those that can be found again. Runs for a few seconds.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random

from mailworker.native.tls.tls_session_table import TlsSessionTable
from mailworker.shm.tls_sessions import TlsSessions

MEGABYTE = 1 << 20
COST_ZONE = 10 * MEGABYTE
TIMEOUT = 300  # seconds
FILLS = (0, 10_000, 20_000, 40_000, 60_000, 120_000)  # sessions stored before; the last number is twice the room
SAMPLE = 1000  # sessions for one figure
ROUNDS = 12  # the best one counts
COUNTED = ((150, 4000), (150, 6000), (158, 4000), (158, 6000), (158, 8000), (190, 4000), (1200, 700))  # bytes, sessions

Session = tuple[bytes, bytes]


def make_sessions(count: int, size: int, random: Random) -> list[Session]:
    """Ids, and sessions of `size` bytes that contain them at OpenSSL's place."""
    ids = [random.randbytes(32) for _ in range(count)]
    return [(identity, random.randbytes(16) + identity + random.randbytes(size - 48)) for identity in ids]


def cost(step: Callable[[bytes, bytes], object], sessions: Iterable[Session]) -> float:
    """Microseconds of CPU time that `step` takes for one session."""
    start = time.process_time()
    for identity, session in sessions:
        step(identity, session)
    return (time.process_time() - start) / SAMPLE * 1e6


def measure_cost(fill: int, random: Random) -> dict[str, float]:
    table = TlsSessionTable(TlsSessions("SSL", COST_ZONE).memory, TIMEOUT)
    for identity, session in make_sessions(fill, 158, random):
        table.new(identity, session)
    stores, lookups, misses = [], [], []
    for _ in range(ROUNDS):
        sessions = make_sessions(SAMPLE, 158, random)
        misses.append(cost(lambda identity, _: table.get(identity), sessions))
        stores.append(cost(table.new, sessions))
        lookups.append(cost(lambda identity, _: table.get(identity), sessions))
    figures = {"store": min(stores), "lookup": min(lookups), "miss": min(misses)}
    return {"stored": fill} | {name: round(figure, 1) for name, figure in figures.items()}


def measure_room(size: int, count: int, random: Random) -> dict[str, float]:
    table = TlsSessionTable(TlsSessions("SSL", MEGABYTE).memory, TIMEOUT)
    sessions = make_sessions(count, size, random)
    for identity, session in sessions:
        table.new(identity, session)
    back = sum(table.get(identity) == session for identity, session in sessions)
    return {"size": size, "stored": count, "back": back}


def show(rows: Sequence[Mapping[str, float | str]]) -> None:
    print("".join(f"{name:>10}" for name in rows[0]))
    for row in rows:
        print("".join(f"{figure:>10}" for figure in row.values()))


def main() -> None:
    parser = argparse.ArgumentParser(description="What the shared session cache costs and holds.")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    arguments = parser.parse_args()
    random = Random(1)
    costs = [measure_cost(fill, random) for fill in FILLS]
    room = [measure_room(size, count, random) for size, count in COUNTED]
    if arguments.json:
        print(json.dumps({"cost": costs, "room": room}))
        return
    print("Microseconds of CPU in a zone of 10 MB, by sessions stored before")
    show(costs)
    print("\nSessions that come back from a zone of 1 MB, by size in bytes")
    show(room)


if __name__ == "__main__":
    main()
