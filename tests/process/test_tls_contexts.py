from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mailworker.config.session_cache import SessionCache
from mailworker.config.settings import MailServer
from mailworker.config.ssl import SslSettings
from mailworker.config.zones import SharedZone
from mailworker.native.tls.context import Context
from mailworker.process.cycle import Cycle
from mailworker.process.invocation import Invocation
from mailworker.process.tls_contexts import TlsContexts
from mailworker.shm.ticket_keys import TicketKeys
from mailworker.shm.zones import Zones
from mailworker.tls.context import TlsContext
from tests.support.certificates import Certificate, self_signed
from tests.support.recorded_log import RecordedLog
from tests.support.settings import mail_server, ssl_settings

ZONE = SharedZone("SSL", 1 << 20, "ssl_session_cache")
SHARED = SessionCache(shared=ZONE)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return self_signed(tmp_path_factory.mktemp("certificate"), "self", "/CN=self")


def server(certificate: Certificate, protocol: str = "imap", **changes: Any) -> MailServer:
    return mail_server(protocol, ssl=ssl_settings(certificate, **changes))


def contexts_of(*servers: MailServer) -> TlsContexts:
    contexts = TlsContexts(Path("/nonexistent"), RecordedLog().log.write)
    for each in servers:
        contexts.add(each.ssl, each.proxy.ssl, each.protocol)
    return contexts


def clients_of(*servers: MailServer) -> list[TlsContext | None]:
    return [tls.clients for tls in contexts_of(*servers)]


def test_equal_servers_share_a_context(certificate: Certificate) -> None:
    first, second, other, pop3, plain = clients_of(
        server(certificate),
        server(certificate),
        server(certificate, session_timeout=1),
        server(certificate, "pop3"),
        mail_server("imap"),
    )
    assert first is second
    assert len({id(context) for context in (first, other, pop3)}) == 3
    assert plain is None


def test_a_thousand_servers_load_their_certificate_once(
    certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[TlsContext] = []
    build = TlsContext.build

    def count(*arguments: Any, **options: Any) -> TlsContext:
        built.append(build(*arguments, **options))
        return built[-1]

    monkeypatch.setattr(TlsContext, "build", count)
    listens = "\n".join(f"server {{ listen 127.0.0.1:{port} ssl; protocol imap; }}" for port in range(1000, 2000))
    pair = f"ssl_certificate {certificate.certificate}; ssl_certificate_key {certificate.key};"
    path = tmp_path / "mailworker.conf"
    path.write_text(
        f"events {{ worker_connections 2000; }} mail {{ auth_http 127.0.0.1; {pair}"
        f"ssl_session_cache shared:SSL:1m; {listens} }}"
    )
    cycle = Cycle.load(Invocation((), tmp_path, path, None), RecordedLog().log)
    assert len(cycle.settings.servers) == 1000
    assert len(built) == 1


def test_every_server_warns(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(settings: SslSettings, *rest: object, **options: object) -> TlsContext:
        return TlsContext(settings, Context(b"imap"), b"", ("beware",))

    monkeypatch.setattr(TlsContext, "build", build)
    recorded = RecordedLog()
    contexts = TlsContexts(Path("/nonexistent"), recorded.log.write)
    for _ in range(2):
        contexts.add(ssl_settings(certificate), None, "imap")
    assert recorded.lines == ["[warn] beware"] * 2


def test_ticket_keys_live_as_long_as_the_longest_session_of_their_zone(certificate: Certificate) -> None:
    contexts = contexts_of(
        server(certificate, session_cache=SHARED, session_timeout=100),
        server(certificate, session_cache=SHARED, session_timeout=300),
        server(certificate, session_cache=SHARED, session_timeout=200),
    )
    zones = Zones([ZONE])
    assert contexts.share(zones) == {zones.get(TicketKeys, ZONE): 300}


def test_every_zone_has_its_own_keys(certificate: Certificate) -> None:
    other = replace(ZONE, name="other")
    contexts = contexts_of(
        server(certificate, session_cache=SHARED),
        server(certificate, session_cache=SessionCache(shared=other)),
        server(certificate),
    )
    assert len(contexts.share(Zones([ZONE, other]))) == 2


def test_keys_that_workers_could_write_are_warned_of(
    certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mailworker.conf"
    path.write_text(
        f"events {{ }} mail {{ auth_http 127.0.0.1; ssl_certificate {certificate.certificate};"
        f"ssl_certificate_key {certificate.key}; ssl_session_cache shared:SSL:1m;"
        "server { listen 127.0.0.1:993 ssl; } }"
    )
    monkeypatch.delattr(os, "memfd_create")
    recorded = RecordedLog()
    Cycle.load(Invocation((), tmp_path, path, None), recorded.log)
    reason = "memory that workers can only read is refused (38: Function not implemented)"
    assert recorded.lines == [f"[warn] {reason}: workers can write the ticket keys"]
