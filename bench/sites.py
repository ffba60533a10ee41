"""The costs of many servers: test, start, reload and memory, plain and with one certificate for all."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from bench.arena import COMMANDS, Arena, Duel, Running, Setup, Site
from bench.measure import Goal, Measure
from tests.support.daemon import wait_until

ROUNDS = 3
SIZES = (1, 1000, 4000)
TIMEOUT = 60.0  # seconds, for the new worker of a reload
SPARE = 16  # connections beside those for the listeners
MEGABYTE = 1e6

Figures = dict[str, float]


def sample(arena: Arena, name: str, site: Site) -> Figures:
    """One round of one proxy: seconds of CPU of -t and of a start, megabytes, and what SIGHUP costs its master."""
    setup = Setup(connections=site.servers + SPARE, site=site)
    text, _ = arena.configuration(setup)
    figures = {"test": test_seconds(COMMANDS[name](arena.new_folder(name), text))}
    with arena.running(name, setup) as server:
        figures["start"] = server.settled_cpu() / 1e9
        figures["pss"] = server.tree.pss() / MEGABYTE
        started = server.tree.cpu_of_master()
        _reload(server)
        figures["reload"] = (server.tree.cpu_of_master() - started) / started
    return figures


def test_seconds(command: Sequence[str]) -> float:
    """Seconds of CPU of `-t`; other work on the machine does not change them."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*command, "-t"], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _reload(server: Running) -> None:
    """Make the server read its configuration again, and wait until only new workers are left and all is quiet."""
    former = set(server.tree.workers)
    os.kill(server.pid, signal.SIGHUP)
    wait_until(lambda: bool(server.tree.workers) and former.isdisjoint(server.tree.workers), "the reload", TIMEOUT)
    server.settled_cpu()


class Samples:
    """The rounds of each site, which are run once for the four rows that use them."""

    def __init__(self) -> None:
        self._rounds: dict[Site, list[tuple[Figures, Figures]]] = {}

    def duel(self, site: Site, figure: str, arena: Arena) -> Duel:
        if site not in self._rounds:
            self._rounds[site] = [
                (sample(arena, "nginx", site), sample(arena, "mailworker", site)) for _ in range(ROUNDS)
            ]
        return Duel.of((theirs[figure], ours[figure]) for theirs, ours in self._rounds[site])


@dataclass(frozen=True, slots=True)
class Row:
    """A figure of the samples, its title, and its goals for one server, for many without TLS and for many with it."""

    figure: str
    title: str
    unit: str
    single: Goal
    plain: Goal
    tls: Goal
    largest: Goal | None = None  # with TLS, for the largest size, where nginx takes most

    def goal(self, site: Site) -> Goal:
        if site.servers == 1:
            return self.single
        if not site.tls:
            return self.plain
        return self.largest if self.largest is not None and site.servers == max(SIZES) else self.tls


_NO_DEARER = Goal(1.0, "figure")
_SECONDS = Goal(1.5, "figure")
_ROWS = (
    Row("test", "CPU of -t with", "s", Goal(0.5, "figure"), _SECONDS, Goal(1.2)),
    Row("start", "CPU of a start with", "s", Goal(0.5, "figure"), _SECONDS, Goal(0.7), Goal(0.4)),
    Row("reload", "CPU of the master for SIGHUP against its start,", "x", _NO_DEARER, _NO_DEARER, _NO_DEARER),
    Row("pss", "PSS of master and worker,", "MB", Goal(35.0, "figure"), Goal(60.0, "figure"), Goal(1.0), Goal(0.6)),
)


def measures() -> Iterator[Measure]:
    samples = Samples()
    for row in _ROWS:
        for site in (Site(servers, tls) for servers in SIZES for tls in (False, True)):
            what = f"{row.title} {site.servers} server{'s' if site.servers > 1 else ''}{' by TLS' if site.tls else ''}"
            name = f"{row.figure}-{site.servers}{'-tls' if site.tls else ''}"
            yield Measure(name, what, row.unit, row.goal(site), partial(samples.duel, site, row.figure))
