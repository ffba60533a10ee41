from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mailworker.config.access import ALL, Rule
from mailworker.config.listen import Listen
from mailworker.config.server_name import ServerName
from mailworker.log.log import Log
from mailworker.mail.admission import new_checks
from mailworker.mail.entrances import by_address, new_entrance
from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.mail.record import Entrance, Sessions
from mailworker.mail.server import Server, ServerTls
from mailworker.model import Address, InetAddress, Starttls, UnixAddress, VerifyClient
from mailworker.tls.context import TlsContext
from mailworker.variables.template import parse
from tests.mail.dialogue.dialogues import source_for
from tests.mail.test_server import server
from tests.support.certificates import self_signed
from tests.support.settings import auth_http_settings, mail_server, ssl_settings

LISTEN = Listen(InetAddress("127.0.0.1", 993))
CLOCK = SimpleNamespace(now=0.0)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> TlsContext:
    certificate = self_signed(tmp_path_factory.mktemp("entrances"), "a", "/CN=a")
    return TlsContext.build(ssl_settings(certificate), b"imap")


def secure(context: TlsContext, protocol: str, *names: bytes, **changes: Any) -> Server:
    return server(protocol, ServerTls(context), names=tuple(map(ServerName, names)), **changes)


def found(entrance: Entrance, name: bytes | None, *offers: bytes) -> Server | None:
    assert entrance.virtual_servers is not None
    chosen = entrance.virtual_servers.lookup(name, offers)
    return None if chosen is None else chosen.server.server


def test_a_single_server_has_no_door(context: TlsContext) -> None:
    alone = secure(context, "imap", b"a")
    assert new_entrance(LISTEN, [alone], alone, Sessions(CLOCK)).virtual_servers is None


def test_a_server_that_rejects_handshakes_has_one(tmp_path: Path) -> None:
    settings = ssl_settings(self_signed(tmp_path, "a", "/CN=a"), reject_handshake=True)
    alone = secure(TlsContext.build(settings, b"imap"), "imap")
    assert new_entrance(LISTEN, [alone], alone, Sessions(CLOCK)).virtual_servers is not None


def test_names_lead_to_those_that_speak_tls(context: TlsContext) -> None:
    servers = [secure(context, "imap", b"a"), secure(context, "imap", b"b"), server("imap", names=(ServerName(b"c"),))]
    entrance = new_entrance(LISTEN, servers, servers[0], Sessions(CLOCK))
    assert [found(entrance, name) for name in (b"a", b"b", b"c", None)] == [servers[number] for number in (0, 1, 0, 0)]
    assert entrance.server is servers[0]


def test_where_the_default_one_speaks_no_tls_it_serves_all(context: TlsContext) -> None:
    servers = [server("imap"), secure(context, "imap", b"a"), secure(context, "imap", b"b")]
    assert new_entrance(LISTEN, servers, servers[0], Sessions(CLOCK)).virtual_servers is None


def test_each_protocol_has_its_names_and_its_default(context: TlsContext) -> None:
    servers = [secure(context, "imap", b"a"), secure(context, "smtp", b"b"), secure(context, "smtp", b"a")]
    entrance = new_entrance(LISTEN, servers, servers[2], Sessions(CLOCK))
    for name, offers, number in (
        (None, (), 2), (b"b", (), 1), (b"a", (), 2), (b"a", (b"imap",), 0), (b"b", (b"imap",), 0),
        (b"b", (b"submission",), 1), (b"x", (b"smtp",), 2),
    ):  # fmt: skip
        assert found(entrance, name, *offers) is servers[number]
    assert found(entrance, b"a", b"pop3") is None


def test_a_greeting_comes_at_once_where_none_has_to_wait(context: TlsContext) -> None:
    servers = [secure(context, "smtp", b"a"), secure(context, "smtp", b"b", greeting_delay=1.0)]
    assert not new_entrance(LISTEN, servers, servers[0], Sessions(CLOCK)).greets_at_once
    assert new_entrance(LISTEN, servers[:1], servers[0], Sessions(CLOCK)).greets_at_once


def test_who_is_watched_is_watched_everywhere(context: TlsContext) -> None:
    servers = [secure(context, "imap", b"a"), secure(context, "imap", b"b")]
    entrance = new_entrance(LISTEN, servers, servers[0], Sessions(CLOCK)).verbose()
    assert (entrance.watched, entrance.virtual_servers is not None, entrance.log.talkative) == (True, True, True)


def test_a_session_has_facts_where_a_server_asks_for_some_that_it_may_come_to(context: TlsContext) -> None:
    source = auth_http_settings(headers=((b"X", parse(b"$remote_port")),))
    silent, asking = secure(context, "imap", b"a.example"), secure(context, "imap", b"b.example", source=source)
    assert new_entrance(LISTEN, [silent, asking], silent, Sessions(CLOCK)).has_variables
    assert not new_entrance(LISTEN, [silent], silent, Sessions(CLOCK)).has_variables


