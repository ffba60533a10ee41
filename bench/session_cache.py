"""How many TLS sessions a shared cache of 1 MB holds, counted by resuming them, and what a full one of 10 MB costs.

    python -m bench.session_cache [--json]

Clients of Python's ssl module shake hands with a context of mailworker in the same process, tickets off. Every
session is stored first, then each is asked for once. Takes about a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import ssl
import tempfile
import time
from pathlib import Path
from statistics import median

from mailworker.config.settings import SessionCache, SharedZone
from mailworker.native.sessions import SessionStore
from mailworker.shm.session_table import SessionTable
from mailworker.shm.ticket_keys import TicketKeys
from mailworker.shm.zone import Zone
from mailworker.tls.connection import TlsConnection
from mailworker.tls.context import TlsContext
from tests.support.certificates import Certificate, self_signed
from tests.support.settings import ssl_settings

MEGABYTE = 1 << 20
TIMEOUT = 3600  # seconds
VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
COUNTS = (4000, 6000)
COST_FILLS = (0, 100_000)  # sessions; a zone of 10 MB is full long before the last
COST_SAMPLE = 500
COST_ROUNDS = 9

Figures = dict[str, float | str]


class ReadOnly:
    """A store that keeps nothing new: in TLS 1.3 a resumption stores another session."""

    def __init__(self, store: SessionStore) -> None:
        self.get = store.get

    def new(self, session_id: bytes, session: bytes) -> None:
        """Keep nothing."""

    def remove(self, session_id: bytes) -> None:
        """Keep all."""


class Watched:
    """A store that remembers the last session it was given."""

    def __init__(self, store: SessionStore) -> None:
        self.get = store.get
        self.remove = store.remove
        self._store = store
        self.last = (b"", b"")

    def new(self, session_id: bytes, session: bytes) -> None:
        self.last = (session_id, session)
        self._store.new(session_id, session)


def context_over(store: SessionStore, zone: Zone, certificate: Certificate) -> TlsContext:
    cache = SessionCache(shared=SharedZone(zone.name, zone.size))
    settings = ssl_settings(certificate, session_cache=cache, session_timeout=TIMEOUT, session_tickets=False)
    context = TlsContext.build(settings, b"imap")
    context.share(store, TicketKeys(zone, TIMEOUT))
    return context


def client_context(version: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    return context


def shake_hands(
    server_context: TlsContext, client_context: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> tuple[ssl.SSLSession | None, bool]:
    """The session that the client may resume, and whether it resumed one."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    server = TlsConnection(server_context, ours.fileno())
    client = client_context.wrap_socket(theirs, do_handshake_on_connect=False, session=session)
    client_done = server_done = False
    while not (client_done and server_done):
        try:
            client.do_handshake()
            client_done = True
        except ssl.SSLWantReadError:
            pass
        server_done = server_done or server.handshake() is None
    server.send(b"* OK\r\n")
    client.recv(100)
    result = client.session, bool(client.session_reused)
    server.free()
    ours.close()
    client.close()
    return result


def count_room(version: str, count: int, certificate: Certificate) -> Figures:
    zone = Zone("SSL", MEGABYTE)
    table = Watched(SessionTable(zone, TIMEOUT))
    client = client_context(VERSIONS[version])
    storing = context_over(table, zone, certificate)
    resuming = context_over(ReadOnly(table), zone, certificate)
    sessions = [shake_hands(storing, client)[0] for _ in range(count)]
    resumed = sum(shake_hands(resuming, client, session)[1] for session in sessions)
    return {"version": version, "bytes": len(table.last[1]), "stored": count, "resumed": resumed}


def measure_cost(version: str, fill: int, certificate: Certificate) -> Figures:
    """Microseconds of CPU for storing a real session and for finding it again, under as many other ids."""
    zone = Zone("SSL", 10 * MEGABYTE)
    table = Watched(SessionTable(zone, TIMEOUT))
    shake_hands(context_over(table, zone, certificate), client_context(VERSIONS[version]))
    own_id, session = table.last
    for _ in range(fill):
        other = os.urandom(len(own_id))
        table.new(other, session.replace(own_id, other))
    costs = [round_of_cost(SessionTable(zone, TIMEOUT), own_id, session) for _ in range(COST_ROUNDS)]
    return {"version": version, "stored before": fill, "store + lookup, us": round(median(costs), 1)}


def round_of_cost(table: SessionTable, own_id: bytes, session: bytes) -> float:
    others = [os.urandom(len(own_id)) for _ in range(COST_SAMPLE)]
    pairs = [(other, session.replace(own_id, other)) for other in others]
    start = time.process_time()
    for session_id, other_session in pairs:
        table.new(session_id, other_session)
        table.get(session_id)
    return (time.process_time() - start) / COST_SAMPLE * 1e6


def show(title: str, rows: list[Figures]) -> None:
    print(title)
    print("".join(f"{name:>20}" for name in rows[0]))
    for row in rows:
        print("".join(f"{figure:>20}" for figure in row.values()))


def main() -> None:
    parser = argparse.ArgumentParser(description="What a shared session cache holds and costs.")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        certificate = self_signed(Path(folder), "server", "/CN=localhost")
        room = [count_room(version, count, certificate) for version in VERSIONS for count in COUNTS]
        cost = [measure_cost(version, fill, certificate) for version in VERSIONS for fill in COST_FILLS]
    if arguments.json:
        print(json.dumps({"room": room, "cost": cost}))
        return
    show("Sessions resumed out of a cache of 1 MB", room)
    show("\nCPU time in a cache of 10 MB", cost)


if __name__ == "__main__":
    main()
