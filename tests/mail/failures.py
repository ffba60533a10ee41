"""Logins that fail: what the client hears, and what the log says."""

from __future__ import annotations

from typing import Any

from tests.mail.cases import Case
from tests.mail.conftest import Scene
from tests.support.backend import Script, ScriptedServer, hang
from tests.support.peer import Peer

AGES = 1000.0  # seconds that nobody waits for


def says(data: bytes, then: Script = hang) -> Script:
    def follow(peer: Peer) -> None:
        peer.send(data)
        then(peer)

    return follow


def log_in(scene: Scene, case: Case, silent: ScriptedServer | None = None, **changes: Any) -> tuple[bytes, str]:
    """What a client hears in answer to its login, and the line of the log that says why.

    Where that line comes from the silence of a server, time is skipped when it has been asked.
    """
    proxy = scene.proxy(case.protocol, **changes)
    client = scene.client(proxy)
    client.expect(case.greeting)
    client.send(case.login)
    if silent is not None:
        silent.peer()
        while client.is_silent():
            scene.skip(AGES)
    heard = client.rest()
    line = proxy.log.lines[1]
    suffix = f', client: 127.0.0.1, server: 127.0.0.1:{proxy.address[1]}, login: "user@example.com"'
    assert suffix in line
    assert len(proxy.log.lines) == 2
    return heard, line.replace(suffix, "").replace("*1 ", "")
