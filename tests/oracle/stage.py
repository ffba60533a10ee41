"""One proxy, and around it a client, an auth service and a backend that are moved by one thread.

Nothing waits for time. `_Performance.settle` goes on until nothing moves any more: the proxy's one worker has answered
on another connection, so it has seen all that was sent before, and no party has got anything. So a step's transcript
holds what follows from that step, however slow the machine is.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import socket
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from string import Template
from time import sleep

from tests.oracle.case import Act, Answer, AtEnd, Case, Held, Send, Step
from tests.oracle.client import PROBE
from tests.oracle.configuration import SERVERS, Server, configuration, port_name
from tests.oracle.parties import AuthService, Backend, Client, Control, Party
from tests.oracle.proxies import Start
from tests.oracle.runner import reserve
from tests.oracle.transcript import sessions, shown
from tests.support.certificates import CertificateAuthority, rsa_key
from tests.support.patience import PATIENCE

CLIENT, CONTROL, BACKEND = "127.0.0.2", "127.0.0.3", "127.1.0.1"
CONTROL_SERVER = "pop3"
UNIX = "unix:"
# Clients by the host of the server that they connect to, where that is not CLIENT.
_OWNERS = {"[::1]": "[::1]", "[::]": f"[::ffff:{CLIENT}]", UNIX: "unix"}
# Where to connect to a server that listens everywhere.
_LOCAL = {"[::]": "127.0.0.1", "[::1]": "::1"}

# Rounds in which nothing moves before nothing is taken to move: epoll may name the connection that is asked again and
# again before the one that has something new.
_QUIET_ROUNDS = 8
# Seconds between the rounds of a patient performance.
_PAUSE = 0.01
# Seconds that a wait which the auth service has ordered may take.
_WAIT = 3.0

_ORDERED_WAIT = re.compile(rb"\nAuth-Wait: *0*[1-9]", re.IGNORECASE)
_ACCEPTED = re.compile(rb"\nAuth-Status: OK\r?\n")
# A client that took any other answer for the proxy's readiness would send it a handshake as commands.
_STARTTLS = re.compile(rb"(?:\S+ )?(?:STARTTLS|STLS)\b", re.IGNORECASE)
_READY = re.compile(r"client < (?:\S+ OK completed|\+OK|220 2\.0\.0 Start TLS)\\r\\n")
_LINES = re.compile(rb"[^\n]*\n|[^\n]+\Z")


class Props:
    """What the stages of both proxies share: a certificate and the services, for one of them plays at a time.

    `values` are those of a configuration text.
    """

    def __init__(self) -> None:
        self._held = ExitStack()
        self._pin()
        self.folder = Path(tempfile.mkdtemp(prefix="stage-"))
        self._held.callback(shutil.rmtree, self.folder)
        self.folder.chmod(0o755)
        authority = CertificateAuthority(self.folder)
        issued = authority.issue_server("server", rsa_key(), ("proxy.test",))
        self.tls = ssl.create_default_context(cafile=authority.path)
        self.tls.check_hostname = False  # it asks for no name, of which the auth service hears from mailworker alone
        self.auth = self._held.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.backends = self._held.enter_context(socket.create_server(("0.0.0.0", 0)))
        closed = self._held.enter_context(reserve())
        self.values: dict[str, object] = {"certificate": issued.certificate, "key": issued.key}
        for name, held in (("auth", self.auth), ("backend", self.backends), ("closed", closed)):
            held.setblocking(False)
            self.values[name] = held.getsockname()[1]

    def _pin(self) -> None:
        """Stay on one processor, as the proxies do that inherit it: so nothing overtakes what was sent before it."""
        processors = os.sched_getaffinity(0)
        self._held.callback(os.sched_setaffinity, 0, processors)
        os.sched_setaffinity(0, {sorted(processors)[os.getpid() % len(processors)]})

    def translate(self, text: bytes) -> bytes:
        """Put addresses for a script's placeholders."""
        values = {"$server": BACKEND, "$port": self.values["backend"], "$closed": self.values["closed"]}
        for name, value in values.items():
            text = text.replace(name.encode(), str(value).encode())
        return text

    def close(self) -> None:
        self._held.close()


