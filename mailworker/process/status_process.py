"""The status process: the helper that shows what is counted, to whom the configuration allows it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from functools import partial
from time import time
from typing import Final

from mailworker.errors import StartError, escape
from mailworker.event.listener import BoundListener
from mailworker.log.line import describe
from mailworker.mail.counting import label
from mailworker.model import Level
from mailworker.process.cycle import Cycle
from mailworker.process.helper import Helper
from mailworker.status.answers import Answers
from mailworker.status.server import StatusServer
from mailworker.status.snapshot import CertificateState, take
from mailworker.status.standing import posted
from mailworker.wire.http_request import parse

# Seconds between two looks whether a worker of a new program serves.
_LOOK_AGAIN: Final = 0.05


class StatusProcess(Helper):
    """Wakes up when somebody asks. Workers have nothing to tell it: it reads what they count."""

    __slots__ = ("_server",)

    _server: StatusServer

    name = "status process"
    hears = False
    outlasts = False

    @classmethod
    def is_wanted(cls, cycle: Cycle) -> bool:
        """Where there is a `status` block."""
        return cycle.settings.status is not None

    def _listens_on(self) -> Sequence[BoundListener]:
        return self._cycle.status_listeners

    def _load(self) -> None:
        settings, counters = self._cycle.settings, self._cycle.counters
        assert settings.status is not None
        assert counters is not None
        labels = [*dict.fromkeys(map(label, settings.servers))]
        try:
            answers = Answers(
                settings.status,
                partial(take, counters, labels, settings.events.worker_connections, _certificates(self._cycle)),
            )
        except ImportError as error:
            raise StartError(f"the status process needs what is not installed: {error}") from None
        for path in answers.paths:  # what loads something does so now: behind the fence no file is opened
            answers(parse(f"GET {path} HTTP/1.1".encode()), self._cycle.status_listeners[0].address)
        self._server = StatusServer(self._loop, answers, self._log_bug)

    def _begin(self) -> None:
        """Of two programs, as `USR2` brings about, the new one shows it all as soon as it serves."""
        counters = self._cycle.counters
        assert counters is not None
        if counters.displaces:
            if not any(each.serves for each in posted(counters)):
                self._after(_LOOK_AGAIN, self._begin)
                return
            counters.displace()
        listening = [listener.socket for listener in self._cycle.status_listeners]
        self._server.open(listening, self._cycle.settings.events, self._accept_failed, lambda: counters.displaced)

    def _accept_failed(self, error: OSError) -> None:
        self._log.write(Level.CRIT, f"accept4() failed {describe(error)}")

    def _receive(self, packet: memoryview, channel: socket.socket) -> None:
        raise NotImplementedError("no worker has a channel to it")

    def _finish(self, done: Callable[[], None]) -> None:
        self._server.close(done)


def _certificates(cycle: Cycle) -> list[CertificateState]:
    """Each once, however many servers of a zone show it."""
    now = round(time())
    found = {}
    for server, leaf in cycle.certificates:
        subject = escape(leaf.common_name or leaf.subject)
        state = CertificateState(label(server).server, subject, leaf.serial.decode(), now + leaf.seconds_left)
        found[state[:-1]] = state
    return list(found.values())
