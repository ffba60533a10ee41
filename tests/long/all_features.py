"""A configuration of 300 servers that has all features on together, and what these tell about sessions."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

from mailworker.control.client import Client, NoAnswer, Refusal
from tests.long.clients import PASSWORD, Door
from tests.long.mailboxes import PROTOCOLS
from tests.long.peers import HOST
from tests.long.site import WORKERS, Extra, Peers, Site, configuration
from tests.support.certificates import CertificateAuthority, ecdsa_key, self_signed
from tests.support.ports import Ports
from tests.support.process import Mailworker

SERVERS = 300
_HELPERS = 3  # processes beside the master and workers: status process, log writer, reader of files of users
KICKED = "kicked"
_CALM = 120.0
_POLL = 0.2
CERTIFICATES = 150
"""In a directory; so many that a list of them takes several pages."""

FILED = 100
"""Users of the file whose names begin alike are numbered below this."""

_SOURCES = (
    ("auth_http", "auth_http_keepalive 4;"),
    ("auth_http", "proxy_protocol on; auth_delay 500ms;"),
    ("auth_upstream", "auth_upstream on; proxy_pass {host}:{port};"),
    ("auth_upstream", "auth_upstream on; proxy_ssl on; proxy_pass {host}:{tls};"),
    ("auth_user_file", "auth_user_file {folder}/users; proxy_pass {host}:{port}; proxy_imap_id on;"),
    ("auth_http", "limit_conn kept 200; auth_policy http://{host}:{policy}/; auth_policy_nonce_file {folder}/nonce;"),
)
_MAIN = """
    worker_sandbox on;
    status {{ listen {host}:{status}; }}
    control {{ listen unix:{folder}/control.sock; }}
"""
_MAIL = """
    access_log logs/access.log json on=all;
    limit_auth_zone $remote_user zone=user:1m rate=1000r/s;
    limit_auth_zone $binary_remote_prefix zone=prefix:1m rate=1000r/s;
    limit_auth zone=user burst=1000 nodelay ban=1s;
    limit_auth zone=prefix burst=4000 nodelay ban=1s;
    limit_conn_zone $binary_remote_addr zone=address:1m;
    limit_conn_zone $remote_user zone=kept:1m;
    limit_conn address 300;
    limit_conn kept 100;
    limit_rate 100m;
    ssl_session_tickets on;
    ssl_certificate_directory {folder}/certificates;
    sieve_capabilities "SIEVE fileinto";
    pop3_auth plain;
    smtp_auth plain login;
"""


class AllFeatures:
    """The directives of such a configuration, for mailboxes at `backends`, and its doors."""

    def __init__(self, folder: Path, backends: dict[str, int], ports: Ports, servers: int) -> None:
        self.doors: list[Door] = []
        self.control = folder / "control.sock"
        self.status = ports["status"]
        self.users = folder / "users"
        self.rewrite_users()
        self._certificates = folder / "certificates"
        self._certificates.mkdir()
        self._authority, self._key = CertificateAuthority(folder), ecdsa_key()
        self.renew_certificates()
        (folder / "nonce").write_text("a secret\n")
        self.main = _MAIN.format(host=HOST, folder=folder, status=self.status)
        kinds = list(product(PROTOCOLS, (False, True), _SOURCES))
        blocks = []
        for number in range(servers):
            protocol, secure, (source, directives) = kinds[number % len(kinds)]
            door = Door(protocol, ports[f"server {number}"], secure, source)
            self.doors.append(door)
            where = {"port": backends[protocol], "tls": backends[f"{protocol} by TLS"], "policy": backends["policy"]}
            special = directives.format(host=HOST, folder=folder, **where)
            listen = f"listen {HOST}:{door.port} {'ssl' * secure};"
            blocks.append(f"server {{ protocol {protocol}; {listen} {special} }}")
        self.mail = "\n".join((_MAIL.replace("{folder}", str(folder)), *blocks))

    def rewrite_users(self) -> None:
        """Replace the file of users, whose passwords are those of all clients."""
        names = [f"{name}.{number}" for name in ("short", "idle", "bulk", KICKED) for number in range(FILED)]
        new = self.users.with_suffix(".new")
        new.write_text("".join(f"{name}:{{PLAIN}}{PASSWORD}\n" for name in names))
        new.chmod(0o600)
        new.rename(self.users)

    def renew_certificates(self) -> None:
        """Replace all certificates of the directory, each as a whole."""
        for number in range(CERTIFICATES):
            name = f"mail{number}.example"
            made = self._authority.issue_server(name, self._key, (name,), validity=timedelta(days=90))
            new = made.certificate.with_suffix(".new")
            new.write_bytes(made.certificate.read_bytes() + made.key.read_bytes())
            new.chmod(0o600)
            new.rename(self._certificates / f"{name}.pem")

    def certificates(self) -> int:
        """How many certificates of the directory are listed. Raises NoAnswer."""
        with Client(self.control) as client:
            listed = [line["certificate"]["path"] for line in client.ask("certificates") if "certificate" in line]
        return sum(path.startswith(str(self._certificates)) for path in listed)

    def remaining(self) -> dict[str, int]:
        """What is counted and listed of sessions when all clients have gone, which is nothing: waits for that."""
        end = time.monotonic() + _CALM
        found = {"sessions in the table": -1, "connections in the status": -1}  # as long as nothing answers
        while any(found.values()) and time.monotonic() < end:
            with suppress(OSError, http.client.HTTPException, NoAnswer):
                found = self._remaining()
            time.sleep(_POLL)
        return found

    def _remaining(self) -> dict[str, int]:
        status = json.loads(self.scrape("/status.json"))
        with Client(self.control) as client:
            *_, listed = client.ask("sessions")
        return {
            "sessions in the table": listed["count"] + listed["unlisted"],
            "connections in the status": sum(
                sum(each["connections"].values()) for server in status["servers"].values() for each in server.values()
            ),
        }

    def scrape(self, path: str) -> bytes:
        """A page of the status process; raises OSError or http.client.HTTPException."""
        connection = http.client.HTTPConnection(HOST, self.status, timeout=20)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            if response.status != 200:
                raise http.client.HTTPException(f"{path}: {response.status}")
            return response.read()
        finally:
            connection.close()

    def kick(self) -> int:
        """End the sessions of some users, and ban them for a moment; returns how many sessions that were."""
        with Client(self.control) as client:
            names = {
                line["session"]["user"] for line in client.ask("sessions", user=f"{KICKED}.*") if "session" in line
            }
            return sum(_kick(client, name) for name in sorted(names))


def _kick(client: Client, name: str) -> int:
    try:
        *_, last = client.ask("kick", user=name, ban=1)
    except Refusal:
        return 0
    return int(last.get("kicked", 0))


@contextmanager
def running_with_all(servers: int = SERVERS) -> Iterator[tuple[Site, AllFeatures]]:
    """A site with all features, in a folder of its own."""
    with TemporaryDirectory(prefix="mailworker-long-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        peers = Peers()
        stack.callback(peers.kill)
        ports = Ports()
        stack.callback(ports.close)
        features = AllFeatures(folder, peers.ports, ports, servers)
        extra = Extra(features.main, features.mail, "10s", "info", "")
        certificate = self_signed(folder, "server", "/CN=mail.example")
        mailworker = Mailworker(folder, configuration(peers.auth_port, [], certificate, extra))
        mailworker.alerts.append("exited on signal 9$")
        mailworker.start()
        stack.callback(mailworker.stop)
        mailworker.await_workers(WORKERS)
        yield Site(mailworker, peers, features.doors, helpers=_HELPERS), features
