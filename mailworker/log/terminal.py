"""What the person at the terminal reads: stderr and stdout of the command line."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO

from mailworker.errors import StartError, printable
from mailworker.log.line import describe


def tell(*lines: str) -> None:
    """Write to stderr, if it takes that: a start must not fail because nobody can read its warnings."""
    try:
        print(*map(printable, lines), sep="\n", file=sys.stderr, flush=True)
    except OSError:
        _drop_rest(sys.stderr)


def put_out(data: bytes) -> None:
    """Write to stdout. Raises StartError if it cannot take the data, but not if a reader such as `head` has left."""
    output = sys.stdout
    try:
        output.buffer.write(data)
        output.flush()
    except OSError as error:
        discard_output(output.fileno())
        if not isinstance(error, BrokenPipeError):
            raise StartError(f"write() to stdout failed {describe(error)}") from None


def _drop_rest(stream: TextIO) -> None:
    """Empty the buffer of a stream that does not take it: Python would make an exit code of 0 one of 120."""
    with suppress(OSError):
        descriptor = stream.fileno()
        kept = os.dup(descriptor)
        discard_output(descriptor)
        stream.flush()
        os.dup2(kept, descriptor)
        os.close(kept)


def discard_output(descriptor: int) -> None:
    """Let what is written to a stream get lost, such as the rest in its buffer: Python would complain at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
