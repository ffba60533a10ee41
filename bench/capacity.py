"""The capacity of one large host, calculated from the measured costs, and a simulation that checks it.

    python -m bench.capacity

Takes the costs from bench/results.json and writes its tables to docs/capacity.md.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from bench.report import ROOT, put_between
from bench.results import Row

PAGE = ROOT / "docs" / "capacity.md"


# The rows for the fields of Costs.
MEASURES = (
    "imap-login",
    "imaps-tls13",
    "imaps-tls13-ticket",
    "relay-plain-4k",
    "relay-tls-4k",
    "imap-idle",
    "imaps-idle",
    "kernel-idle",
)


@dataclass(frozen=True, slots=True)
class Costs:
    """Measured costs: microseconds of CPU for a login and for a relayed megabyte, kilobytes for an idle session."""

    login: float
    full: float  # handshake included, as in `resumed`
    resumed: float
    relay: float
    relay_tls: float
    session: float
    session_tls: float
    kernel: float  # of any session, beside the two above

    @classmethod
    def read(cls, rows: Mapping[str, Row]) -> Costs:
        return cls(*(rows[name]["mailworker"]["median"] for name in MEASURES))


@dataclass(frozen=True, slots=True)
class Host:
    """One processor for each worker; `ports` is the number of connections from one address to one backend."""

    workers: int = 64
    memory: float = 256e9  # bytes
    gigabits: float = 100.0  # per second
    ports: int = 28_232  # net.ipv4.ip_local_port_range of Linux


@dataclass(frozen=True, slots=True)
class Population:
    """The users. `minutes` is the length of a session, `bits` its average transfer per second."""

    mailboxes: int = 1_000_000
    sessions_each: float = 1.5
    minutes: float = 30.0
    resumed: float = 0.7  # the part of logins that resume a TLS session
    bits: float = 2000.0
    storm: float = 60.0  # seconds in which all come back after a failure

    @property
    def sessions(self) -> float:
        return self.mailboxes * self.sessions_each

    @property
    def logins(self) -> float:
        """Logins per second."""
        return self.sessions / self.minutes / 60


def idle_sessions(costs: Costs, host: Host, *, tls: bool) -> float:
    """How many idle sessions fit into nine tenths of the memory."""
    return host.memory * 0.9 / 1024 / ((costs.session_tls if tls else costs.session) + costs.kernel)


def logins_per_second(cost: float, host: Host) -> float:
    """Logins per second with all workers busy all the time; `cost` is in microseconds."""
    return host.workers * 1e6 / cost


def gigabits_per_second(cost: float, host: Host) -> float:
    """Gigabits per second with all workers busy all the time; `cost` is in microseconds per megabyte (2**20 bytes)."""
    return host.workers * 1e6 / cost * (1 << 20) * 8 / 1e9


@dataclass(frozen=True, slots=True)
class Load:
    """What a population demands of all hosts together, in shares of one host."""

    memory: float
    processors: float
    processors_in_storm: float
    network: float
    backends: float  # how many backend addresses must exist, for the ports of one host


def load(costs: Costs, host: Host, population: Population) -> Load:
    login = mean_login(costs, population)
    relay = population.sessions * population.bits / 8 / (1 << 20) * costs.relay_tls
    capacity = host.workers * 1e6
    return Load(
        memory=population.sessions / idle_sessions(costs, host, tls=True),
        processors=(population.logins * login + relay) / capacity,
        processors_in_storm=(population.sessions / population.storm * login + relay) / capacity,
        network=2 * population.sessions * population.bits / host.gigabits / 1e9,
        backends=population.sessions / host.ports,
    )


def mean_login(costs: Costs, population: Population) -> float:
    return population.resumed * costs.resumed + (1 - population.resumed) * costs.full


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a simulation: the used part of the workers' time, and the milliseconds that logins waited."""

    used: float
    median: float
    p99: float


def simulate(costs: Costs, host: Host, population: Population, share: float, logins: int) -> Outcome:
    """Let clients come at random, at `share` of the workers' capacity; the first free worker takes the next client."""
    random = Random(1)
    rate = share * logins_per_second(mean_login(costs, population), host)
    free = [0.0] * host.workers  # when each worker will be
    now = busy = 0.0
    waits = []
    for _ in range(logins):
        now += random.expovariate(rate)
        cost = (costs.resumed if random.random() < population.resumed else costs.full) / 1e6
        begin = max(now, heapq.heappop(free))
        heapq.heappush(free, begin + cost)
        waits.append(begin - now)
        busy += cost
    waits.sort()
    return Outcome(busy / max(free) / host.workers, waits[logins // 2] * 1000, waits[logins * 99 // 100] * 1000)


def limits_table(costs: Costs, host: Host) -> Iterator[str]:
    yield "| one host, one thing at a time | plain | TLS |"
    yield "|---|--:|--:|"
    plain, tls = (idle_sessions(costs, host, tls=tls) / 1e6 for tls in (False, True))
    yield f"| idle sessions that fit into memory, millions | {plain:.1f} | {tls:.1f} |"
    login, full, resumed = (logins_per_second(cost, host) for cost in (costs.login, costs.full, costs.resumed))
    yield f"| logins per second, TLS with a full handshake | {login:,.0f} | {full:,.0f} |"
    yield f"| logins per second, TLS resumed | | {resumed:,.0f} |"
    rates = (gigabits_per_second(cost, host) for cost in (costs.relay, costs.relay_tls))
    yield "| Gbit/s that the workers can relay | {:,.0f} | {:,.0f} |".format(*rates)
    yield f"| sessions to one address and port of a backend | {host.ports:,} | {host.ports:,} |"


def population_table(costs: Costs, host: Host) -> Iterator[str]:
    yield "| mailboxes | sessions | logins/s | memory | workers | workers in a storm | network | backend addresses |"
    yield "|--:|--:|--:|--:|--:|--:|--:|--:|"
    for mailboxes in (100_000, 1_000_000, 10_000_000):
        population = Population(mailboxes)
        demand = load(costs, host, population)
        yield (
            f"| {mailboxes:,} | {population.sessions:,.0f} | {population.logins:,.0f} | {demand.memory:.1%} | "
            f"{demand.processors:.1%} | {demand.processors_in_storm:.0%} | {demand.network:.1%} | "
            f"{demand.backends:,.0f} |"
        )


def simulation_table(costs: Costs, host: Host) -> Iterator[str]:
    population = Population()
    yield "| share of the calculated logins | logins/s | workers used | wait, median, ms | wait, 99th percentile, ms |"
    yield "|--:|--:|--:|--:|--:|"
    for share in (0.5, 0.8, 0.9, 0.95, 0.99, 1.05):
        outcome = simulate(costs, host, population, share, 300_000)
        rate = share * logins_per_second(mean_login(costs, population), host)
        yield f"| {share:.0%} | {rate:,.0f} | {outcome.used:.0%} | {outcome.median:.2f} | {outcome.p99:.2f} |"


def report(rows: Mapping[str, Row]) -> str:
    costs, host = Costs.read(rows), Host()
    tables = (limits_table, population_table, simulation_table)
    return "\n\n".join("\n".join(table(costs, host)) for table in tables) + "\n"


def main() -> None:
    rows = json.loads((ROOT / "bench" / "results.json").read_text(encoding="utf-8"))["rows"]
    write(PAGE, rows)


def write(page: Path, rows: Mapping[str, Row]) -> None:
    page.write_text(put_between(page.read_text(encoding="utf-8"), report(rows)), encoding="utf-8")


if __name__ == "__main__":
    main()
