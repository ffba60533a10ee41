"""Measures mailworker beside nginx.

    python -m bench [--list] [--json FILE] [--profile | --instructions | --shares | --beside FOLDER] [NAME...]

Runs all measures, or the named ones, prints a table, and with --json puts the rows into FILE, beside those of other
measures that it has already. Exits with 1 where nginx, a compiler or what counts is not installed.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench import attack, logins, memory, names, operation, relays, sites, status
from bench.arena import opened_arena
from bench.instructions import NAMES, count_instructions
from bench.measure import Measure, summarise
from bench.profile import profile
from bench.results import HEADER, Results, cells
from bench.shares import print_shares
from bench.turns import compare
from mailworker.log.terminal import put_out
from tests.support.daemon import ServerUnavailable

LINE = "{:<28} {:>10} {:>10} {:>6}  {:<4} {:<14} {}"


def all_measures() -> dict[str, Measure]:
    modules = (logins, relays, memory, operation, sites, names, status, attack)
    return {measure.name: measure for module in modules for measure in module.measures()}


def run(measures: Iterable[Measure], file: Path | None) -> None:
    """Raises ServerUnavailable."""
    results = Results.read(file)
    with opened_arena() as arena:
        print(LINE.format(*HEADER))
        for measure in measures:
            row = summarise(measure, measure.run(arena))
            print(LINE.format(*cells(measure.name, row)), flush=True)
            results.put(measure.name, row)


def parse(arguments: Sequence[str] | None, known: Iterable[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures mailworker beside nginx.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to measure; all without a name")
    parser.add_argument("--list", action="store_true", help="name all measures and end")
    parser.add_argument("--json", type=Path, metavar="FILE", help="put the figures into FILE")
    parser.add_argument("--profile", action="store_true", help="count the system calls of one login instead")
    parser.add_argument("--instructions", action="store_true", help="count the instructions of one login instead")
    parser.add_argument(
        "--beside", type=Path, metavar="FOLDER", help="measure logins of another checkout, too, in turns"
    )
    parser.add_argument("--shares", action="store_true", help="sample where the CPU time of one login goes instead")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - set(NAMES if options.instructions or options.beside else known)
    if unknown:
        parser.error(f"no measure is named {', '.join(sorted(unknown))}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    measures = all_measures()
    options = parse(arguments, measures)
    if options.list:
        lines = (f"{measure.name:<28} {measure.title}, {measure.unit}\n" for measure in measures.values())
        put_out("".join(lines).encode())
        return 0
    try:
        if options.profile:
            profile(options.names)
        elif options.beside:
            compare(options.beside, options.names)
        elif options.shares:
            print_shares(options.names)
        elif options.instructions:
            count_instructions(options.names)
        else:
            run([measures[name] for name in options.names or measures], options.json)
    except ServerUnavailable as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # the servers must not stay behind
    sys.exit(main())
