"""The common setting of nginx and mailworker: the same configuration, peers, clients and certificates for both."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bench.processes import Tree
from bench.programs import Clients, Load, Program, build
from tests.oracle.proxies import Proxy, Start, mailworker, mailworker_command, nginx
from tests.support.certificates import Certificate, CertificateAuthority, ecdsa_key, rsa_key
from tests.support.daemon import ServerUnavailable
from tests.support.nginx import nginx_command
from tests.support.ports import Ports

PROTOCOLS = ("imap", "pop3", "smtp")
# nginx has no ManageSieve: what it costs is compared with our own IMAP.
WITH_SIEVE = ("imap", "sieve")
SERVERS: dict[str, Start] = {"nginx": nginx, "mailworker": mailworker}
COMMANDS: dict[str, Callable[[Path, str], list[str]]] = {"nginx": nginx_command, "mailworker": mailworker_command}
"""The command lines that serve a configuration in a folder."""

# Two descriptors for each of 8,000 sessions in a worker, one in the clients' process and one in the backends'.
DESCRIPTORS = 20_000
_PAUSE = 0.02  # seconds; a server that was running less than that ago may not be done yet

CONFIGURATION = """\
{main}
worker_processes {workers};
worker_rlimit_nofile {descriptors};
error_log error.log error;
pid proxy.pid;
events {{ worker_connections {connections}; }}
mail {{
    server_name bench.test;
    auth_http 127.0.0.1:{auth}/{answers};
    proxy_buffer {buffer};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    {extra}
{servers}
}}
"""


@dataclass(frozen=True, slots=True)
class Setup:
    """The setup of both servers; `main` are directives for the main context, `extra` for the block `mail`.

    A `site` replaces its servers.

    `by_backend`: backends decide about logins without an auth service, which nginx cannot do.

    `answers` is the path of the auth service: at "varied" each answer is another.
    """

    workers: int = 1
    connections: int = 1024
    buffer: str = "4k"
    certificate: str = "ecdsa"
    main: str = ""
    extra: str = ""
    site: Site | None = None
    by_backend: bool = False
    protocols: tuple[str, ...] = PROTOCOLS
    answers: str = "auth"


def setup_for(server: str, name: str, extra: str = "") -> Setup:
    """The setup of `server` for the measure `name`, where single logins are examined."""
    ours = server == "mailworker"
    protocols = WITH_SIEVE if ours and name.startswith("sieve-") else PROTOCOLS
    certificate = "rsa" if name.endswith("-rsa") else "ecdsa"
    by_backend = ours and name.endswith("-auth-upstream")
    answers = "varied" if name.endswith("-varied") else "auth"
    return Setup(certificate=certificate, extra=extra, by_backend=by_backend, protocols=protocols, answers=answers)


@dataclass(frozen=True, slots=True)
class Site:
    """Many `server` blocks, all for IMAP, with one certificate where they speak TLS."""

    servers: int
    tls: bool

    def blocks(self, port: int) -> str:
        """The blocks, each with a loopback address of its own, the first with 127.0.0.1."""
        hosts = (f"127.{number // 250}.{number % 250}.1" for number in range(self.servers))
        return "\n".join(server_block("imap", port, tls=self.tls, host=host) for host in hosts)


@dataclass(frozen=True, slots=True)
class Duel:
    """The figures of both, round by round: of nginx, or another rival, and of mailworker."""

    theirs: list[float]
    ours: list[float]

    @classmethod
    def of(cls, rounds: Iterable[tuple[float, float]]) -> Duel:
        """From what each round has found, theirs and ours."""
        theirs, ours = zip(*rounds, strict=True)
        return cls([*theirs], [*ours])


class Server:
    """A running server: its ports by protocol and by whether they use TLS, its processes, and its clients."""

    def __init__(self, server: Proxy, workers: int, ports: Mapping[tuple[str, bool], int], clients: Clients) -> None:
        self.clients = clients
        self._ports = ports
        self._server = server
        self.tree = Tree(server.pid, workers)

    @property
    def pid(self) -> int:
        """The master's process id."""
        return self._server.pid

    def port(self, protocol: str, *, tls: bool) -> int:
        return self._ports[protocol, tls]

    def load(self, protocol: str = "imap", version: str = "", **details: object) -> Load:
        """Clients for this server."""
        return Load(self.port(protocol, tls=bool(version)), protocol, version=version, **details)  # type: ignore[arg-type]

    def cpu_of(self, load: Load) -> int:
        """Nanoseconds of CPU that the server needs for clients, from the first connection to the last one's end."""
        before = self.tree.cpu()
        self.clients.run(load)
        return self.settled_cpu() - before

    def settled_cpu(self) -> int:
        """Nanoseconds of CPU so far, once the server is idle."""
        latest, cpu = -1, self.tree.cpu()
        while cpu != latest:
            time.sleep(_PAUSE)
            latest, cpu = cpu, self.tree.cpu()
        return cpu

    def stop(self) -> None:
        self._server.stop()


class Running(Server):
    """nginx or mailworker, with the configuration of a setup."""

    def __init__(self, name: str, folder: Path, setup: Setup, arena: Arena, start: Start) -> None:
        self.name = name
        self.folder = folder
        self.text, ports = arena.configuration(setup)
        started = time.monotonic()
        server = start(folder, self.text, [("127.0.0.1", port) for port in ports.values()])
        self.start_seconds = time.monotonic() - started
        super().__init__(server, setup.workers, ports, arena.clients)


