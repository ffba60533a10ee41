"""Probes, run to their end."""

from __future__ import annotations

from typing import Any

from mailworker.config.settings import MailServer
from mailworker.event.connections import Connections
from mailworker.event.loop import Loop
from mailworker.event.task import Task
from mailworker.mail.probe import Envelope, Finding, probe
from mailworker.model import Address
from mailworker.tls.backend import BackendTls
from tests.support.settings import mail_server


def findings(
    address: Address,
    envelope: Envelope | None = None,
    settings: MailServer | None = None,
    tls: BackendTls | None = None,
) -> list[Finding]:
    """What a probe of that backend comes to."""
    bugs: list[BaseException] = []
    loop, found = Loop(bugs.append), []
    connections = Connections(loop, 10)

    async def run() -> None:
        found.extend(await probe(connections, address, envelope or Envelope(), settings or mail_server("smtp"), tls))
        loop.stop()

    task: Any = Task(loop, run())
    task.resume()
    if not found:
        loop.run()
    assert not bugs
    assert not connections.in_use
    loop.close()
    return found