@contextmanager
def two_stages(
    first: Start, second: Start, servers: Mapping[str, Server] = SERVERS, **values: object
) -> Iterator[tuple[Stage, Stage]]:
    """Stages of two proxies with the same props. Raises ServerUnavailable where one is not installed."""
    with ExitStack() as stack:
        props = Props()
        stack.callback(props.close)
        props.values |= values
        stages = []
        for start in (first, second):
            stages.append(Stage(start, props, servers))
            stack.callback(stages[-1].stop)
        yield stages[0], stages[1]


class Stage:
    """A proxy that serves `servers`, one of which is CONTROL_SERVER."""

    def __init__(self, start: Start, props: Props, servers: Mapping[str, Server] = SERVERS) -> None:
        self.props = props
        self.servers = servers
        self._held = {name: reserve() for name, server in servers.items() if server.host != UNIX}
        self._ports = {name: int(held.getsockname()[1]) for name, held in self._held.items()}
        self.folder = Path(tempfile.mkdtemp(dir=props.folder))
        self.folder.chmod(0o755)
        self._log = self.folder / "error.log"
        values = {port_name(name): self._place(name) for name in servers}
        text = Template(configuration(servers)).substitute(props.values, **values)
        hosts = {name: _LOCAL.get(server.host, server.host) for name, server in servers.items() if server.host != UNIX}
        try:
            self._proxy = start(self.folder, text, [(host, self._ports[name]) for name, host in hosts.items()])
        except BaseException:
            self._release()
            raise

    def stop(self) -> None:
        self._proxy.stop()
        self._release()

    def _release(self) -> None:
        for held in self._held.values():
            held.close()

    def play(self, case: Case, *, patiently: bool = False) -> list[str]:
        """What each party got in each step, then the log's lines.

        Patiently, the machine gets time for what it may have put off.
        """
        before = self._log.stat().st_size
        performance = _Performance(self, case, _PAUSE if patiently else 0.0)
        try:
            lines = performance.play()
        finally:
            performance.close()
        with self._log.open("rb") as log:
            log.seek(before)
            told = sessions(log.read().decode("utf-8", "backslashreplace"))
        owner = _OWNERS.get(self.servers[case.server].host, CLIENT)
        lines += [f"log {text}" for text in told.get(owner, [])]
        return [self.masked(line) for line in lines]

    def connect(self, name: str, source: str) -> socket.socket:
        """A connection to a server from `source`, if it is an IPv4 one."""
        host = self.servers[name].host
        if host == UNIX:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(PATIENCE)
            connection.connect(self._place(name))
            return connection
        address = (_LOCAL.get(host, host), self._ports[name])
        return socket.create_connection(address, PATIENCE, None if ":" in address[0] else (source, 0))

    def _place(self, name: str) -> str:
        return f"{self.folder}/{name}" if self.servers[name].host == UNIX else str(self._ports[name])

    def masked(self, line: str) -> str:
        """A line without what differs from stage to stage."""
        for name, port in self._ports.items():
            line = re.sub(rf"(?<=[: ]){port}\b", f"({name})", line)
        return line.replace(str(self.folder), "(folder)")


