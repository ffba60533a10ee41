"""Fixtures that run the real binary."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.ports import Ports
from tests.support.process import Mailworker, configuration

Install = Callable[..., Mailworker]


@pytest.fixture
def port(ports: Ports) -> int:
    return ports["first"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that workers may enter as another user."""
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_uid == os.geteuid() and path.stat().st_mode & 0o711 != 0o711:
            path.chmod(path.stat().st_mode | 0o711)
    return tmp_path


@pytest.fixture
def install(folder: Path, ports: Ports) -> Iterator[Install]:
    """Makes installations that are stopped at the end of the test."""
    made: list[Mailworker] = []

    def make(text: str, *arguments: str) -> Mailworker:
        made.append(Mailworker(folder, text, *arguments))
        return made[-1]

    yield make
    for mailworker in made:
        mailworker.stop()


@pytest.fixture
def running(install: Install, port: int) -> Mailworker:
    """Two workers that serve IMAP on `port`."""
    mailworker = install(configuration(port, main="worker_processes 2;"))
    mailworker.start()
    mailworker.await_workers(2)
    return mailworker


@pytest.fixture
def beyond_select() -> Iterator[int]:
    """The lowest descriptor that select(2) cannot wait for, FD_SETSIZE, which this process may open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (2048, hard))
    yield 1024
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
