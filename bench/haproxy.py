"""HAProxy as a rival where both do the same: TLS to the client, plain to the backend, and bytes between them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bench.arena import Arena, Server
from tests.support.daemon import accepts, find_program, running

CONFIGURATION = """\
global
    nbthread 1
    tune.ssl.default-dh-param 2048
defaults
    mode tcp
    option splice-auto
    timeout connect 10s
    timeout client 60s
    timeout server 60s
frontend clients
    bind 127.0.0.1:{port} ssl crt {pem} ssl-min-ver TLSv1.2
    default_backend backends
backend backends
    server one 127.0.0.1:{backend}
"""


@contextmanager
def haproxy(arena: Arena) -> Iterator[Server]:
    """Run one thread of HAProxy in front of the IMAP backend, in TCP mode. Raises ServerUnavailable."""
    folder = arena.new_folder("haproxy")
    certificate, port = arena.certificates["ecdsa"], arena.ports["haproxy"]
    pem, file = folder / "server.pem", folder / "haproxy.cfg"
    pem.write_bytes(certificate.certificate.read_bytes() + certificate.key.read_bytes())
    file.write_text(CONFIGURATION.format(port=port, pem=pem, backend=arena.backends["imap"]))
    command = [find_program("haproxy"), "-db", "-f", str(file)]
    with running(command, folder / "output", lambda: accepts(("127.0.0.1", port))) as daemon:
        yield Server(daemon, 0, {("imap", True): port}, arena.clients)
