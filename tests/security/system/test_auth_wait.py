"""Row 52: clients that are told to wait, and leave instead, leave nothing behind."""

from __future__ import annotations

import asyncio

from tests.long.clients import Client
from tests.long.peers import Fault
from tests.long.site import Site, running

CLIENTS = 240


async def log_in_and_leave(site: Site) -> None:
    """All wait for an answer that takes an hour, until they lose patience."""
    user = f"{Fault.DENIED_FOR_AN_HOUR.value}.1"
    clients = [Client(site.doors[number % len(site.doors)], user) for number in range(CLIENTS)]
    logins = [asyncio.create_task(client.log_in(lambda: None)) for client in clients]
    mailworker = site.mailworker
    while sum(worker.num_fds() for worker in mailworker.workers()) < CLIENTS or not all(c.ports[0] for c in clients):
        await asyncio.sleep(0.05)
    done, _ = await asyncio.wait(logins, timeout=1.0)
    assert not done
    for client, login in zip(clients, logins, strict=True):
        login.cancel()
        client.leave()
    await asyncio.wait(logins)


def test_clients_that_wait_for_an_hour_and_leave_at_once() -> None:
    with running(timeout="2s", log_level="error") as site:
        assert site.served()
        before = site.census()
        asyncio.run(log_in_and_leave(site))
        site.mailworker.await_true(lambda: site.census() == before, "the end of all that was waited for")
        assert site.served()
        assert site.alerts() == []
