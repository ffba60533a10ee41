"""Rows 47 and 48: a thousand clients that dawdle, and hundreds of peers that read nothing, are cut in time."""

from __future__ import annotations

import asyncio
import resource
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress

import psutil
import pytest

from tests.long.clients import Client, Outcome
from tests.long.site import Site, running
from tests.support.ports import Ports

EACH = 170  # clients of each kind
TIMEOUT = 4.0
SLACK = 15.0  # of a machine that is busy: they are all there at once
PAUSE = 0.5

STUCK = 200
PROXY_TIMEOUT = 3.0
SMALL = "sndbuf=16k"  # else the system takes in megabytes for each client that reads nothing
MEGABYTE = 1 << 20
GROWTH = 8 * MEGABYTE  # of both workers together

Dawdle = Callable[[StreamReader, StreamWriter], Awaitable[None]]


@pytest.fixture(scope="module")
def proxied_port() -> Iterator[int]:
    ports = Ports()
    yield ports["proxied"]
    ports.close()


@pytest.fixture(scope="module")
def site(proxied_port: int) -> Iterator[Site]:
    server = f"server {{ listen 127.0.0.1:{proxied_port} proxy_protocol; protocol imap; }}"
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    mail = f"starttls on; proxy_timeout {PROXY_TIMEOUT:.0f}s; {server}"
    with running(mail=mail, timeout=f"{TIMEOUT:.0f}s", log_level="error", listen=SMALL) as running_site:
        yield running_site


async def say_nothing(reader: StreamReader, writer: StreamWriter) -> None:
    """And wait for the end."""
    while await reader.read(1000):
        pass


def say_once(words: bytes) -> Dawdle:
    async def dawdle(reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(words)
        await say_nothing(reader, writer)

    return dawdle


def say_again_and_again(words: bytes) -> Dawdle:
    async def dawdle(reader: StreamReader, writer: StreamWriter) -> None:
        end = asyncio.ensure_future(say_nothing(reader, writer))
        while not end.done():
            writer.write(words)
            await asyncio.wait([end], timeout=PAUSE)
        await end

    return dawdle


async def seconds_until_cut(port: int, dawdle: Dawdle) -> float:
    began = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with suppress(OSError):
        await dawdle(reader, writer)
    writer.transport.abort()
    return time.monotonic() - began


async def slowest_login(site: Site, others: asyncio.Future[list[float]]) -> float:
    """While `others` last."""
    slowest, number = 0.0, 0
    while not others.done():
        began = time.monotonic()
        client = Client(site.doors[number % len(site.doors)], "somebody")
        assert await client.log_in() is Outcome.LOGGED_IN
        slowest = max(slowest, time.monotonic() - began)
        client.leave()
        number += 1
        await asyncio.wait([others], timeout=PAUSE / 10)
    return slowest


async def besiege(site: Site, proxied_port: int) -> tuple[list[float], float]:
    ports = {(door.protocol, door.secure): door.port for door in site.doors}
    kinds = [
        (ports["imap", False], say_nothing),
        (ports["smtp", False], say_again_and_again(b"x")),
        (ports["pop3", False], say_again_and_again(b"NOOP\r\n")),
        (ports["imap", False], say_once(b"a STARTTLS\r\n")),
        (ports["smtp", True], say_once(b"\x16\x03\x01\x02\x00\x01")),
        (proxied_port, say_once(b"PROXY TCP4 192.0.2.")),
    ]
    siege = asyncio.gather(*[seconds_until_cut(port, kind) for port, kind in kinds for _ in range(EACH)])
    slowest = await slowest_login(site, siege)
    return await siege, slowest


def test_a_thousand_clients_that_dawdle_are_gone_in_time_and_hold_up_nobody(site: Site, proxied_port: int) -> None:
    before = site.census()
    seconds, slowest = asyncio.run(besiege(site, proxied_port))
    assert len(seconds) > 1000
    assert min(seconds) > TIMEOUT * 0.9
    assert max(seconds) < TIMEOUT + SLACK
    assert slowest < TIMEOUT + SLACK
    assert site.census() == before
    assert site.alerts() == []


@asynccontextmanager
async def logged_in(site: Site, count: int) -> AsyncIterator[list[Client]]:
    """Clients with small buffers of their own; all have left afterwards."""
    clients = [Client(site.doors[number % len(site.doors)], "somebody") for number in range(count)]
    try:
        for client in clients:
            assert await client.log_in() is Outcome.LOGGED_IN
        yield clients
    finally:
        for client in clients:
            client.leave()


async def get_stuck(site: Site, words: bytes, reads: bool) -> tuple[int, float]:
    """How much memory grows while peers read nothing, and after how many seconds all have been cut."""
    async with logged_in(site, STUCK) as clients:
        before, began = site.memory(), time.monotonic()
        for client in clients:
            client.say(words)
            if not reads:
                client.stop_reading()
        await asyncio.sleep(PROXY_TIMEOUT / 2)
        growth = site.memory() - before
        workers = site.mailworker.workers()
        while (held := [each for worker in workers for each in established(worker)]) and cut_in_time(began):
            await asyncio.sleep(0.1)
        assert held == []
        return growth, time.monotonic() - began


def cut_in_time(began: float) -> bool:
    return time.monotonic() - began < PROXY_TIMEOUT + SLACK


def established(worker: psutil.Process) -> list[object]:
    return [each for each in worker.net_connections("tcp") if each.raddr and each.status == psutil.CONN_ESTABLISHED]


@pytest.mark.parametrize(
    ("words", "reads"),
    [
        (b"BULK 1500000 1\r\n", False),  # the backend sends without end to a client that does not read
        (b"HANG\r\n" + b"x" * 2 * MEGABYTE, True),  # the client sends much to a backend that does not read
    ],
    ids=["client", "backend"],
)
def test_peers_that_read_nothing_are_cut_and_cost_no_memory(site: Site, words: bytes, reads: bool) -> None:
    before = site.census()
    growth, _ = asyncio.run(get_stuck(site, words, reads))
    assert growth < GROWTH
    assert site.census() == before
    assert site.served()
    assert site.alerts() == []
