"""Leaving whoever started us: becoming a daemon, stderr into the log."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from daemon import DaemonContext

from mailworker.log.log import Log


def become_daemon(descriptors: Iterable[int]) -> None:
    """Detach from whoever started us; the parent exits with code 0.

    The working directory stays, as do `descriptors` and stderr; stdin and stdout become /dev/null, all other
    descriptors are closed.
    """
    context = DaemonContext(
        working_directory=str(Path.cwd()),
        umask=0,
        detach_process=True,  # python-daemon would not detach under a parent with process id 1
        signal_map={},
        prevent_core=False,
        files_preserve=list(descriptors),
        stderr=sys.stderr,
    )
    context.open()


def redirect_stderr(log: Log) -> None:
    """Let stderr end up in the log's first file, unless the log is on stderr anyway."""
    sys.stderr.flush()
    if log.descriptor is not None:
        os.dup2(log.descriptor, 2)
