"""A mailworker with two servers for each protocol, and the auth service and backends behind it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from tests.long.clients import Client, Door, Outcome, connecting
from tests.long.mailboxes import PROTOCOLS
from tests.long.peers import HOST
from tests.support.certificates import Certificate, self_signed
from tests.support.ports import Ports
from tests.support.process import Mailworker

WORKERS = 2
ROOT = Path(__file__).parents[2]
# What says more than that we have killed a worker.
ALERT = r"\[(alert|emerg)\](?!.* exited on signal 9$)"
LOST = r"(write|send)\(\) to (syslog )?\S+ failed \(\d+: [^)]+\), \d+ lines? lost$"
"""What a log says that has taken no lines for a while."""

_CALM = 30.0  # seconds that processes and descriptors get to go away
_POLL = 0.1
_SHARED_NAMES = Path("/dev/shm")


@dataclass(frozen=True, slots=True)
class Extra:
    """What a configuration has beside what all have: directives of the main context and of `mail`, and parameters of
    `listen`."""

    main: str
    mail: str
    timeout: str
    log_level: str
    listen: str


class Peers:
    """The process of `tests.long.peers`."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.long.peers"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.ports: dict[str, int] = json.loads(self._process.stdout.readline())
        self.auth_port = self.ports["auth"]

    def finish(self) -> dict[str, int]:
        """End it; returns what it has seen."""
        output, _ = self._process.communicate("", timeout=_CALM)
        seen: dict[str, int] = json.loads(output)
        return seen

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.communicate()


class Site:
    """`doors` are the ports of the proxy. It has so many `helpers` beside its workers."""

    def __init__(self, mailworker: Mailworker, peers: Peers, doors: list[Door], helpers: int = 0) -> None:
        self.doors = doors
        self._helpers = helpers
        self.mailworker = mailworker
        self.peers = peers

    @property
    def master(self) -> psutil.Process:
        """The master that is in charge."""
        return psutil.Process(self.mailworker.in_charge)

    def census(self, former: Mapping[str, int] | None = None) -> dict[str, int]:
        """What must be as before once all is quiet: waits for that, or for what is `former`, but not for ever."""
        end = time.monotonic() + _CALM
        expected, now = former or {}, self._count()
        while time.monotonic() < end:
            if now.items() <= expected.items() and now["processes"] == 1 + WORKERS + self._helpers:
                break
            if former is None:
                expected = now
            time.sleep(_POLL)
            now = self._count()
        return now

    def served(self) -> bool:
        """Whether each door lets somebody in, to say something and to leave in order."""
        return asyncio.run(self._use_all_doors())

    async def _use_all_doors(self) -> bool:
        for door in self.doors:
            with connecting(Client(door, "somebody")) as client:
                if await client.log_in() is not Outcome.LOGGED_IN:
                    return False
                await client.echo("hello")
                await client.say_goodbye()
        return True

    def memory(self) -> int:
        """Bytes that the workers share with nobody."""
        return sum(int(worker.memory_full_info().uss) for worker in self.mailworker.workers())

    def alerts(self) -> list[str]:
        """Lines of the log that an operator would have to look into, but for those that the test provokes."""
        provoked = self.mailworker.alerts
        return [line for line in self.mailworker.lines(ALERT) if not any(re.search(each, line) for each in provoked)]

    def _count(self) -> dict[str, int]:
        master = self.master
        family = [master, *master.children(recursive=True)]
        return {
            "processes": len(family),
            "descriptors of the master": master.num_fds(),
            "descriptors of workers": sum(_descriptors(process) for process in family[1:]),
            "zones of the master": _shared_mappings(master.pid),
            "names in /dev/shm": len(list(_SHARED_NAMES.glob("*mailworker*"))),
        }


def _descriptors(process: psutil.Process) -> int:
    with suppress(psutil.NoSuchProcess):
        return int(process.num_fds())
    return 0


def _shared_mappings(pid: int) -> int:
    """Anonymous shared memory looks like this."""
    return Path(f"/proc/{pid}/maps").read_text().count("/dev/zero (deleted)")


def configuration(auth_port: int, doors: list[Door], certificate: Certificate, extra: Extra) -> str:
    """One server for each door."""
    servers = "\n".join(
        f"server {{ protocol {door.protocol}; listen {HOST}:{door.port} {extra.listen} {'ssl' * door.secure}; }}"
        for door in doors
    )
    return f"""
        error_log logs/error.log {extra.log_level};
        worker_processes {WORKERS};
        {extra.main}
        events {{ worker_connections 4096; }}
        mail {{
            server_name mail.example;
            auth_http {HOST}:{auth_port}/;
            auth_http_timeout 2s;
            timeout {extra.timeout};
            imap_auth plain login;
            ssl_certificate {certificate.certificate};
            ssl_certificate_key {certificate.key};
            ssl_session_cache shared:SSL:1m;
            {extra.mail}
            {servers}
        }}
    """


@contextmanager
def running(
    main: str = "", mail: str = "", timeout: str = "10s", log_level: str = "info", listen: str = ""
) -> Iterator[Site]:
    """The whole site, in a folder of its own; for the arguments see `Extra`."""
    with TemporaryDirectory(prefix="mailworker-long-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        extra = Extra(main, mail, timeout, log_level, listen)
        peers = Peers()
        stack.callback(peers.kill)
        ports = Ports()
        stack.callback(ports.close)
        doors = [
            Door(protocol, ports[f"{protocol} {secure}"], secure) for protocol in PROTOCOLS for secure in (False, True)
        ]
        certificate = self_signed(folder, "server", "/CN=mail.example")
        mailworker = Mailworker(folder, configuration(peers.auth_port, doors, certificate, extra))
        mailworker.alerts.append("exited on signal 9$")
        mailworker.start()
        stack.callback(mailworker.stop)
        mailworker.await_workers(WORKERS)
        yield Site(mailworker, peers, doors)


def stop_in_order() -> None:
    """Let SIGTERM do as Ctrl-C does, so that nothing is left running."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def system() -> dict[str, str | int | None]:
    """Where figures come from."""
    revision = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return {
        "processors": os.cpu_count(),
        "python": sys.version.split()[0],
        "revision": revision.stdout.strip(),
    }
