"""What `ps` shows, nginx's titles with our name."""

from __future__ import annotations

from collections.abc import Sequence

from setproctitle import getproctitle, setproctitle


def find_title() -> None:
    """Find the place of the title in memory, which is next to the environment: before that is changed."""
    getproctitle()


def title_master(arguments: Sequence[str]) -> None:
    """The master, with the command line it was started by."""
    setproctitle(f"mailworker: master process {' '.join(arguments)}")


def title_worker() -> None:
    """A worker that accepts connections."""
    setproctitle("mailworker: worker process")


def title_leaving_worker() -> None:
    """A worker that only finishes the sessions it has."""
    setproctitle("mailworker: worker process is shutting down")


def title_reader() -> None:
    """Who reads the configuration for a reload."""
    setproctitle("mailworker: configuration reader")
