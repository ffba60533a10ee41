"""Row 64: passwords, tokens and keys appear in no log, at no level, in no dump, traceback or core file."""

from __future__ import annotations

import base64
import os
import re
import signal
import socket
import ssl
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from mailworker.wire.secret import Secret
from tests.process.conftest import Install
from tests.support.auth import AuthService, accepted, rejected, response
from tests.support.backend import ScriptedServer, conversation, echo, hang_up
from tests.support.certificates import Certificate
from tests.support.patience import PATIENCE
from tests.support.peer import Peer
from tests.support.ports import Ports

# The service gives CANARY_OF_THE_SERVICE to log in with at the backend.
CANARY = "kanarienvogel"
CANARY_OF_THE_SERVICE = "wellensittich"
WORDS = (CANARY, CANARY_OF_THE_SERVICE)


def spellings(secret: str) -> set[bytes]:
    """A secret as it may be written: as it is, in hexadecimal digits and, wherever it begins, in base64."""
    raw = secret.encode()
    encoded = {base64.b64encode(b"x" * before + raw)[2 * before : -4] for before in range(3)}
    return {raw, raw.hex().encode(), raw[::-1], *encoded}


CANARIES = set().union(*(spellings(word) for word in WORDS))


def find(data: bytes) -> list[bytes]:
    return [canary for canary in CANARIES if canary in data]


class Bed:
    """A mailworker at debug level, whose clients log in with the canary in every way there is."""

    def __init__(self, install: Install, certificate: Certificate, ports: Ports) -> None:
        backend = conversation(b"+OK ready\r\n", b"+OK\r\n", b"+OK logged in\r\n", then=echo)
        self.backend = ScriptedServer(backend)
        self.rude = ScriptedServer(hang_up)
        self.ports = {protocol: ports[protocol] for protocol in ("imap", "pop3", "smtp", "tls")}
        password = (b"Auth-Pass", CANARY_OF_THE_SERVICE.encode())
        self.auth = AuthService(
            rejected(b"no"),
            response(),
            hang_up,
            accepted(self.rude.address, password),
            accepted(self.backend.address, password),
        )
        self.mailworker = install(self._configuration(certificate))
        self.mailworker.start()
        self.mailworker.await_workers(1)

    def _configuration(self, certificate: Certificate) -> str:
        common = "imap_auth plain login cram-md5 xoauth2; pop3_auth plain apop; smtp_auth plain login;"
        servers = "".join(
            f"server {{ listen 127.0.0.1:{port}{' ssl' if protocol == 'tls' else ''}; "
            f"protocol {'imap' if protocol == 'tls' else protocol}; }}"
            for protocol, port in self.ports.items()
        )
        return f"""
            error_log logs/error.log debug;
            events {{ debug_connection 127.0.0.1; }}
            mail {{
                server_name mail.example; auth_http {self.auth.address}/; proxy_smtp_auth on; {common}
                auth_http_header X-Key {CANARY};
                ssl_certificate {certificate.certificate}; ssl_certificate_key {certificate.key};
                {servers}
            }}
        """

    def say(self, protocol: str, *lines: bytes) -> None:
        """A connection that says all of it and waits for the end."""
        with socket.create_connection(("127.0.0.1", self.ports[protocol]), timeout=PATIENCE) as plain:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            client = Peer(context.wrap_socket(plain) if protocol == "tls" else plain)
            client.line()
            with suppress(OSError):  # it may be sent away
                for line in lines:
                    client.send(line + b"\r\n")
                    client.line()
                client.end()
                client.rest()
            client.close()

    def stop(self) -> None:
        for server in (self.auth, self.backend, self.rude):
            server.stop()


@pytest.fixture
def bed(install: Install, ecdsa: Certificate, ports: Ports) -> Iterator[Bed]:
    made = Bed(install, ecdsa, ports)
    yield made
    made.stop()