Visited = TypeVar("Visited", bound=Server)


class Arena:
    """Compiles the programs and runs the peers, until it is closed. Raises ServerUnavailable."""

    def __init__(self, folder: Path) -> None:
        raise_descriptor_limit()
        folder.chmod(0o755)  # workers run as nobody
        self._folder = folder
        self._count = 0
        self._stack = ExitStack()
        self.ports = Ports()
        self._stack.callback(self.ports.close)
        self.clients = Clients(build("client", folder))
        self._peers = build("peers", folder)
        self.peers = self.start_peers()
        self._auth, *backends = map(int, self.peers.line.split())
        self.backends = dict(zip((*PROTOCOLS, "sieve"), backends, strict=True))
        authority = CertificateAuthority(folder)
        self.certificates: dict[str, Certificate] = {
            "ecdsa": authority.issue_server("ecdsa", ecdsa_key(), ("bench.test",)),
            "rsa": authority.issue_server("rsa", rsa_key(), ("bench.test",)),
        }

    def close(self) -> None:
        self._stack.close()

    def start_peers(self) -> Program:
        """Start an auth service and backends; the line that they print begins with the service's port."""
        return self._stack.enter_context(Program([str(self._peers)]))

    def configuration(self, setup: Setup) -> tuple[str, dict[tuple[str, bool], int]]:
        """The configuration text for `setup`, and its ports."""
        self._count += 1
        kinds = [(name, tls) for name in setup.protocols for tls in (False, True)]
        if setup.site is not None:
            kinds = [("imap", setup.site.tls)]
        ports = {(name, tls): self.ports[f"{self._count}{name}{tls}"] for name, tls in kinds}
        blocks = [
            server_block(protocol, port, tls=tls, backend=self.backends[protocol] if setup.by_backend else None)
            for (protocol, tls), port in ports.items()
        ]
        certificate = self.certificates[setup.certificate]
        text = CONFIGURATION.format(
            main=setup.main,
            workers=setup.workers,
            descriptors=DESCRIPTORS,
            connections=setup.connections,
            auth=self._auth,
            answers=setup.answers,
            buffer=setup.buffer,
            certificate=certificate.certificate,
            key=certificate.key,
            extra=setup.extra,
            servers="\n".join(blocks) if setup.site is None else setup.site.blocks(*ports.values()),
        )
        return text, ports

    def new_folder(self, name: str) -> Path:
        """A folder that workers can read."""
        self._count += 1
        folder = self._folder / f"{self._count}-{name}"
        folder.mkdir(mode=0o755)
        return folder

    @contextmanager
    def running(self, name: str, setup: Setup, start: Start | None = None) -> Iterator[Running]:
        """One server in a folder of its own; `start` starts another program of this name."""
        server = Running(name, self.new_folder(name), setup, self, start or SERVERS[name])
        try:
            yield server
        finally:
            server.stop()

    def duel(
        self, setup: Setup, measure: Callable[[Running], float], rounds: int, *, of_nginx: Setup | None = None
    ) -> Duel:
        """Measure both in turns; a first round warms up and does not count. nginx may have another setup."""
        with self.running("nginx", of_nginx or setup) as theirs, self.running("mailworker", setup) as ours:
            return alternate(theirs, ours, measure, rounds)

    def fresh_duel(self, setup: Setup, measure: Callable[[Running], float], rounds: int) -> Duel:
        """Measure both in turns, a freshly started server each time."""
        figures: dict[str, list[float]] = {name: [] for name in SERVERS}
        for _ in range(rounds):
            for name in SERVERS:
                with self.running(name, setup) as server:
                    figures[name].append(measure(server))
        return Duel(figures["nginx"], figures["mailworker"])


@contextmanager
def opened_arena() -> Iterator[Arena]:
    """An arena in a temporary folder. Raises ServerUnavailable."""
    with tempfile.TemporaryDirectory() as folder, closing(Arena(Path(folder))) as arena:
        yield arena


def alternate(theirs: Visited, ours: Visited, measure: Callable[[Visited], float], rounds: int) -> Duel:
    """Measure two servers in turns; a first round warms up and does not count."""
    return Duel.of([(measure(theirs), measure(ours)) for _ in range(rounds + 1)][1:])


def server_block(protocol: str, port: int, *, tls: bool, host: str = "127.0.0.1", backend: int | None = None) -> str:
    """A `server` block. `backend` is the port of a backend that decides about logins, None for the auth service."""
    source = "" if backend is None else f" auth_upstream on; proxy_pass 127.0.0.1:{backend};"
    return f"    server {{ listen {host}:{port}{' ssl' if tls else ''}; protocol {protocol};{source} }}"


def raise_descriptor_limit() -> None:
    """Let this process and its children have DESCRIPTORS descriptors; raises ServerUnavailable."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= DESCRIPTORS:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, max(hard, DESCRIPTORS)))
    except (OSError, ValueError) as error:
        raise ServerUnavailable(f"{DESCRIPTORS} descriptors are wanted, {hard} allowed") from error
