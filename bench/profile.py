"""The system calls of a login, counted by strace, and how often the server sleeps in it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from bench.arena import Running, opened_arena
from bench.instructions import setup_of
from bench.logins import Kind, kind_of
from tests.support.daemon import find_program, wait_until

LOGINS = 200
TITLE = "system calls for each of {} logins, {}"


def profile(names: Sequence[str]) -> None:
    """Print the system calls of a login for each of `names`, PROTOCOL-login (-auth-upstream) or PROTOCOLs-tls13 (-id).

    Raises ServerUnavailable.
    """
    strace = find_program("strace")
    with opened_arena() as arena:
        for name in names or ("imap-login",):
            kind = kind_of(name)
            for server in ("nginx", "mailworker"):
                with arena.running(server, setup_of(server, name)) as running:
                    print(_count(strace, running, kind))


def _count(strace: str, server: Running, kind: Kind) -> str:
    output = server.folder / "strace"
    load = server.load(kind.protocol, kind.version, count=LOGINS, at_once=1, resume=kind.resume)
    server.clients.run(load)
    asleep = _sleeps(server)
    server.clients.run(load)
    asleep = _sleeps(server) - asleep
    command = [strace, "-f", "-q", "-o", str(output), "-p", str(server.tree.workers[0])]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as tracer:
        wait_until(lambda: "TracerPid:\t0" not in Path(f"/proc/{server.tree.workers[0]}/status").read_text(), "strace")
        server.clients.run(load)
        time.sleep(0.2)
        tracer.terminate()
    sleep = f"{asleep / LOGINS:8.2f} times asleep, without strace"
    return "\n".join([TITLE.format(LOGINS, server.name), *_table(output.read_text(errors="replace")), sleep])


def _sleeps(server: Running) -> int:
    return psutil.Process(server.tree.workers[0]).num_ctx_switches().voluntary


def _table(trace: str) -> list[str]:
    counts: dict[str, int] = {}
    for line in trace.splitlines():
        call = line.split(" ", 1)[-1].strip().partition("(")[0]
        if call.isidentifier():
            counts[call] = counts.get(call, 0) + 1
    total = sum(counts.values())
    rows = [f"{count / LOGINS:8.2f} {call}" for call, count in sorted(counts.items(), key=lambda pair: -pair[1])]
    return [*rows, f"{total / LOGINS:8.2f} in all"]
