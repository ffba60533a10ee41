"""Row 49: system calls that fail cost the sessions that they fail for, at most, and never a worker."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.long.clients import Client, Outcome, connecting
from tests.long.site import LOST, WORKERS, Site, running
from tests.support.daemon import ServerUnavailable, find_program

CALLS = 12  # that fail, in each worker
# What a call that is interrupted or would block is: nothing to anybody.
HARMLESS = (
    ("epoll_wait", "EINTR"),
    ("recvfrom", "EINTR"),
    ("sendto", "EINTR"),
    ("accept4", "EINTR"),
    ("accept4", "ECONNABORTED"),
    ("recvfrom", "EAGAIN"),
    ("sendto", "EAGAIN"),
)
HARMFUL = (
    ("accept4", "EMFILE"),
    ("accept4", "ENFILE"),
    ("accept4", "ENOMEM"),
    ("accept4", "ENOBUFS"),
    ("epoll_ctl", "ENOMEM"),
    ("epoll_ctl", "ENOSPC"),
    ("recvfrom", "ENOMEM"),
    ("recvfrom", "ECONNRESET"),
    ("sendto", "EPIPE"),
    ("sendto", "ENOBUFS"),
    ("read", "ECONNRESET"),
    ("write", "EPIPE"),
    ("write", "ENOSPC"),
    ("socket", "EMFILE"),
    ("socket", "ENOMEM"),
    ("connect", "EADDRNOTAVAIL"),
    ("connect", "ENETUNREACH"),
    ("setsockopt", "ENOMEM"),
    ("getsockname", "ENOBUFS"),
    ("shutdown", "ENOTCONN"),
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may trace a worker")


@pytest.fixture(scope="module")
def strace() -> str:
    try:
        return find_program("strace")
    except ServerUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running(main="worker_sandbox off;", timeout="5s") as running_site:
        assert running_site.served()
        running_site.mailworker.alerts.append(LOST)  # a line of the log may be what a call fails for
        yield running_site


@contextmanager
def failing(strace: str, site: Site, call: str, error: str) -> Iterator[None]:
    """The first CALLS such calls of each worker fail."""
    workers = [f"--attach={worker}" for worker in site.mailworker.await_workers(WORKERS)]
    injection = f"inject={call}:error={error}:when=1..{CALLS}"
    command = [strace, "-o", "/dev/null", "-e", f"trace={call}", "-e", injection, *workers]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr is not None
        for _ in workers:
            line = tracer.stderr.readline()
            assert " attached" in line, line
        try:
            yield
        finally:
            tracer.terminate()


async def log_in(client: Client) -> Outcome:
    with connecting(client):
        return await client.log_in()


async def log_in_everywhere(site: Site) -> list[Outcome]:
    clients = [Client(door, "somebody") for door in site.doors * 2]
    return await asyncio.gather(*map(log_in, clients))


@pytest.mark.parametrize(("call", "error"), HARMLESS)
def test_a_call_that_is_to_be_made_again_is(strace: str, site: Site, call: str, error: str) -> None:
    workers, alerts = site.mailworker.await_workers(WORKERS), site.alerts()
    with failing(strace, site, call, error):
        assert set(asyncio.run(log_in_everywhere(site))) == {Outcome.LOGGED_IN}
    assert site.served()
    assert site.mailworker.await_workers(WORKERS) == workers
    assert site.alerts() == alerts


@pytest.mark.parametrize(("call", "error"), HARMFUL)
def test_a_call_that_fails_hurts_nobody_later(strace: str, site: Site, call: str, error: str) -> None:
    workers, alerts = site.mailworker.await_workers(WORKERS), site.alerts()
    before = site.census()
    with failing(strace, site, call, error):
        assert Outcome.HUNG not in asyncio.run(log_in_everywhere(site))
    assert site.served()
    assert site.mailworker.await_workers(WORKERS) == workers
    assert site.census() == before
    assert site.alerts() == alerts
