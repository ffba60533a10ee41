"""The shares of a login's CPU time: the kernel, OpenSSL, the interpreter; sampled by perf.

Sampling has a cost of its own, so the sums are above the figures of the measures; only the shares matter.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence

from bench.arena import Running, opened_arena
from bench.instructions import setup_of
from bench.logins import Kind, kind_of
from tests.support.daemon import find_program

LOGINS = 5000
AT_ONCE = 16
RATE = 4000  # samples in a second
# The beginnings of names of files that make up a part; everything else is "other".
PARTS = {
    "kernel": ("[kernel",),
    "openssl": ("libcrypto.", "libssl."),
    "python": ("libpython", "python", "_cffi_backend."),
    "server": ("nginx", "ngx_", "_native.", "_core."),
    "other": ("",),
}
LINE = "{:<16} {:<10}" + " {:>8}" * (len(PARTS) + 1)


def print_shares(names: Sequence[str]) -> None:
    """Print microseconds for each login of `names`, PROTOCOL-login or PROTOCOLs-tls13 (-id), by part.

    Raises ServerUnavailable.
    """
    perf = find_program("perf")
    print(LINE.format("us", "server", *PARTS, "all"))
    with opened_arena() as arena:
        for name in names or ("imap-login", "imaps-tls13"):
            kind = kind_of(name)
            for server in ("nginx", "mailworker"):
                with arena.running(server, setup_of(server, name)) as running:
                    parts = _sample(perf, running, kind)
                figures = [f"{value:.0f}" for value in (*parts.values(), sum(parts.values()))]
                print(LINE.format(name, server, *figures), flush=True)


def _sample(perf: str, server: Running, kind: Kind) -> dict[str, float]:
    load = server.load(kind.protocol, kind.version, count=LOGINS, at_once=AT_ONCE, resume=kind.resume)
    server.clients.run(load)
    data = str(server.folder / "perf.data")
    attach = ["-q", "-e", "cpu-clock", "-F", str(RATE), "-o", data, "-p", str(server.tree.workers[0])]
    with subprocess.Popen([perf, "record", *attach], stderr=subprocess.DEVNULL) as sampler:
        server.clients.run(load)
        sampler.terminate()
    report = [perf, "report", "-q", "-i", data, "--no-children", "--sort", "dso", "--stdio", "-n"]
    return by_part(subprocess.run(report, check=True, capture_output=True, text=True).stdout.splitlines())


def by_part(report: Iterable[str]) -> dict[str, float]:
    """Microseconds of a login by part, from lines with a percentage, a number of samples and a file name."""
    parts = dict.fromkeys(PARTS, 0.0)
    for line in report:
        match line.split():
            case [share, samples, file, *_] if share.endswith("%"):
                part = next(part for part, beginnings in PARTS.items() if file.startswith(beginnings))
                parts[part] += int(samples) * 1e6 / RATE / LOGINS
    return parts
