"""Sessions that end because of an auth service, a backend, or the proxy itself."""

from __future__ import annotations

from mailworker.config.resolver import ResolverSettings
from mailworker.errors import ConnectionLost, Party
from mailworker.event.connections import Connections
from mailworker.mail.end import End
from mailworker.mail.record import Entrance
from mailworker.model import Address, InetAddress, UnixAddress
from mailworker.shm.session_row import State
from tests.mail.cases import IMAP, POP3, SMTP
from tests.mail.stage import AGES, BROKEN, Stage, all_end_with, ends_with
from tests.mail.test_targets import connecting, fill
from tests.support.auth import accepted, rejected, response
from tests.support.backend import conversation, hang, hang_up, reset
from tests.support.daemon import wait_until
from tests.support.name_server import records
from tests.support.proxy import Proxy
from tests.support.settings import (
    auth_http_settings,
    proxy_settings,
    proxy_ssl_settings,
)

all_end_with(
    End.AUTH_FAILED,
    login_is_refused=lambda stage: stage.answered(rejected(b"no")),
)


@ends_with(End.AUTH_FAILED)
def client_does_not_wait_for_its_refusal(stage: Stage) -> Proxy:
    proxy = stage.scene.proxy("imap", auth := stage.scene.auth(rejected(b"no")))
    client = stage.wants_in(proxy)
    auth.peer()
    proxy.log.find("client login failed")
    client.close()
    return proxy


@ends_with(End.AUTH_TIMEOUT)
def auth_service_is_silent(stage: Stage) -> Proxy:
    proxy = stage.scene.proxy("imap", auth := stage.scene.auth(hang), auth_timeout=AGES)
    client = stage.wants_in(proxy)
    auth.peer()
    stage.skip_until_over(proxy, client)
    return proxy


all_end_with(
    End.AUTH_ERROR,
    auth_service_is_broken=lambda stage: stage.answered(BROKEN),
    auth_service_hangs_up=lambda stage: stage.answered(hang_up),
)


@ends_with(End.AUTH_ERROR)
def auth_service_is_not_there(stage: Stage) -> Proxy:
    settings = auth_http_settings(UnixAddress("/nonexistent/auth"))
    return stage.answered(BROKEN, source=settings)


all_end_with(
    End.BACKEND_CONNECT,
    backend_refuses_connections=lambda stage: stage.answered(accepted(stage.scene.nowhere())),
    backend_has_no_socket=lambda stage: stage.answered(accepted(UnixAddress("/nonexistent/backend"))),
)


@ends_with(End.BACKEND_CONNECT)
def backend_has_no_address(stage: Stage) -> Proxy:
    server = stage.scene.name_server({"imap.example.com A": records(), "imap.example.com AAAA": records()})
    named = response((b"Auth-Status", b"OK"), (b"Auth-Server", b"imap.example.com"), (b"Auth-Port", b"143"))
    return stage.answered(named, resolver=ResolverSettings((server.address,)))


@ends_with(End.BACKEND_CONNECT_TIMEOUT)
def backend_takes_no_connection(stage: Stage) -> Proxy:
    port = stage.scene.backend(hang).address.port
    fill(stage.resources, "127.0.0.2", port)
    others = connecting(port)
    answer = accepted(InetAddress("127.0.0.2", port))
    proxy = stage.scene.proxy("imap", stage.scene.auth(answer), timeout=AGES)
    client = stage.wants_in(proxy)
    wait_until(lambda: connecting(port) > others, "an attempt to connect")
    stage.skip_until_over(proxy, client)
    return proxy


all_end_with(
    End.BACKEND_TLS,
    backend_speaks_no_tls=lambda stage: stage.backed(
        conversation(IMAP.greeting), proxy=proxy_settings(ssl=proxy_ssl_settings())
    ),
    backend_leaves_in_its_handshake=lambda stage: stage.backed(hang_up, proxy=proxy_settings(ssl=proxy_ssl_settings())),
)


@ends_with(End.BACKEND_TIMEOUT)
def backend_is_silent(stage: Stage) -> Proxy:
    backend = stage.scene.backend(hang)
    proxy = stage.scene.proxy("imap", stage.scene.auth_for(backend), timeout=AGES)
    client = stage.wants_in(proxy)
    backend.peer()
    stage.skip_until_over(proxy, client)
    return proxy


all_end_with(
    End.BACKEND_AUTH,
    imap_backend_says_no=lambda stage: stage.backed(
        conversation(*IMAP.backend[:-1], b"a1 NO [AUTHENTICATIONFAILED] no\r\n")
    ),
    pop3_backend_says_no=lambda stage: stage.backed(conversation(*POP3.backend[:-1], b"-ERR [AUTH] no\r\n"), POP3),
    smtp_backend_says_no=lambda stage: stage.backed(conversation(*SMTP.backend[:-1], b"550-no\r\n550 no\r\n"), SMTP),
)


all_end_with(
    End.BACKEND_TEMP,
    imap_backend_says_not_now=lambda stage: stage.backed(
        conversation(*IMAP.backend[:-1], b"a1 NO [UNAVAILABLE] later\r\n")
    ),
    imap_backend_says_bye=lambda stage: stage.backed(conversation(b"* BYE too many connections\r\n")),
    pop3_backend_says_not_now=lambda stage: stage.backed(
        conversation(*POP3.backend[:-1], b"-ERR [IN-USE] later\r\n"), POP3
    ),
    smtp_backend_says_not_now=lambda stage: stage.backed(conversation(b"421 later\r\n"), SMTP),
)


