"""The titles that `ps` shows: nginx's, with our name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress

from setproctitle import getproctitle, setproctitle


def find_title() -> None:
    """Find the title's memory, which adjoins the environment; call this before the environment is changed."""
    with suppress(UnicodeDecodeError):  # the memory has been found, but the command line is no UTF-8
        getproctitle()


def title_master(arguments: Sequence[str]) -> None:
    """The master, with the command line that started it; bytes of it that are no UTF-8 are escaped."""
    line = os.fsencode(" ".join(arguments)).decode(errors="backslashreplace")
    setproctitle(f"mailworker: master process {line}")


def title_child(name: str) -> None:
    """A child of the master at its task, such as a "worker process" that accepts connections."""
    setproctitle(f"mailworker: {name}")


def title_leaving_child(name: str) -> None:
    """A child that only finishes its work."""
    setproctitle(f"mailworker: {name} is shutting down")
