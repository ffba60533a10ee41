"""Clients that open TLS connections to the real binary, and resume their sessions."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support.certificates import Certificate
from tests.support.patience import PATIENCE
from tests.support.process import GREETING, Mailworker

GOODBYE = b"a LOGOUT\r\n"
# Clients that come at once keep more than one worker busy.
PARALLEL = 16


def client_context(version: ssl.TLSVersion, certificate: Certificate | None = None) -> ssl.SSLContext:
    """A client that speaks this version only and trusts anybody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    if certificate is not None:
        context.load_cert_chain(certificate.certificate, certificate.key)
    return context


@dataclass(frozen=True, slots=True)
class Visit:
    """A connection that is over. `port` is the client's, `session` what may be resumed later."""

    port: int
    reused: bool
    session: ssl.SSLSession | None


@contextmanager
def connected(port: int, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> Iterator[ssl.SSLSocket]:
    """A connection to 127.0.0.1:`port` whose handshake is done."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as plain,
        context.wrap_socket(plain, session=session) as secure,
    ):
        yield secure


def visit(port: int, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> Visit:
    """Come and read the greeting, behind which TLS 1.3 names its sessions."""
    with connected(port, context, session) as client:
        assert client.recv(100) == GREETING
        return Visit(client.getsockname()[1], bool(client.session_reused), client.session)


def visit_all(port: int, context: ssl.SSLContext, sessions: Iterable[ssl.SSLSession | None]) -> list[Visit]:
    """A visit for each session, many at once."""
    with ThreadPoolExecutor(PARALLEL) as pool:
        return list(pool.map(lambda session: visit(port, context, session), sessions))


def workers_of(mailworker: Mailworker, visits: Iterable[Visit]) -> set[int]:
    """The workers that served the latest clients with the ports of `visits`, as the log tells."""
    pattern = re.compile(r"\[info\] (\d+)#\d+: \*\d+ client 127\.0\.0\.1:(\d+) connected to ")
    matches = (pattern.search(line) for line in mailworker.lines(" connected to "))
    workers = {int(match[2]): int(match[1]) for match in matches if match}
    return {workers[visit.port] for visit in visits}


def s_client(port: int, *options: str, data: bytes = GOODBYE) -> str:
    """All that `openssl s_client` prints; it speaks after the greeting, and stays until the server closes."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-ign_eof", *options]
    command += ["-nameopt", "oneline"]  # CN = a; from OpenSSL 3.2 on, CN=a is the default
    result = subprocess.run(
        command, input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE, check=False
    )
    return result.stdout.decode(errors="replace")
