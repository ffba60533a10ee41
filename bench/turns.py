"""The CPU time of logins at nginx and at two states of mailworker, measured in turns: what a change costs or saves."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from bench.arena import Arena, opened_arena
from bench.instructions import setup_of
from bench.logins import ROUNDS, cost, kind_of
from tests.oracle.proxies import mailworker, mailworker_of, nginx
from tests.support.daemon import ServerUnavailable

LINE = "{:<26} {:>8} {:>12} {:>6} {:>8} {:>6}"


def compare(checkout: Path, names: Sequence[str]) -> None:
    """Print the microseconds of CPU for a login of each of `names`, which are those of `--instructions`.

    `checkout` is a folder with another state of mailworker, and with a virtual environment `.venv`. Raises
    ServerUnavailable.
    """
    if not (checkout / ".venv/bin/python").exists():
        raise ServerUnavailable(f"{checkout} has no .venv")
    print(LINE.format("us", "nginx", "mailworker", "ratio", "other", "ratio"))
    with opened_arena() as arena:
        for name in names or ("imap-login", "pop3-login", "smtp-login"):
            theirs, ours, others = in_turns(arena, checkout.resolve(), name)
            costs = (
                f"{theirs:.1f}",
                f"{ours:.1f}",
                f"{ours / theirs:.2f}",
                f"{others:.1f}",
                f"{others / theirs:.2f}",
            )
            print(LINE.format(name, *costs), flush=True)


def in_turns(arena: Arena, checkout: Path, name: str) -> list[float]:
    """The median costs of a login at nginx, at this mailworker and at that of `checkout`, in microseconds.

    A first round warms up and does not count.
    """
    kind = kind_of(name)
    with ExitStack() as stack:
        starts = (("nginx", nginx), ("mailworker", mailworker), ("mailworker", mailworker_of(checkout)))
        servers = [
            stack.enter_context(arena.running(server, setup_of(server, name), start)) for server, start in starts
        ]
        rounds = [
            [cost(server, kind.protocol, kind.version, resume=kind.resume) for server in servers]
            for _ in range(ROUNDS + 1)
        ]
    return [median(costs) for costs in zip(*rounds[1:], strict=True)]
