"""The titles that `ps` shows: nginx's, with our name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress

from setproctitle import getproctitle, setproctitle


def find_title() -> None:
    """Find the memory of the title, next to the environment; call this before the environment is changed."""
    with suppress(UnicodeDecodeError):  # the memory has been found, but the command line is not UTF-8
        getproctitle()


def title_master(arguments: Sequence[str]) -> None:
    """Set the title of the master, with its command line; bytes that are not UTF-8 are escaped."""
    line = os.fsencode(" ".join(arguments)).decode(errors="backslashreplace")
    setproctitle(f"mailworker: master process {line}")


def title_child(name: str) -> None:
    """Set the title of a child of the master, such as "worker process"."""
    setproctitle(f"mailworker: {name}")


def title_leaving_child(name: str) -> None:
    """Set the title of a child that shuts down."""
    setproctitle(f"mailworker: {name} is shutting down")