def log_in_in_every_way(bed: Bed) -> None:
    secret = CANARY.encode()
    plain = base64.b64encode(b"\0somebody\0" + secret)
    token = base64.b64encode(b"user=somebody\1auth=Bearer " + secret + b"\1\1")
    for protocol in ("imap", "tls"):
        bed.say(protocol, b"a LOGIN somebody " + secret, b'b LOGIN "somebody" "' + secret + b'"')
        bed.say(protocol, b"a LOGIN somebody " + secret + b" " + secret)
        bed.say(protocol, b"a AUTHENTICATE PLAIN " + plain, b"b AUTHENTICATE PLAIN", plain)
        bed.say(protocol, b"a AUTHENTICATE XOAUTH2 " + token)
        bed.say(protocol, b"a LOGIN {8+}\r\nsomebody {%d+}\r\n%b" % (len(secret), secret))
    bed.say("pop3", b"USER somebody", b"PASS " + secret)
    bed.say("pop3", b"PASS " + secret, b"AUTH PLAIN " + plain, b"APOP somebody " + secret)
    bed.say("smtp", b"EHLO x", b"AUTH PLAIN " + plain)
    bed.say("smtp", b"EHLO x", b"AUTH LOGIN", b"c29tZWJvZHk=", base64.b64encode(secret), b"AUTH PLAIN " + plain)


def test_no_secret_is_in_the_log_at_its_most_verbose(bed: Bed, ecdsa: Certificate) -> None:
    log_in_in_every_way(bed)
    mailworker = bed.mailworker
    mailworker.signal(signal.SIGHUP)
    mailworker.await_line("start worker processes$", 2)
    written = mailworker.error_log.read_bytes() + mailworker.output.encode()
    assert b"somebody" in written  # so there was something to say
    assert b"[debug]" in written
    assert find(written) == []
    body = re.sub(rb"-----[^\n]*-----|\s", b"", ecdsa.key.read_bytes())
    assert not [part for part in (body[i : i + 16] for i in range(0, len(body) - 16, 16)) if part in written]


def test_a_dump_names_files_of_keys_and_shows_none(bed: Bed, ecdsa: Certificate) -> None:
    """What stands in the configuration itself is shown, as nginx shows it: that is what -T is for."""
    dumped = bed.mailworker.run("-T")
    assert dumped.returncode == 0
    shown = dumped.stdout + dumped.stderr
    assert str(ecdsa.key).encode() in shown
    assert b"PRIVATE KEY" not in shown


def test_a_key_that_others_can_read_is_warned_of(bed: Bed, ecdsa: Certificate) -> None:
    mode = ecdsa.key.stat().st_mode
    ecdsa.key.chmod(0o644)
    try:
        said = bed.mailworker.run("-t").stderr.decode()
    finally:
        ecdsa.key.chmod(mode)
    assert re.search(rf"\[warn\] .*{re.escape(str(ecdsa.key))}", said)
    assert not re.search(rf"\[warn\] .*{re.escape(str(ecdsa.key))}", bed.mailworker.run("-t").stderr.decode())


def test_a_traceback_shows_no_secret() -> None:
    secret = Secret(CANARY.encode())
    try:
        raise ValueError(secret, f"{secret} {secret!r} {[secret]}", {"password": secret})
    except ValueError as error:
        text = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "Secret(...)" in text
    assert find(text.encode()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look into a worker")
def test_a_worker_that_dies_leaves_no_core_file(bed: Bed, tmp_path: Path) -> None:
    """Its memory held a password a moment ago; so a worker is not dumpable unless worker_rlimit_core says otherwise."""
    (worker,) = bed.mailworker.await_workers(1)
    bed.mailworker.alerts.append(r"exited on signal 6( \(core dumped\))?$")
    psutil.Process(worker).send_signal(signal.SIGABRT)
    line = bed.mailworker.await_line(f"worker process {worker} exited on signal 6")
    assert "core dumped" not in line