all_end_with(
    End.BACKEND_PROTOCOL,
    backend_says_something_else=lambda stage: stage.backed(conversation(b"HTTP/1.0 200 OK\r\n")),
    backend_hangs_up=lambda stage: stage.backed(hang_up),
    backend_resets_before_a_word=lambda stage: stage.backed(reset),
)


@ends_with(End.SHUTDOWN)
def worker_waits_no_longer(stage: Stage) -> Proxy:
    proxy = stage.proxy(backend=IMAP.script(hang))
    client = stage.relayed(proxy)
    proxy.call(proxy.service.cut)
    client.rest()
    return proxy


@ends_with(End.SHUTDOWN)
def process_ends(stage: Stage) -> Proxy:
    proxy = stage.proxy()
    client = stage.greeted(proxy)
    proxy.call(proxy.service.abandon)
    client.talk(IMAP.noop)  # the process has not ended after all
    client.close()
    return proxy


@ends_with(End.SHUTDOWN)
def process_ends_before_a_client_has_spoken(stage: Stage) -> Proxy:
    stage.patch.setattr(Entrance, "has_lobby", True)
    proxy = stage.proxy()
    client = stage.greeted(proxy)
    proxy.call(proxy.service.abandon)
    assert client.rest() == b""
    client.close()
    return proxy


@ends_with(End.SHUTDOWN)
def process_ends_while_a_relay_is_there(stage: Stage) -> Proxy:
    proxy = stage.proxy()
    client = stage.relayed(proxy)
    proxy.call(proxy.service.abandon)
    client.talk((b"one\r\n", b"one\r\n"))
    client.end()
    return proxy


def _kick(proxy: Proxy) -> None:
    (row,) = proxy.table.rows()
    proxy.call(lambda: proxy.service.kick([(row.number, row.id)], "kicked by uid 0: moved"))


@ends_with(End.KICKED)
def administrator_ends_a_relay(stage: Stage) -> Proxy:
    proxy = stage.proxy(backend=IMAP.script(hang), rows=4)
    client = stage.relayed(proxy)
    _kick(proxy)
    client.rest()
    proxy.log.find("kicked by uid 0: moved while proxying, client: 127.0.0.1")
    return proxy


@ends_with(End.KICKED)
def administrator_ends_a_session_that_was_greeted(stage: Stage) -> Proxy:
    proxy = stage.proxy(rows=4)
    client = stage.greeted(proxy)
    _kick(proxy)
    assert not client.rest()
    proxy.log.find("kicked by uid 0: moved while in auth state, client: 127.0.0.1")
    return proxy


@ends_with(End.KICKED)
def administrator_ends_a_session_that_waits_for_a_decision(stage: Stage) -> Proxy:
    proxy = stage.scene.proxy("imap", stage.scene.auth(hang), rows=4)
    client = stage.wants_in(proxy)
    proxy.await_row(lambda row: row.state is State.AUTH)
    _kick(proxy)
    assert not client.rest()
    return proxy


@ends_with(End.KICKED)
def administrator_ends_a_session_that_waits_for_its_backend(stage: Stage) -> Proxy:
    proxy = stage.proxy(backend=hang, rows=4)
    client = stage.wants_in(proxy)
    proxy.await_row(lambda row: row.state is State.BACKEND)
    _kick(proxy)
    assert not client.rest()
    return proxy


@ends_with(End.KICKED)
def administrator_ends_a_session_in_its_handshake(stage: Stage) -> Proxy:
    proxy = stage.tls(rows=4)
    client = stage.scene.client(proxy)
    proxy.await_row(lambda row: row.state is State.LOGIN)
    _kick(proxy)
    assert not client.rest()
    return proxy


@ends_with(End.RESOURCES)
def connections_are_used_up(stage: Stage) -> Proxy:
    proxy = stage.proxy(worker_connections=2)
    proxy.alerts_expected = True
    stage.wants_in(proxy).rest()
    return proxy


@ends_with(End.RESOURCES)
def ports_are_used_up(stage: Stage) -> Proxy:
    def without_sockets(_connections: Connections, _address: Address, party: Party, _timeout: float) -> None:
        raise ConnectionLost(party, "socket()", 24)

    stage.patch.setattr(Connections, "connect", without_sockets, raising=False)
    proxy = stage.proxy()
    stage.wants_in(proxy).rest()
    return proxy


@ends_with(End.BUG)
def bug_in_a_dialogue(stage: Stage) -> Proxy:
    stage.patch.setattr("mailworker.mail.dialogue.imap.ImapDialogue.obey", None)
    proxy = stage.proxy()
    proxy.alerts_expected = True
    client = stage.greeted(proxy)
    client.send(b"a CAPABILITY\r\n")
    client.rest()
    assert " while in auth state, client: " in proxy.log.find("[alert] *1 bug: TypeError(")
    return proxy


@ends_with(End.BUG)
def bug_while_a_session_is_explained(stage: Stage) -> Proxy:
    stage.patch.setattr("mailworker.mail.leaving.end_by", None)
    proxy = stage.proxy()
    proxy.connect().close()
    wait_until(lambda: bool(proxy.bugs), "the bug")
    assert [type(bug) for bug in proxy.bugs] == [TypeError]
    proxy.bugs.clear()
    return proxy


@ends_with(End.BUG)
def bug_in_a_relay(stage: Stage) -> Proxy:
    stage.patch.setattr("mailworker.mail.relay.Relay.finish", None)
    proxy = stage.proxy(backend=IMAP.script(hang))
    proxy.alerts_expected = True
    client = stage.relayed(proxy)
    client.end()
    client.rest()
    assert " while proxying, client: " in proxy.log.find("[alert] *1 bug: TypeError(")
    return proxy
