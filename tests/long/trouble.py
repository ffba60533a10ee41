"""What befalls a mailworker in `make chaos`, and what its logs say."""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import signal
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil

from mailworker.control.client import NoAnswer
from tests.long.all_features import CERTIFICATES, AllFeatures
from tests.long.clients import Client
from tests.long.held import served
from tests.long.site import ALERT, Site
from tests.support.daemon import wait_until
from tests.support.process import hold, title, written_pid

_BURST = 6  # reloads
_FROZEN = (0.05, 0.6)  # seconds, in which no timeout of the proxy passes
_KEPT_LOGS = 2
_LONGEST_UPGRADE = 120.0  # seconds
_HELPERS = ("mailworker: status process", "mailworker: log writer process")


class Doomed:
    """The clients of workers that were killed."""

    def __init__(self) -> None:
        self._clients: dict[tuple[int, int], Client] = {}  # by the ports of both ends
        self._doomed: set[Client] = set()

    def watch(self, client: Client) -> None:
        """`client` has a port now, which may have been another's before."""
        self._clients[client.ports] = client

    def kill(self, worker: psutil.Process) -> bool:
        """Hold the worker so that nobody comes or goes, note whom it serves, and kill it; False if it is gone."""
        try:
            hold(worker)
        except psutil.NoSuchProcess:
            return False
        self._doomed.update(self._clients[ports] for ports in served(worker.pid) if ports in self._clients)
        worker.kill()
        return True

    def __contains__(self, client: Client) -> bool:
        return client in self._doomed


class Trouble:
    """`seen` counts what happened, `failures` are lines of logs; `doomed` are the clients of killed workers."""

    def __init__(self, site: Site, features: AllFeatures, choose: random.Random) -> None:
        self.doomed = Doomed()
        self.failures: list[str] = []
        self.seen: Counter[str] = Counter()
        self._choose = choose
        self._features = features
        self._holding = threading.Lock()  # whoever stops a process, or lets it continue
        self._leaving = 0  # the process id of the program that was told last to leave
        self._site = site

    def kick(self) -> None:
        """End sessions by the control socket."""
        try:
            self.seen["kicks"] += self._features.kick()
        except NoAnswer:
            self.seen["kicks without an answer"] += 1

    def scrape(self) -> None:
        """Ask for all pages."""
        try:
            for path in ("/metrics", "/status.json", "/", "/readyz"):
                self._features.scrape(path)
                self.seen["scrapes"] += 1
        except (OSError, http.client.HTTPException) as error:
            self.seen[f"scrapes failed by {type(error).__name__}"] += 1

    def kill_helper(self) -> None:
        """Kill the status process or the log writer."""
        helpers = [child for child in self._site.master.children() if _is_helper(child)]
        if helpers:
            self._choose.choice(helpers).kill()
            self.seen["kills of helpers"] += 1

    def kill(self) -> None:
        """Kill a worker."""
        workers = self._site.mailworker.workers(self._site.master.pid)
        with self._holding:
            if workers and self.doomed.kill(self._choose.choice(workers)):
                self.seen["kills"] += 1

    def freeze(self) -> None:
        """Stop any process for a moment, as a machine does that is moved to another host."""
        with suppress(psutil.NoSuchProcess):
            master = self._site.master
            process = self._choose.choice([master, *master.children()])
            with self._holding:
                process.suspend()
            time.sleep(self._choose.uniform(*_FROZEN))
            with self._holding:
                process.resume()
            self.seen["freezes"] += 1

    def reload(self) -> None:
        """Have the configuration read again."""
        self._site.master.send_signal(signal.SIGHUP)
        self.seen["reloads"] += 1

    def reload_again_and_again(self) -> None:
        """Have the configuration read while it is being read."""
        for _ in range(_BURST):
            self.reload()
            time.sleep(self._choose.expovariate(20))

    def upgrade(self) -> None:
        """Start another program, or if that serves by now, have the one before finish its sessions and leave."""
        mailworker = self._site.mailworker
        former = written_pid(mailworker.old_pid_file)
        if former is None:
            if self._choose.random() < 0.5:  # in the middle of a reload
                self.reload()
                time.sleep(self._choose.expovariate(20))
            mailworker.signal(signal.SIGUSR2)
            wait_until(mailworker.old_pid_file.exists, "the change of the program")
        elif former != self._leaving and written_pid(mailworker.pid_file) is not None:
            self._leaving = former
            os.kill(former, signal.SIGQUIT)
            self.seen["upgrades"] += 1

    def finish_upgrade(self) -> None:
        """Return when there is one program; raises TimeoutError."""

        def is_finished() -> bool:
            if self._site.mailworker.old_pid_file.exists():
                self.upgrade()
                return False
            return True

        wait_until(is_finished, "the end of the former program", _LONGEST_UPGRADE)

    def renew(self) -> None:
        """Renew all certificates, and list them meanwhile."""
        self._features.renew_certificates()
        try:
            if self._features.certificates() != CERTIFICATES:
                self.failures.append("a list of certificates is not whole")
            self.seen["lists of certificates"] += 1
        except NoAnswer:
            self.seen["lists of certificates without an answer"] += 1

    def rotate(self) -> None:
        """Begin the logs anew, and read those that are old."""
        for log in self._logs:
            log.rename(log.with_name(f"{log.name}.{time.time_ns()}"))
        for path in (self._site.mailworker.pid_file, self._site.mailworker.old_pid_file):
            if (master := written_pid(path)) is not None:
                with suppress(ProcessLookupError):
                    os.kill(master, signal.SIGUSR1)
        self.seen["rotations"] += 1
        for log in self._logs:
            for old in _rotated(log)[:-_KEPT_LOGS]:
                self._read_log(old)
                old.unlink()

    def read_logs(self) -> None:
        """All there are, which are then empty for those that come after us."""
        for log in self._logs:
            for each in (*_rotated(log), log):
                self._read_log(each)
                os.truncate(each, 0)

    @property
    def _logs(self) -> tuple[Path, Path]:
        log = self._site.mailworker.error_log
        return log, log.with_name("access.log")

    def _read_log(self, log: Path) -> None:
        """What an operator would have to look into: alerts but for those that say that we have killed somebody."""
        if log.name.startswith("access"):
            self._read_access_log(log)
            return
        for line in log.read_text(errors="replace").splitlines():
            self.seen["log lines"] += 1
            if re.search(ALERT, line):
                self.seen["alerts"] += 1
                self.failures.append(line)

    def _read_access_log(self, log: Path) -> None:
        for line in log.read_text(errors="replace").splitlines():
            self.seen["lines of access logs"] += 1
            try:
                json.loads(line)
            except ValueError:
                self.failures.append(f"no JSON: {line}")


def _is_helper(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return title(process).startswith(_HELPERS)
    return False


def _rotated(log: Path) -> list[Path]:
    return sorted(log.parent.glob(f"{log.name}.*"))
