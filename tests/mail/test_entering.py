"""Logins that need no conversation, with a client or with a backend, and those that turn out to need one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from mailworker.config.settings import MailServer
from mailworker.errors import Party
from mailworker.event.connections import Connections
from mailworker.event.loop import Loop
from mailworker.event.stream import SocketStream
from mailworker.mail.backend.backend import Backend
from mailworker.mail.entrances import new_entrance
from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.mail.record import SessionRecord, Sessions
from mailworker.mail.relay import Relays
from mailworker.mail.session import Session
from mailworker.model import AuthMethod
from mailworker.tls.context import TlsContext
from mailworker.wire.imap_greetings import LoginForms, greeted_forms
from mailworker.wire.login import Login
from mailworker.wire.pop3_greetings import Greetings as Pop3Greetings
from mailworker.wire.remembered import Remembered
from mailworker.wire.secret import Secret
from tests.mail.cases import IMAP, POP3
from tests.mail.conftest import Scene
from tests.mail.test_entrances import LISTEN, secure
from tests.support.auth import rejected
from tests.support.certificates import Certificate
from tests.support.settings import mail_server, proxy_settings, ssl_settings

LOGINS = {
    "usual": Login(AuthMethod.PLAIN, b"user@example.com", Secret(b"secret"), tag=b"a1"),
    "of an old client": Login(AuthMethod.LOGIN, b"user", Secret(b""), tag=b"."),
    "for the backend to judge": Login(AuthMethod.PLAIN, b"user", Secret(b"secret"), tag=b"a1", passed_on=True),
    "too odd for quotes": Login(AuthMethod.PLAIN, b"us\xe9r", Secret(b"secret"), tag=b"a1", passed_on=True),
}


def place(settings: MailServer) -> Backend:
    """Stands for a backend that has greeted like this before; test_imap_foreseen.py and test_pop3_foreseen.py are about
    that.
    """
    server = SimpleNamespace(settings=settings, greetings=Remembered[LoginForms](), pop3_greetings=Pop3Greetings())
    for _ in range(2):
        server.greetings.allowed("backend", IMAP.backend[0], greeted_forms)
        server.pop3_greetings.hear("backend", POP3.backend[0])
    return cast(
        Backend, SimpleNamespace(server=server, log=SimpleNamespace(backend="backend"), greeted=False, foreseen=())
    )


@pytest.mark.parametrize("login", LOGINS)
def test_first_steps_are_those_that_the_whole_login_begins_with(login: str) -> None:
    row, backend = PROTOCOLS["pop3"], place(mail_server("pop3"))
    first, whole = row.first_steps(backend, LOGINS[login]), next(row.log_in(backend, LOGINS[login]))
    assert first is not None
    assert [(command, wanted[:3]) for command, wanted in first] == [(command, wanted[:3]) for command, wanted in whole]


@pytest.mark.parametrize(
    ("protocol", "changes", "login"),
    [
        ("imap", {"imap_id": True}, {}),
        ("pop3", {"pop3_xclient": True}, {}),
        ("sieve", {"sieve_xclient": True}, {}),
        *((protocol, {}, {"mechanism": AuthMethod.PLAIN}) for protocol in ("imap", "pop3")),
        *((protocol, {}, {"password": Secret(b"x" * 1100)}) for protocol in ("imap", "pop3")),
    ],
)
def test_a_login_that_depends_on_answers_has_no_first_steps(
    protocol: str, changes: dict[str, Any], login: dict[str, Any]
) -> None:
    asked = Login(**{"method": AuthMethod.PLAIN, "name": b"u", "password": Secret(b"p"), "tag": b"a1", **login})
    backend = place(mail_server(protocol, proxy=proxy_settings(**changes)))
    assert PROTOCOLS[protocol].first_steps(backend, asked) is None


def test_a_login_that_was_read_without_a_dialogue_counts_as_a_command(scene: Scene) -> None:
    auth = scene.auth(rejected(b"wait", (b"Auth-Wait", b"1")))
    proxy = scene.proxy("imap", auth, max_commands=4)
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.talk((IMAP.login, b"a1 NO wait\r\n"), *[(b"a NOOP\r\n", b"a OK completed\r\n")] * 3)
    client.send(b"a2 NOOP\r\n")
    assert client.rest() == b"a2 BAD invalid command\r\n"
    proxy.log.find("client sent too many commands")


def test_a_login_is_one_command_too_many_if_none_is_allowed(scene: Scene) -> None:
    proxy = scene.proxy("imap", scene.auth(rejected(b"asked")), max_commands=0)
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.send(IMAP.login)
    assert client.rest() == b"a1 BAD invalid command\r\n"
    proxy.log.find("client sent too many commands")


def test_who_asks_for_another_server_is_served_as_that_one_demands(certificate: Certificate) -> None:
    context = TlsContext.build(ssl_settings(certificate), b"imap")
    servers = [secure(context, "imap", name) for name in (b"a", b"b")]
    servers[1].guard = cast(Any, object())
    loop = Loop(list[Exception]().append)
    connections = Connections(loop, 10)
    entrance = new_entrance(LISTEN, servers, servers[0], Sessions(loop))
    session = Session(SessionRecord(entrance), connections, Relays(connections, set()))
    session.stream = SocketStream(loop, -1, Party.CLIENT, lambda: None)
    assert not session.limited_here
    assert entrance.virtual_servers is not None
    chosen = entrance.virtual_servers.lookup(b"b", ())
    assert chosen is not None
    session.log.entrance = chosen.server
    session._change_server()
    assert (session.server, session._plain_source) == (servers[1], servers[1].plain_source)
    assert session.limited_here
    loop.close()