class _Performance:
    """One case on a stage."""

    def __init__(self, stage: Stage, case: Case, pause: float) -> None:
        self._stage = stage
        self._pause = pause
        self._props = stage.props
        self._case = case
        self._lines: list[str] = []
        self._last: list[str] = []
        self._asked = 0
        self._waits = False
        self._ready_for_tls = False
        self._services: list[AuthService | Backend] = []
        self._control = Control(stage.connect(CONTROL_SERVER, CONTROL))
        self._control.round_trip()
        self._client = Client(stage.connect(case.server, CLIENT))

    def play(self) -> list[str]:
        server = self._stage.servers[self._case.server]
        if "ssl" in server.listen.split():
            self._shake_hands()
        if server.greets and not self._client.over:
            self._await([self._client], PATIENCE)
        self._settle()
        for step in (*self._case.client, Send(PROBE[self._case.protocol])):
            if self._client.over:
                break
            self._do(step)
        self._lines.append("client = leaves")
        for party in (self._client, *self._services):
            party.close()
            self._settle()
        return self._lines

    def close(self) -> None:
        for party in (self._client, self._control, *self._services):
            party.close()

    def _do(self, step: Step) -> None:
        if isinstance(step, Send):
            data = self._props.translate(step.data)
            self._lines.append(f"client > {shown(data)}")
            self._client.send(data)
            self._settle()
            self._ready_for_tls = self._ready_for_tls and bool(_STARTTLS.match(data))
        elif step is Act.SHAKE_HANDS and self._ready_for_tls:
            self._shake_hands()
            self._settle()
        elif step is Act.AWAIT_INPUT and not any(line.startswith("client < ") for line in self._last):
            self._await([self._client], PATIENCE)
            self._settle()
        elif step is Act.END:
            self._lines.append("client = end")
            self._client.end()
            self._settle()

    def _shake_hands(self) -> None:
        self._lines.append(f"client = {self._client.shake_hands(self._props.tls)}")

    def _settle(self) -> None:
        quiet = 0
        while quiet < _QUIET_ROUNDS:
            self._control.round_trip()
            sleep(self._pause)
            quiet = 0 if self._move() else quiet + 1
            if quiet == _QUIET_ROUNDS and self._waits and not self._client.over:
                self._waits = False
                self._await([self._client, self._props.auth], _WAIT)
                quiet = 0
        self._last = told = list(self._told())
        self._ready_for_tls = len(told) == 1 and bool(_READY.fullmatch(told[0]))
        self._lines += told

    def _await(self, parties: list[Client | socket.socket], seconds: float) -> None:
        select.select([party.connection if isinstance(party, Party) else party for party in parties], [], [], seconds)

    def _move(self) -> bool:
        """Let each party read and answer what is there; whether anything was."""
        moved = self._accept()
        if self._client.pump():
            moved, self._waits = True, False
        for service in self._services:
            if service.over:
                continue
            pumped = service.pump()
            moved = moved or bool(pumped) or service.over
            for answer in self._answers(service, pumped):
                self._give(service, answer)
        return moved

    def _accept(self) -> bool:
        before = len(self._services)
        case = self._case
        headed = "proxy_protocol on" in self._stage.servers[case.server].directives
        while (connection := _accept(self._props.auth)) is not None:
            self._services.append(AuthService(connection))
        while (connection := _accept(self._props.backends)) is not None:
            backend = Backend(connection, case.protocol, case.backend, headed=headed)
            self._services.append(backend)
            self._lines.append("backend = connected")
            for answer in backend.answers(b""):
                self._give(backend, answer)
        return len(self._services) > before

    def _answers(self, service: AuthService | Backend, pumped: bytes) -> list[Answer]:
        if isinstance(service, Backend):
            return service.answers(pumped)
        if not service.is_asked(pumped):
            return []
        self._asked += 1
        return [self._case.auth[min(self._asked, len(self._case.auth)) - 1]]

    def _give(self, service: AuthService | Backend, answer: Answer) -> None:
        if isinstance(answer, Act):
            if answer is Act.CLOSE:
                service.close()
            return
        data = self._props.translate(answer.data if isinstance(answer, AtEnd | Held) else answer)
        service.send(data)
        if isinstance(service, AuthService):
            self._waits = bool(_ORDERED_WAIT.search(data)) and not _ACCEPTED.search(data)
            if not isinstance(answer, Held):
                service.close()

    def _told(self) -> Iterator[str]:
        """What the parties got since the last time."""
        yield from _told("client", self._client)
        for service in self._services:
            yield from _told("auth" if isinstance(service, AuthService) else "backend", service)


def _told(name: str, party: Party) -> Iterator[str]:
    received, party.received = party.received, b""
    yield from (f"{name} < {shown(line)}" for line in _LINES.findall(received))
    if party.over and not party.told_over:
        party.told_over = True
        if name != "auth":
            yield f"{name} = closed"


def _accept(listening: socket.socket) -> socket.socket | None:
    try:
        return listening.accept()[0]
    except BlockingIOError:
        return None
