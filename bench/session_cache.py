"""How many TLS sessions a shared cache of 1 MB holds, counted by resuming them.

    python -m bench.session_cache [--json]

Clients of Python's ssl module shake hands with a context of mailworker in the same process, without tickets. All
sessions are stored first, then each is asked for once. Takes a minute. For the costs see `bench.tls_session_table`.
"""

from __future__ import annotations

import argparse
import json
import ssl
import tempfile
from pathlib import Path

from bench.tls_session_table import show
from mailworker.config.session_cache import SessionCache
from mailworker.config.zones import SharedZone
from mailworker.native.tls.tls_session_table import TlsSessionTable
from mailworker.shm.ticket_keys import TicketKeys
from mailworker.shm.tls_sessions import TlsSessions
from mailworker.tls.context import TlsContext
from tests.support.certificates import Certificate, self_signed
from tests.support.settings import ssl_settings
from tests.tls.peers import Pair, client_context

MEGABYTE = 1 << 20
TIMEOUT = 3600  # seconds
VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
COUNTS = (4000, 6000)

Figures = dict[str, float | str]


def context_over(zone: TlsSessions, certificate: Certificate) -> TlsContext:
    cache = SessionCache(shared=SharedZone(zone.name, zone.size, "ssl_session_cache"))
    settings = ssl_settings(certificate, session_cache=cache, session_timeout=TIMEOUT, session_tickets=False)
    context = TlsContext.build(settings, b"imap")
    context.share(TlsSessionTable(zone.memory, TIMEOUT), TicketKeys(zone.name))
    return context


def client_of(version: str) -> ssl.SSLContext:
    context = client_context()
    context.minimum_version = context.maximum_version = VERSIONS[version]
    return context


def shake_hands(
    server: TlsContext, client: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> tuple[ssl.SSLSession | None, bool]:
    """Shake hands; returns the session that the client may resume, and whether it has resumed one."""
    pair = Pair(server, client, session).shake_hands()
    pair.server.send(b"* OK\r\n")
    pair.client.recv(100)
    result = pair.client.session, bool(pair.client.session_reused)
    pair.close()
    return result


def count_room(version: str, count: int, certificate: Certificate) -> Figures:
    """Count the sessions that are resumed. A resumption in TLS 1.3 stores another session, which is removed again."""
    zone = TlsSessions("SSL", MEGABYTE)
    client = client_of(version)
    server = context_over(zone, certificate)
    sessions = [shake_hands(server, client)[0] for _ in range(count)]
    full = bytes(zone.memory)
    resumed = 0
    for session in sessions:
        resumed += shake_hands(server, client, session)[1]
        zone.memory[:] = full
    return {"version": version, "stored": count, "resumed": resumed}


def main() -> None:
    parser = argparse.ArgumentParser(description="What a shared session cache holds.")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        certificate = self_signed(Path(folder), "server", "/CN=localhost")
        room = [count_room(version, count, certificate) for version in VERSIONS for count in COUNTS]
    if arguments.json:
        print(json.dumps(room))
    else:
        show(room)


if __name__ == "__main__":
    main()
