"""Sessions that end, for each of the reasons."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mailworker.mail.end import End
from tests.mail.cases import IMAP, Case
from tests.mail.conftest import Scene
from tests.support.backend import Script, hang
from tests.support.peer import Peer
from tests.support.proxy import Proxy

AGES = 1000.0  # seconds that nobody waits for
BROKEN = b"HTTP/1.0 500 broken\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Stage:
    """Makes the proxies and clients of a session."""

    scene: Scene
    folder: Path
    resources: ExitStack
    patch: pytest.MonkeyPatch

    def proxy(self, case: Case = IMAP, backend: Script | None = None, **changes: Any) -> Proxy:
        """A proxy in front of a backend that follows its script, or of one that follows `backend`."""
        auth = self.scene.auth_for(self.scene.backend(case.script() if backend is None else backend))
        return self.scene.proxy(case.protocol, auth, **changes)

    def tls(self, **changes: Any) -> Proxy:
        """A proxy whose clients begin by TLS."""
        return self.scene.tls_proxy("imap", self.scene.auth(hang), implicit_tls=True, **changes)

    def greeted(self, proxy: Proxy, case: Case = IMAP) -> Peer:
        client = self.scene.client(proxy)
        client.expect(case.greeting)
        return client

    def wants_in(self, proxy: Proxy, case: Case = IMAP) -> Peer:
        """A client that has sent its login."""
        client = self.greeted(proxy, case)
        client.send(case.login)
        return client

    def relayed(self, proxy: Proxy) -> Peer:
        client = self.greeted(proxy)
        client.talk((IMAP.login, IMAP.answer))
        proxy.log.find("client logged in")
        return client

    def skip_until_over(self, proxy: Proxy, client: Peer) -> None:
        while not proxy.ended:
            self.scene.skip(AGES)
            client.is_silent(0.02)

    def answered(self, *answers: bytes | Script, case: Case = IMAP, **changes: Any) -> Proxy:
        """After a login to which the auth service gives these answers."""
        proxy = self.scene.proxy(case.protocol, self.scene.auth(*answers), **changes)
        self.wants_in(proxy, case).rest()
        return proxy

    def backed(self, backend: Script, case: Case = IMAP, **changes: Any) -> Proxy:
        """After a login at a backend that follows its script."""
        proxy = self.proxy(case, backend, **changes)
        self.wants_in(proxy, case).rest()
        return proxy

    def said(self, words: bytes, case: Case = IMAP, **changes: Any) -> Proxy:
        """After a client that was greeted has sent these words."""
        proxy = self.proxy(case, **changes)
        self.greeted(proxy, case).send(words)
        return proxy


Play = Callable[[Stage], Proxy]
PLAYS: list[tuple[End, str, Play]] = []


def ends_with(reason: End) -> Callable[[Play], Play]:
    def enter(play: Play) -> Play:
        all_end_with(reason, **{play.__name__: play})
        return play

    return enter


def all_end_with(reason: End, **plays: Play) -> None:
    PLAYS.extend((reason, name, play) for name, play in plays.items())
