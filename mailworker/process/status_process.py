"""The status process: the helper that serves the status page, metrics, and the control socket."""

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
from mailworker.process.command_context import command_context, limit_zones
from mailworker.process.cycle import Cycle
from mailworker.process.helper import Helper
from mailworker.process.link import PAIRS, Answer
from mailworker.process.questions import Questions
from mailworker.process.steps import at_once
from mailworker.process.system import identity
from mailworker.shm.counters import Counters
from mailworker.status.answers import Answers
from mailworker.status.control import run_command
from mailworker.status.control_server import ControlServer
from mailworker.status.master_state import posted, serving
from mailworker.status.server import Respond, Response, StatusServer, plain
from mailworker.status.snapshot import NOTHING, CertificateState, DirectoryState, take
from mailworker.wire.http_request import parse

# Seconds between two checks whether a worker of a new binary serves.
_LOOK_AGAIN: Final = 0.05

# Workers have a higher priority: a status page can wait, a login cannot.
_NICENESS: Final = 10


class StatusProcess(Helper):
    """Works only when a client asks. Workers send it nothing: it reads their counters."""

    __slots__ = ("_control", "_questions", "_server")

    _questions: Questions
    _control: ControlServer
    _server: StatusServer

    name = "status process"
    asks = True
    uses = (PAIRS,)  # it shows certificates
    has_channels = False

    @classmethod
    def is_wanted(cls, cycle: Cycle) -> bool:
        """Whether there is a `status` block or a `control` block."""
        return cycle.scoreboard is not None

    @property
    def _counters(self) -> Counters:
        assert self._cycle.scoreboard is not None, "see is_wanted"
        return self._cycle.scoreboard

    def _listens_on(self) -> Sequence[BoundListener]:
        return self._cycle.status_listeners

    def _load(self) -> None:
        self._questions = Questions(self._master.link)
        context = command_context(self._cycle, self._counters, self._loop, self._questions)
        self._control = ControlServer(self._loop, partial(run_command, context), self._log_bug)
        self._server = StatusServer(self._loop, self._load_answers(), self._log_bug)

    def _load_answers(self) -> Respond:
        settings, counters = self._cycle.settings, self._counters
        if settings.status is None:
            return lambda *_: plain(404)
        labels = [*dict.fromkeys(map(label, settings.servers))]
        try:
            answers = Answers(
                settings.status,
                partial(
                    take,
                    counters,
                    labels,
                    settings.events.worker_connections,
                    _certificates(self._cycle),
                    limits=limit_zones(self._cycle).usage,
                    directories=partial(_directories, self._cycle),
                ),
                partial(serving, counters),
            )
            rehearsed = Answers(settings.status, lambda: NOTHING, partial(serving, counters))
        except ImportError as error:
            raise StartError(f"the status process needs a module that is not installed: {error}") from None
        # Each answer is made once now, as it may import modules, and no file can be opened in the sandbox. These are
        # about no servers, as answers about thousands take seconds.
        for path in rehearsed.paths:
            answer = rehearsed(parse(f"GET {path} HTTP/1.1".encode()), self._cycle.status_listeners[0].address)
            if not isinstance(answer, Response):
                at_once(answer)
        return answers

    def _prepare(self) -> None:
        identity.give_way(_NICENESS, self._log)

    def _begin(self) -> None:
        """Begin to serve. After SIGUSR2, the new binary takes over the sockets when one of its workers serves."""
        counters = self._counters
        if counters.displaces:
            if not any(each.serves for each in posted(counters)):
                self._after(_LOOK_AGAIN, self._begin)
                return
            counters.displace()
        settings = self._cycle.settings
        shown = () if settings.status is None else settings.status.listens
        listening = [(listener.socket, True) for listener in self._cycle.listeners_of(shown)]
        self._server.open(listening, settings.events, self._accept_failed, lambda: counters.displaced)
        self._control.open(self._steered(), settings.events, self._accept_failed, lambda: counters.displaced)

    def _steered(self) -> list[tuple[socket.socket, bool]]:
        """The control sockets, each with whether it is read-only."""
        control = self._cycle.settings.control
        sockets = () if control is None else control.sockets
        return [
            (listener.socket, each.readonly)
            for each in sockets
            for listener in self._cycle.listeners_of((each.listen,))
        ]

    def _accept_failed(self, error: OSError) -> None:
        self._log.write(Level.CRIT, f"accept4() failed {describe(error)}")

    def _receive(self, packet: memoryview, channel: socket.socket) -> None:
        raise NotImplementedError("no worker has a channel to it")

    def _take_answer(self, answer: Answer) -> None:
        self._questions.answered(answer)

    def _finish(self, done: Callable[[], None]) -> None:
        open_ones = [self._server, self._control]

        def closed() -> None:
            open_ones.pop()
            if not open_ones:
                done()

        self._server.close(closed)
        self._control.close(closed)


def _certificates(cycle: Cycle) -> list[CertificateState]:
    """Each certificate once, however many servers of a zone show it."""
    now = round(time())
    found = {}
    for server, leaf, _ in cycle.certificates:
        subject = escape(leaf.common_name or leaf.subject)
        begins, expires = now + leaf.seconds_before, now + leaf.seconds_left
        state = CertificateState(label(server).server, subject, leaf.serial.decode(), begins, expires)
        found[state[:3]] = state
    return list(found.values())


def _directories(cycle: Cycle) -> list[DirectoryState]:
    return [
        DirectoryState(escape(path), *scan.folder.states(time()), len(scan.faults))
        for path, scan in cycle.watched.folders.scans.items()
    ]