@pytest.mark.parametrize(
    ("ssl", "rules", "at_accept", "in_tls"),
    [
        (False, ((), ()), (), ((), ())),
        (False, ((ALL,), (ALL,)), (ALL,), ((), ())),
        (True, ((ALL,), (ALL,)), (ALL,), ((), ())),
        (False, ((ALL,), ()), (ALL,), ((), ())),
        (False, ((ALL,), ("unix:",)), (ALL,), ((), ("unix:",))),
        (True, ((ALL,), ()), (), ((ALL,), ())),
        (True, ((ALL,), ("unix:",)), (), ((ALL,), ("unix:",))),
        (True, ((), ("unix:",)), (), ((), ("unix:",))),
    ],
)
def test_checks_run_as_soon_as_it_is_known_which_server_a_client_has_reached(
    context: TlsContext,
    ssl: bool,
    rules: tuple[tuple[str, ...], ...],
    at_accept: tuple[str, ...],
    in_tls: tuple[tuple[str, ...], ...],
) -> None:
    """If all servers of an address have the same checks, these run at accept."""

    def denying(*who: str) -> tuple[Rule, ...]:
        return tuple(Rule(False, each) for each in who)

    first, second = (
        secure(context, "imap", name, access=denying(*who)) for name, who in zip((b"a", b"b"), rules, strict=True)
    )
    listen = Listen(InetAddress("127.0.0.1", 993), ssl=ssl)
    entrance = new_entrance(listen, [first, second], first, Sessions(CLOCK))
    assert entrance.virtual_servers is not None
    selected = entrance.virtual_servers.lookup(b"b", ())
    assert selected is not None
    other = selected.server
    assert entrance.at_accept == new_checks(mail_server("imap", access=denying(*at_accept)))
    expected = tuple(new_checks(mail_server("imap", access=denying(*who))) for who in in_tls)
    assert (entrance.in_tls, other.in_tls) == expected
    assert entrance.verbose().at_accept == entrance.at_accept
    assert other.verbose().in_tls == other.in_tls


def quiet(context: TlsContext, name: bytes = b"a", **changes: Any) -> Server:
    """A server with TLS whose log does not take [info], as a server with a lobby."""
    ssl = changes.pop("ssl", context.settings)
    settings = mail_server("imap", names=(ServerName(name),), ssl=ssl, **changes)
    return Server(settings, Log([]), ServerTls(context), PROTOCOLS["imap"].capabilities(settings), source_for(settings))


def test_who_shows_a_certificate_or_chooses_a_server_comes_in_by_no_lobby(context: TlsContext) -> None:
    listen = Listen(LISTEN.address, ssl=True)
    alone, other = quiet(context), quiet(context, b"b")
    asking = quiet(context, ssl=replace(context.settings, verify_client=VerifyClient.OPTIONAL))
    assert new_entrance(listen, [alone], alone, Sessions(CLOCK)).has_lobby
    assert not new_entrance(listen, [alone, other], alone, Sessions(CLOCK)).has_lobby
    assert not new_entrance(listen, [asking], asking, Sessions(CLOCK)).has_lobby


@pytest.mark.parametrize(("quick", "lobby"), [((), True), ((True,), True), ((True, False), False)])
def test_a_lobby_does_all_checks_at_accept_or_none(context: TlsContext, quick: tuple[bool, ...], lobby: bool) -> None:
    alone = quiet(context)
    entrance = new_entrance(LISTEN, [alone], alone, Sessions(CLOCK))
    entrance.at_accept = cast(Any, tuple(SimpleNamespace(quick=object() if each else None) for each in quick))
    assert entrance.has_lobby is lobby


@pytest.mark.parametrize(
    ("address", "port", "local"),
    [
        (UnixAddress("/run/imap"), None, UnixAddress("/run/imap")),
        (InetAddress("192.0.2.1", 143), 143, InetAddress("192.0.2.1", 143)),
        (InetAddress("0.0.0.0", 143), 143, None),
        (InetAddress("::", 143), 143, None),
    ],
    ids=str,
)
def test_clients_connect_to_the_address_of_the_listen_unless_that_is_any(
    context: TlsContext, address: Address, port: int | None, local: Address | None
) -> None:
    alone = quiet(context)
    entrance = new_entrance(Listen(address), [alone], alone, Sessions(CLOCK))
    assert (entrance.port, entrance.local) == (port, local)


def test_in_a_lobby_by_tls_clients_hear_what_is_said_in_tls(context: TlsContext) -> None:
    alone = quiet(context, starttls=Starttls.ONLY)
    clear, tls = (new_entrance(Listen(LISTEN.address, ssl=on), [alone], alone, Sessions(CLOCK)) for on in (False, True))
    assert (tls.greeting, tls.opening) == (alone.capabilities.secure_greeting, alone.capabilities.secure_opening)
    assert (clear.greeting, clear.opening) == (alone.capabilities.greeting, None)
    assert tls.opening is not None


def test_a_client_whose_address_finds_no_memory_is_disconnected(
    context: TlsContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lack(_descriptor: int) -> None:
        raise MemoryError

    monkeypatch.setattr("mailworker.mail.entrances.local_address", lack)
    alone = secure(context, "imap")
    accepted = by_address(lambda *_: None, [new_entrance(LISTEN, [alone], alone, Sessions(CLOCK))])
    ours, theirs = socket.socketpair()
    with theirs:
        with pytest.raises(MemoryError):
            accepted(ours.detach(), UnixAddress(""))
        assert theirs.recv(1) == b""
