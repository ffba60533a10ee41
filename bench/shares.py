"""Where the CPU time of a login goes: the kernel, OpenSSL, the interpreter; sampled by perf.

The sampling costs something itself, so the sums are above what the measures say; the shares are what counts.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.arena import Arena, Running, Setup
from tests.support.daemon import find_program

LOGINS = 5000
AT_ONCE = 16
RATE = 4000  # samples in a second
# How the names of files begin that a part consists of; everything else is "other".
PARTS = {
    "kernel": ("[kernel",),
    "openssl": ("libcrypto.", "libssl."),
    "python": ("libpython", "python", "_cffi_backend."),
    "server": ("nginx", "ngx_", "_native.", "_core."),
    "other": ("",),
}
LINE = "{:<16} {:<10}" + " {:>8}" * (len(PARTS) + 1)


def print_shares(names: Sequence[str]) -> None:
    """Print microseconds for each login of `names`, PROTOCOL-login or PROTOCOLs-tls13, by part.

    Raises ServerUnavailable.
    """
    perf = find_program("perf")
    print(LINE.format("us", "server", *PARTS, "all"))
    with tempfile.TemporaryDirectory() as folder:
        arena = Arena(Path(folder))
        try:
            for name in names or ("imap-login", "imaps-tls13"):
                for server in ("nginx", "mailworker"):
                    with arena.running(server, Setup()) as running:
                        parts = _sample(perf, running, name)
                    figures = [f"{value:.0f}" for value in (*parts.values(), sum(parts.values()))]
                    print(LINE.format(name, server, *figures), flush=True)
        finally:
            arena.close()


def _sample(perf: str, server: Running, name: str) -> dict[str, float]:
    protocol, _, way = name.partition("-")
    version = "" if way == "login" else "TLSv1.3"
    load = server.load(protocol.removesuffix("s") if version else protocol, version, count=LOGINS, at_once=AT_ONCE)
    server.clients.run(load)
    data = str(server.folder / "perf.data")
    attach = ["-q", "-e", "cpu-clock", "-F", str(RATE), "-o", data, "-p", str(server.tree.workers[0])]
    with subprocess.Popen([perf, "record", *attach], stderr=subprocess.DEVNULL) as sampler:
        server.clients.run(load)
        sampler.terminate()
    report = [perf, "report", "-q", "-i", data, "--no-children", "--sort", "dso", "--stdio", "-n"]
    return by_part(subprocess.run(report, check=True, capture_output=True, text=True).stdout.splitlines())


def by_part(report: Iterable[str]) -> dict[str, float]:
    """Microseconds of a login, by part, from lines with a percentage, a number of samples and a file's name."""
    parts = dict.fromkeys(PARTS, 0.0)
    for line in report:
        match line.split():
            case [share, samples, file, *_] if share.endswith("%"):
                part = next(part for part, beginnings in PARTS.items() if file.startswith(beginnings))
                parts[part] += int(samples) * 1e6 / RATE / LOGINS
    return parts
