"""Counters of two servers, and what is shown of them."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from mailworker.config.destinations import AccessLogFile
from mailworker.config.status import StatusSettings
from mailworker.mail.counting import label, word
from mailworker.mail.limits.zones import ZoneUse
from mailworker.mail.vitals import words_of_workers
from mailworker.model import Address, InetAddress
from mailworker.process.log_counts import log_words
from mailworker.process.steps import at_once
from mailworker.shm.counters import Counters
from mailworker.status.answers import Answers
from mailworker.status.master_state import MasterState, Process, serving
from mailworker.status.server import Response
from mailworker.status.snapshot import CertificateState, DirectoryState, Snapshot, take
from mailworker.wire.http_request import HttpRequest
from tests.support.settings import mail_server

SERVERS = (mail_server("imap", status_zone="in"), mail_server("smtp", status_zone='out"\\'))
LOGS = (AccessLogFile(Path("/var/log/mailworker/access.log")),)
LABELS = tuple(map(label, SERVERS))
IMAP, SMTP = LABELS
PEER = InetAddress("127.0.0.1", 1)


class Scene:
    def __init__(self, settings: StatusSettings | None = None) -> None:
        self.counters = Counters("status", (*words_of_workers(SERVERS), *log_words(LOGS)))
        self.counters.stop_publishing()  # else its descriptor is there until the collector finds this circle
        self.state = MasterState()
        self.processes: list[Process] = []
        self.certificates: list[CertificateState] = []
        self.directories: list[DirectoryState] = []
        self.limits: list[ZoneUse] = []
        look = partial(serving, self.counters)
        self.answers = Answers(settings or StatusSettings((), ("status.example",), ()), self.take, look)

    def take(self) -> Snapshot:
        return take(
            *(self.counters, LABELS, 512, self.certificates),
            limits=lambda: self.limits,
            directories=lambda: self.directories,
        )

    def work(self, row: int, *, leaving: bool = False, pid: int = 0, number: int | None = None) -> None:
        self.counters.claim(row)
        self.counters.serve()
        self.processes.append(Process(pid or os.getpid(), row, row if number is None else number, True, leaving))
        self.post()

    def help(self, row: int) -> None:
        """A helper process, which is no worker, serves."""
        self.counters.claim(row)
        self.counters.serve()
        self.processes.append(Process(os.getpid(), row, 0, False, False))
        self.post()

    def post(self, *, stopping: bool = False) -> None:
        self.state.publish(self.counters, self.processes, stopping=stopping)

    def count(self, row: int, *name: str, amount: int = 1) -> None:
        self.counters.claim(row)
        assert self.counters.row is not None
        self.counters.row[self.counters.place(word(*name))] += amount
        self.counters.serve()

    def get(self, path: str, **headers: str) -> Response:
        return self.ask(HttpRequest("GET", path, "", headers), PEER)

    def ask(self, request: HttpRequest, peer: Address) -> Response:
        answer = self.answers(request, peer)
        return answer if isinstance(answer, Response) else at_once(answer)
