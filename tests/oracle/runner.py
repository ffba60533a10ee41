"""Plays cases through one proxy."""

from __future__ import annotations

import shutil
import socket
import ssl
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from string import Template

from tests.oracle import addresses
from tests.oracle.case import Case
from tests.oracle.client import Client
from tests.oracle.configuration import SERVERS, configuration, port_name
from tests.oracle.proxies import Start
from tests.oracle.services import Scripts, auth_service, backend
from tests.oracle.transcript import Transcript, sessions
from tests.support.certificates import CertificateAuthority, rsa_key
from tests.support.daemon import Address, greets
from tests.support.ports import Ports

# Cases that are played at once; most of their time is waiting.
PARALLEL = 48

SENTINEL = "imap"
"""The server that is asked for a last greeting: when it comes, everything before it has been seen and logged."""


@dataclass(frozen=True, slots=True)
class Run:
    """The transcripts by the cases' numbers, and the log's lines that belong to no session."""

    transcripts: dict[int, Transcript]
    log: list[str]


def reserve() -> socket.socket:
    """Keep a port of all addresses of both families, for a server with SO_REUSEADDR."""
    held = socket.socket(socket.AF_INET6)
    held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    held.bind(("::", 0))
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return held


class Bench:
    """What both proxies share, so that they can be given the same text: a certificate and ports."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="oracle-"))
        self.folder.chmod(0o755)
        authority = CertificateAuthority(self.folder)
        issued = authority.issue_server("server", rsa_key(), ("proxy.test",))
        self._files = {"certificate": issued.certificate, "key": issued.key}
        self._ports = Ports()
        self._backends = reserve()
        self._ports["backend"] = int(self._backends.getsockname()[1])
        self.tls = ssl.create_default_context(cafile=authority.path)
        self.tls.check_hostname = False  # it asks for no name, of which the auth service hears from mailworker alone

    def play(self, start: Start, cases: Sequence[tuple[int, Case]]) -> Run:
        """Play numbered `cases`. Raises ServerUnavailable where the proxy is not installed."""
        scripts = Scripts(cases)
        names = {name: self._ports[name] for name in ("auth", "closed", "backend")}
        scripts.ports.update(names)
        servers = {name: self._ports[port_name(name)] for name in SERVERS}
        text = Template(configuration()).substitute(self._files, **self._ports)
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        folder.chmod(0o755)
        with ExitStack() as stack:
            stack.callback(auth_service(scripts, names["auth"]).stop)
            stack.callback(backend(scripts, names["backend"]).stop)
            proxy = start(folder, text, [("127.0.0.1", port) for port in servers.values()])
            stack.callback(proxy.stop)
            with ThreadPoolExecutor(PARALLEL) as pool:
                list(pool.map(lambda number: self._play(scripts, number, servers), scripts.cases))
            greets(("127.0.0.1", servers[SENTINEL]))
        log = sessions((folder / "error.log").read_text(encoding="utf-8", errors="backslashreplace"))
        for number, transcript in scripts.transcripts.items():
            transcript.log = log.get(addresses.client(number), [])
        return Run(scripts.transcripts, log.get("", []))

    def close(self) -> None:
        self._ports.close()
        self._backends.close()
        shutil.rmtree(self.folder)

    def _play(self, scripts: Scripts, number: int, servers: dict[str, int]) -> None:
        case = scripts.cases[number]
        server = SERVERS[case.server]
        address: Address = ("127.0.0.1", servers[case.server])
        client = Client(addresses.client(number), address, self.tls, lambda data: scripts.translate(number, data))
        scripts.transcripts[number].client = client.lines
        client.play(case, greets=server.greets, secure="ssl" in server.listen)
