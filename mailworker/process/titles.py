"""What `ps` shows, nginx's titles with our name."""

from __future__ import annotations

from collections.abc import Sequence

from setproctitle import setproctitle


def title_master(arguments: Sequence[str]) -> None:
    """The master, with the command line it was started by."""
    setproctitle(f"mailworker: master process {' '.join(arguments)}")


def title_worker() -> None:
    """A worker that accepts connections."""
    setproctitle("mailworker: worker process")


def title_leaving_worker() -> None:
    """A worker that only finishes the sessions it has."""
    setproctitle("mailworker: worker process is shutting down")
