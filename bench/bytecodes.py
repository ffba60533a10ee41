"""The bytecodes and Python calls of a login, phase by phase, counted by a tracer in a single process.

    python -m bench.bytecodes [NAME...]

Names are those of `--instructions`, but for those of a master with workers, which a single process cannot be. Work in C
counts for nothing. A phase lasts from one function of FIRST to the next.
"""

from __future__ import annotations

import argparse
import atexit
import json
import runpy
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Final

from bench import instructions
from bench.arena import Arena, opened_arena
from bench.instructions import ALONE, MAINS, prepared, way_of
from tests.oracle.proxies import mailworker_command
from tests.support.daemon import accepts, running

NAMES: Final = tuple(name for name in instructions.NAMES if way_of(name) not in MAINS)

LOGINS: Final = 100
# Logins that are not counted: they fill the caches for later logins.
WARMING: Final = 20

# The functions that phases begin with, by module and name. What comes before a phase may be C, which is not counted.
FIRST: Final = {
    "listener.ready": "accept",
    "session.begin": "the session begins",
    "session.begin_heard": "the client's words",
    "session._heard": "the client's words",
    "asking._log_in": "the question",
    "auth_http._read": "its answer",
    "session.judged": "its answer",
    "entering.enter": "connection and login at the backend",
    "entering._note_entry": "the relay begins",
}
OTHERS: Final = "whatever comes between"
LINE: Final = "{:<12} {:<38} {:>9.1f} {:>7.1f}"


class Tracer:
    """Counts by phase; `counts` are the bytecodes and calls of each."""

    def __init__(self) -> None:
        self.counts = Counter[tuple[str, str]]()
        self._phase = OTHERS

    def called(self, frame: FrameType, _event: str, _argument: object) -> Any:
        """`sys.settrace` calls it with each frame."""
        module = str(frame.f_globals.get("__name__")).rpartition(".")[2]
        self._phase = FIRST.get(f"{module}.{frame.f_code.co_name}", self._phase)
        self.counts[self._phase, "calls"] += 1
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._step

    def _step(self, _frame: FrameType, event: str, _argument: object) -> Any:
        if event == "opcode":
            self.counts[self._phase, "bytecodes"] += 1
        return self._step


def serve(report: str, command: Sequence[str]) -> None:
    """Run the server that `command` starts, and write the counts of all its work to the file `report`."""
    tracer = Tracer()

    def leave() -> None:
        sys.settrace(None)
        rows = [[phase, what, count] for (phase, what), count in tracer.counts.items()]
        Path(report).write_text(json.dumps(rows))

    atexit.register(leave)
    sys.argv = list(command)
    sys.settrace(tracer.called)
    runpy.run_path(command[0], run_name="__main__")


def count(arena: Arena, name: str, logins: int) -> Counter[tuple[str, str]]:
    """The counts of a server from its start to its end, with so many logins."""
    folder = arena.new_folder("mailworker")
    text, load = prepared(arena, "mailworker", name, logins)
    python, *command = mailworker_command(folder, f"{ALONE}\n{text}")
    report = folder / "counts"
    serving = [python, "-m", "bench.bytecodes", "--serve", str(report), *command]
    with running(serving, folder / "output", lambda: accepts(("127.0.0.1", load.port))):
        arena.clients.run(load)
    return Counter({(phase, what): number for phase, what, number in json.loads(report.read_text())})


def print_tables(names: Sequence[str]) -> None:
    """Print the counts of one login for each of `names`. Raises ServerUnavailable."""
    with opened_arena() as arena:
        for name in names:
            few, many = (count(arena, name, logins) for logins in (WARMING, WARMING + LOGINS))
            print_table(name, many, few)


def print_table(name: str, many: Counter[tuple[str, str]], few: Counter[tuple[str, str]]) -> None:
    sums = [0.0, 0.0]
    for phase in dict.fromkeys((*FIRST.values(), OTHERS)):
        row = [(many[phase, what] - few[phase, what]) / LOGINS for what in ("bytecodes", "calls")]
        sums = [one + other for one, other in zip(sums, row, strict=True)]
        print(LINE.format(name, phase, *row))
    print(LINE.format(name, "in all", *sums), flush=True)


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2], sys.argv[3:])
        return
    parser = argparse.ArgumentParser(prog="python -m bench.bytecodes", description="The bytecodes of one login.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    names = parser.parse_args().names or ["imap-login"]
    if unknown := set(names) - set(NAMES):
        parser.error(f"nothing is named {', '.join(sorted(unknown))}")
    print_tables(names)


if __name__ == "__main__":
    main()
