"""The titles that `ps` shows: nginx's, with our name."""

from __future__ import annotations

from collections.abc import Sequence

from setproctitle import getproctitle, setproctitle


def find_title() -> None:
    """Find the title's memory, which adjoins the environment; call this before the environment is changed."""
    getproctitle()


def title_master(arguments: Sequence[str]) -> None:
    """The master, with the command line that started it."""
    setproctitle(f"mailworker: master process {' '.join(arguments)}")


def title_child(name: str) -> None:
    """A child of the master that does its task, such as a "worker process" that accepts connections."""
    setproctitle(f"mailworker: {name}")


def title_leaving_child(name: str) -> None:
    """A worker that only finishes its sessions."""
    setproctitle(f"mailworker: {name} is shutting down")


def title_file_reader() -> None:
    """The process that checks whether files of users and certificates have changed."""
    setproctitle("mailworker: file reader")


def title_reader() -> None:
    """The process that reads the configuration for a reload."""
    setproctitle("mailworker: configuration reader")
