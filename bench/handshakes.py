"""The CPU time of a worker for one TLS connection, beside nginx's with the same certificate and configuration.

    python -m bench.handshakes [--json]

A client connects, shakes hands, reads the greeting and leaves, a few hundred times in a row; each server's single
worker tells by /proc/PID/schedstat how long it ran. Rounds alternate between the two servers; medians count. Takes
about a minute and a half. Exits with 1 where nginx is not installed.
"""

from __future__ import annotations

import argparse
import json
import socket
import ssl
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

from tests.oracle.proxies import Start, mailworker, nginx
from tests.support.certificates import Certificate, CertificateAuthority, ecdsa_key, rsa_key
from tests.support.daemon import ServerUnavailable, wait_until
from tests.support.ports import Ports

ROUNDS = 9
CONNECTIONS = 150  # of a round
TIMEOUT = 20.0  # seconds
VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
SERVERS = {
    "plain": "",
    "tickets": "ssl_session_tickets on;",
    "cache": "ssl_session_tickets off; ssl_session_cache shared:SSL:10m;",
}

CONFIGURATION = """
worker_processes 1;
error_log error.log error;
pid proxy.pid;
events {{ worker_connections 256; }}
mail {{
    server_name bench.test;
    auth_http 127.0.0.1:9/;
    ssl_protocols TLSv1.2 TLSv1.3;
    {servers}
}}
"""


@dataclass(frozen=True, slots=True)
class Way:
    """A way to connect: the version, the certificate, the server, and whether a session is resumed."""

    version: str
    certificate: str
    server: str
    resumed: bool

    def __str__(self) -> str:
        how = {"tickets": "ticket", "cache": "cache"}[self.server] if self.resumed else "full"
        return f"{self.version} {self.certificate} {how}"


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds for one connection, and how many of them TLS adds to a plain one."""

    connection: str
    nginx: float
    mailworker: float
    nginx_tls: float
    mailworker_tls: float


HEADER = ["connection, us", "nginx", "mailworker", "ratio", "TLS: nginx", "mailworker", "ratio"]
WAYS = [
    *(Way(version, certificate, "tickets", False) for version in VERSIONS for certificate in ("ECDSA", "RSA")),
    *(Way(version, "ECDSA", server, True) for version in VERSIONS for server in ("tickets", "cache")),
]


class Proxy:
    """A running server, its ports by certificate and server name, and its worker."""

    def __init__(self, start: Start, folder: Path, certificates: dict[str, Certificate]) -> None:
        folder.mkdir(mode=0o755)
        self._reserved = reserved = Ports()
        self._ports = {(name, server): reserved[f"{name} {server}"] for name in certificates for server in SERVERS}
        addresses = [("127.0.0.1", port) for port in self._ports.values()]
        text = CONFIGURATION.format(servers="\n    ".join(_servers(certificates, self._ports)))
        self._server = start(folder, text, addresses)
        pid_file = folder / "proxy.pid"
        wait_until(pid_file.exists, "a pid file")
        master = psutil.Process(int(pid_file.read_text()))
        wait_until(lambda: len(master.children()) == 1, "a worker")
        self._schedstat = Path(f"/proc/{master.children()[0].pid}/schedstat")

    def plain_cost(self) -> float:
        """Microseconds of CPU for one connection without TLS."""
        address = ("127.0.0.1", self._ports["ECDSA", "plain"])
        before = self._ran()
        for _ in range(CONNECTIONS):
            with socket.create_connection(address, TIMEOUT) as client:
                client.recv(100)
        return (self._ran() - before) / CONNECTIONS / 1000

    def cost(self, way: Way) -> float:
        """Microseconds of CPU for one connection."""
        address = ("127.0.0.1", self._ports[way.certificate, way.server])
        context = _client_context(VERSIONS[way.version])
        session = _visit(address, context) if way.resumed else None
        before = self._ran()
        for _ in range(CONNECTIONS):
            _visit(address, context, session)
        return (self._ran() - before) / CONNECTIONS / 1000

    def stop(self) -> None:
        self._server.stop()
        self._reserved.close()

    def _ran(self) -> int:
        """Nanoseconds that the worker ran so far."""
        return int(self._schedstat.read_text().split()[0])


def _client_context(version: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    return context


def _visit(
    address: tuple[str, int], context: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> ssl.SSLSession | None:
    with (
        socket.create_connection(address, TIMEOUT) as plain,
        context.wrap_socket(plain, do_handshake_on_connect=False, session=session) as client,
    ):
        # nginx keeps Nagle's algorithm on: without acknowledgments at once each connection would take 40 ms
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        client.do_handshake()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        client.recv(100)
        if bool(client.session_reused) is not (session is not None):
            raise AssertionError("a session was not resumed")
        return client.session


def _servers(certificates: dict[str, Certificate], ports: dict[tuple[str, str], int]) -> Iterator[str]:
    for (name, server), port in ports.items():
        pair = f"ssl_certificate {certificates[name].certificate}; ssl_certificate_key {certificates[name].key};"
        listen = f"listen 127.0.0.1:{port}{'' if server == 'plain' else ' ssl'};"
        yield f"server {{ {listen} protocol imap; {pair} {SERVERS[server]} }}"


def measure() -> list[list[str]]:
    """Raises ServerUnavailable where nginx is not installed."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        authority = CertificateAuthority(folder)
        certificates = {
            "ECDSA": authority.issue_server("ecdsa", ecdsa_key(), ("bench.test",)),
            "RSA": authority.issue_server("rsa", rsa_key(), ("bench.test",)),
        }
        theirs = Proxy(nginx, folder / "nginx", certificates)
        stack.callback(theirs.stop)
        ours = Proxy(mailworker, folder / "mailworker", certificates)
        stack.callback(ours.stop)
        rounds = [_round(theirs, ours) for _ in range(ROUNDS + 1)][1:]  # the first one warms up
    return [_row(column) for column in zip(*rounds, strict=True)]


def _round(theirs: Proxy, ours: Proxy) -> list[Cost]:
    """What each way costs nginx and mailworker."""
    plain = theirs.plain_cost(), ours.plain_cost()
    costs = [Cost("no TLS", *plain, 0.0, 0.0)]
    for way in WAYS:
        whole = theirs.cost(way), ours.cost(way)
        costs.append(Cost(str(way), *whole, whole[0] - plain[0], whole[1] - plain[1]))
    return costs


def _row(costs: Sequence[Cost]) -> list[str]:
    row = [costs[0].connection]
    for nginx_cost, mailworker_cost in (("nginx", "mailworker"), ("nginx_tls", "mailworker_tls")):
        theirs = median(getattr(cost, nginx_cost) for cost in costs)
        ours = median(getattr(cost, mailworker_cost) for cost in costs)
        row += [f"{theirs:.0f}", f"{ours:.0f}", f"{ours / theirs:.2f}" if theirs else "-"]
    return row


def main() -> int:
    parser = argparse.ArgumentParser(description="CPU time of TLS connections beside nginx.")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    try:
        rows = measure()
    except ServerUnavailable as error:
        print(error, file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps([HEADER, *rows]))
        return 0
    for row in [HEADER, *rows]:
        print("{:<22}{:>8}{:>12}{:>8}{:>12}{:>12}{:>8}".format(*row))
    return 0


if __name__ == "__main__":
    sys.exit(main())
