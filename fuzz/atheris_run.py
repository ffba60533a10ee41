"""One target under atheris."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["mailworker"]):
    from fuzz.targets import TARGETS


def main(target: str) -> None:
    """Run the fuzzer and never return; the program's arguments are libFuzzer's."""
    atheris.Setup(sys.argv, TARGETS[target])
    atheris.Fuzz()
