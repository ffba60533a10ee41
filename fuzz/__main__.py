"""Fuzz all targets, or those named.

    python -m fuzz [--runs 2000000] [--json FILE] [TARGET...]

Begins with the inputs of fuzz/corpus, and adds those that reach more. FILE holds the figures; an interrupted run is
resumed with the target that it was at. Needs the extra `fuzz`, and clang for the target `native`.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from fuzz import corpus, dictionaries, native
from fuzz.targets import TARGETS
from tests.long.figures import Figures
from tests.long.site import ROOT, system

RUNS = 2_000_000
# Bytes; long enough for every limit of the targets.
_LONGEST = 512
_DONE = re.compile(r"^Done (\d+) runs in (\d+) second", re.MULTILINE)
_COVERED = re.compile(r"cov: (\d+)")
NAMES = (*TARGETS, native.NAME)


class Broken(Exception):
    """A target has raised an exception; the text is the fuzzer's report."""


def fuzz(target: str, runs: int, seconds: int | None = None) -> dict[str, float]:
    """Run the target with so many inputs, or as many as the seconds allow; raises Broken."""
    with TemporaryDirectory(prefix=f"fuzz-{target}-") as name:
        folder = Path(name)
        corpus.unpack(target, folder / "corpus")
        command = _command(target, folder)
        if dictionaries.write(target, folder / "words"):
            command.append(f"-dict={folder / 'words'}")
        limits = [f"-runs={runs}", *([f"-max_total_time={seconds}"] if seconds else [])]
        output = _run([*command, *limits, str(folder / "corpus")], folder)
        (folder / "merged").mkdir()
        _run([*command, "-merge=1", str(folder / "merged"), str(folder / "corpus")], folder)
        corpus.write(target, [path.read_bytes() for path in (folder / "merged").iterdir()])
        inputs = len(list((folder / "merged").iterdir()))
    done = _DONE.search(output)
    assert done is not None, output
    return {
        f"{target}: executions": int(done[1]),
        f"{target}: seconds": int(done[2]),
        f"{target}: edges": int(_COVERED.findall(output)[-1]),
        f"{target}: inputs kept": inputs,
    }


def _command(target: str, folder: Path) -> list[str]:
    program = native.build(folder) if target == native.NAME else _program(target, folder)
    return [str(program), f"-max_len={_LONGEST}", "-timeout=30", f"-artifact_prefix={folder}/", "-print_final_stats=0"]


def _program(target: str, folder: Path) -> Path:
    """A program for the target that libFuzzer can start again, as it does to merge."""
    program = folder / target
    lines = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from fuzz.atheris_run import main; main({target!r})"
    program.write_text(f"#!{sys.executable}\n{lines}\n")
    program.chmod(0o700)
    return program


def _run(command: list[str], folder: Path) -> str:
    """The fuzzer's output; its progress is shown while it runs."""
    lines = []
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=_ENVIRONMENT,
        errors="replace",
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line)
            if "pulse" in line or "DONE" in line:
                print(line, end="", file=sys.stderr, flush=True)
    output = "".join(lines)
    if process.returncode:
        inputs = [
            f"{path.name}: {path.read_bytes()!r}" for path in folder.iterdir() if "-" in path.name and path.is_file()
        ]
        raise Broken("\n".join([output[-4000:], f"exit code {process.returncode}", *inputs]))
    return output


# A Python process that is fuzzed does not free its memory at its end.
_ENVIRONMENT = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}


def main() -> None:
    parser = argparse.ArgumentParser(description="Arbitrary bytes for every parser, and for the C part.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", choices=[*NAMES, []], help=", ".join(NAMES))
    parser.add_argument("--runs", type=int, default=RUNS, help="of each target")
    parser.add_argument("--seconds", type=int, default=None, help="at most, for each target")
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    targets = arguments.targets or NAMES
    figures = Figures.resume(arguments.json, f"{targets[-1]}: executions", 1)
    for target in targets:
        if not figures.number(f"{target}: executions"):
            print(f"fuzzing {target}", file=sys.stderr, flush=True)
            try:
                figures.set(fuzz(target, arguments.runs, arguments.seconds))
            except (Broken, FileNotFoundError) as broken:  # the latter without clang
                sys.exit(f"{target}:\n{broken}")
            figures.describe(system())
            figures.save()
    print(figures.text)


if __name__ == "__main__":
    main()
