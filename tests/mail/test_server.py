"""A server block, ready to serve."""

from __future__ import annotations

from typing import Any, cast

import pytest

from mailworker.mail.authentication.auth_http import AuthHttp
from mailworker.mail.capabilities import Capabilities
from mailworker.mail.client.host import Resolver
from mailworker.mail.server import Memories, Server, ServerTls
from mailworker.model import Starttls
from mailworker.tls.backend import BackendTls
from mailworker.tls.context import TlsContext
from mailworker.wire.pop3_greetings import Greetings as Pop3Greetings
from tests.mail.dialogue.dialogues import server_of, source_for
from tests.support.recorded_log import RecordedLog
from tests.support.settings import mail_server, proxy_settings, proxy_ssl_settings

CAPABILITIES = Capabilities(b"clear", b"secure")
RESOLVER = cast(Resolver, object())


def server(protocol: str = "smtp", tls: ServerTls = ServerTls(), **changes: object) -> Server:  # noqa: B008 - a tuple
    settings = server_of(protocol, changes)
    return Server(settings, RecordedLog().log, tls, CAPABILITIES, source_for(settings))


@pytest.mark.parametrize(
    ("delay", "resolver", "at_once"), [(0.0, None, True), (0.1, None, False), (0.0, RESOLVER, False)]
)
def test_clients_wait_for_their_greeting_where_a_delay_or_a_name_comes_first(
    delay: float, resolver: Resolver | None, at_once: bool
) -> None:
    waiting = server(greeting_delay=delay)
    waiting.client_resolver = resolver
    assert waiting.greets_at_once is at_once


@pytest.mark.parametrize("starttls", Starttls)
def test_logging_in_demands_tls_by_starttls_only(starttls: Starttls) -> None:
    assert server(starttls=starttls).starttls_only is (starttls is Starttls.ONLY)


def test_connections_with_clients_and_with_backends_are_encrypted_by_contexts_of_their_own() -> None:
    clients, backends = cast(TlsContext, object()), cast(BackendTls, object())
    encrypted = server(tls=ServerTls(clients, backends))
    assert (encrypted.tls, encrypted.backend_tls) == (clients, backends)
    assert (server().tls, server().backend_tls) == (None, None)


def test_an_auth_service_decides_about_logins_unless_something_else_is_configured() -> None:
    assert isinstance(server().login_source, AuthHttp)


def test_memories_are_shared_by_servers_that_read_alike() -> None:
    memories, login_source = Memories(), source_for(mail_server("smtp"))

    def remembering(**changes: Any) -> Server:
        settings = mail_server("smtp", proxy=proxy_settings(**changes))
        return Server(settings, RecordedLog().log, ServerTls(), CAPABILITIES, login_source, memories=memories)

    first, second, third = remembering(), remembering(smtp_auth=True), remembering(xclient=False)
    assert first.greetings is second.greetings is third.greetings
    assert first.agreements is second.agreements is third.agreements
    assert first.offers is second.offers is not third.offers
    assert server().offers is not server().offers


def test_pop3_backends_are_remembered_by_the_way_to_them() -> None:
    memories, login_source = Memories(), source_for(mail_server("pop3"))

    def remembering(**changes: Any) -> Pop3Greetings:
        settings = mail_server("pop3", proxy=proxy_settings(**changes))
        server = Server(settings, RecordedLog().log, ServerTls(), CAPABILITIES, login_source, memories=memories)
        return server.pop3_greetings

    assert remembering() is remembering(buffer=8192)
    assert remembering(ssl=proxy_ssl_settings()) is remembering(ssl=proxy_ssl_settings())
    ways = remembering(), remembering(ssl=proxy_ssl_settings()), remembering(ssl=proxy_ssl_settings(starttls=True))
    assert len({id(way) for way in ways}) == 3


def test_what_is_told_once_is_each_server_s_own() -> None:
    first, second = server(), server()
    assert [each.logged.is_new("backend") for each in (first, second, first)] == [True, True, False]
