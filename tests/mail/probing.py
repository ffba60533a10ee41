"""Probes, run to their end."""

from __future__ import annotations

from typing import Any

from mailworker.event.connections import Connections
from mailworker.event.loop import Loop
from mailworker.event.task import Task
from mailworker.mail.probe import Envelope, Finding, Manner, probe
from mailworker.model import Address
from mailworker.tls.backend import BackendTls
from tests.support.settings import SERVER_NAME, proxy_settings


def findings(
    address: Address, envelope: Envelope | None = None, tls: BackendTls | None = None, **proxy: Any
) -> list[Finding]:
    """The findings of a probe of that backend, for a server with these fields of ProxySettings changed."""
    manner = Manner(SERVER_NAME, proxy_settings(**proxy), tls)
    bugs: list[BaseException] = []
    loop, found = Loop(bugs.append), []
    connections = Connections(loop, 10)

    async def run() -> None:
        found.extend(await probe(connections, address, envelope or Envelope(), manner))
        loop.stop()

    task: Any = Task(loop, run())
    task.resume()
    if not found:
        loop.run()
    assert not bugs
    assert not connections.in_use
    loop.close()
    return found
