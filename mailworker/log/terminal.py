"""Output of the command line to stderr and stdout."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO

from mailworker.errors import StartError, printable
from mailworker.log.line import describe


def tell(*lines: str) -> None:
    """Write to stderr. Errors are ignored, as a start must not fail because its warnings cannot be written."""
    try:
        print(*map(printable, lines), sep="\n", file=sys.stderr, flush=True)
    except OSError:
        _drop_rest(sys.stderr)


def put_out(data: bytes) -> None:
    """Write to stdout. Raises StartError for errors, except when a reader such as `head` has ended."""
    output = sys.stdout
    try:
        output.buffer.write(data)
        output.flush()
    except OSError as error:
        discard_output(output.fileno())
        if not isinstance(error, BrokenPipeError):
            raise StartError(f"write() to stdout failed {describe(error)}") from None


def _drop_rest(stream: TextIO) -> None:
    """Empty the buffer of a stream after an error, or Python would exit with code 120."""
    with suppress(OSError):
        descriptor = stream.fileno()
        kept = os.dup(descriptor)
        discard_output(descriptor)
        stream.flush()
        os.dup2(kept, descriptor)
        os.close(kept)


def discard_output(descriptor: int) -> None:
    """Redirect a stream to /dev/null, so that Python does not report an error for the rest of its buffer."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
