"""Variables in `auth_http_header`: the values that the auth service gets of a session."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.config.variables import VariablesSettings
from mailworker.model import Starttls
from mailworker.variables.map import Map
from mailworker.variables.template import parse
from mailworker.variables.variables import Definition, Variables
from mailworker.wire.auth_request import HEADER_VALUE
from tests.mail.cases import IMAP, SMTP, Case, all_protocols
from tests.mail.conftest import Scene
from tests.support.auth import AuthService, accepted, rejected
from tests.support.proxy import Proxy
from tests.support.settings import auth_http_settings
from tests.tls.peers import client_context
from tests.variables.facts import Session
from tests.variables.hosts import hosts

HEADERS = (
    (b"X-Plain", b"as $it is"),
    (b"Client-Port", parse(b"$remote_port")),
    (b"X-Server", parse(b"<$server_port> 100%s $protocol")),
)


def proxy(scene: Scene, case: Case, auth: AuthService, *headers: tuple[bytes, bytes], **fields: Any) -> Proxy:
    """A proxy whose requests have these headers, by name and text."""
    made = tuple((name, parse(text)) for name, text in headers)
    return scene.proxy(case.protocol, auth, source=auth_http_settings(auth.address, headers=made), **fields)


def header(request: bytes, name: bytes) -> bytes:
    (value,) = re.findall(rb"^%b: (.*)\r$" % name, request, re.MULTILINE)
    assert isinstance(value, bytes)
    return value


@all_protocols
def test_the_auth_service_hears_the_ports(scene: Scene, case: Case) -> None:
    backend = scene.backend(case.script())
    auth = scene.auth_for(backend)
    settings = auth_http_settings(auth.address, headers=HEADERS)
    server = scene.proxy(case.protocol, auth, source=settings)
    client = scene.client(server)
    client.expect(case.greeting)
    client.talk((case.login, case.answer))
    (request,) = auth.requests
    ports = client.address[1], server.address[1]
    lines = b"X-Plain: as $it is\r\nClient-Port: %d\r\nX-Server: <%d> 100%%s %b\r\n\r\n"
    assert request.endswith(lines % (*ports, case.protocol.encode()))


def test_each_attempt_is_told_as_it_is(scene: Scene) -> None:
    auth = scene.auth(*2 * [rejected(b"no", (b"Auth-Wait", b"1"))], rejected(b"no"))
    told = b"$auth_user $auth_attempts $auth_method $store", b"$session_id"
    store = Map(parse(b"$remote_user_domain"), b"old", table=hosts({"b": b"new"}))
    stores: Mapping[str, Definition] = {"store": store}
    server = proxy(scene, IMAP, auth, (b"X", told[0]), (b"Auth-Session", told[1]), variables=VariablesSettings(stores))
    client = scene.client(server)
    client.expect(IMAP.greeting)
    for number, user in enumerate((b"a@a", b"b@b", b"c@c")):
        client.send(b"%d LOGIN %b x\r\n" % (number, user))
        if number < 2:
            client.expect(b"%d NO no\r\n" % number)
    assert client.rest() == b"2 NO no\r\n"
    found = [header(request, b"X") for request in auth.requests]
    assert found == [b"a@a 1 plain old", b"b@b 2 plain new", b"c@c 3 plain old"]
    assert len({header(request, b"Auth-Session") for request in auth.requests}) == 1


def test_tls_is_told(scene: Scene) -> None:
    backend = scene.backend(IMAP.script())
    auth = scene.auth_for(backend)
    settings = auth_http_settings(auth.address, headers=((b"X", parse(b"$ssl_protocol $ssl_session_reused$starttls")),))
    server = scene.tls_proxy("imap", auth, source=settings, starttls=Starttls.ON)
    client = scene.client(server)
    client.expect(IMAP.greeting)
    client.talk((b"s STARTTLS\r\n", b"s OK completed\r\n"))
    client.start_tls(client_context())
    client.talk((IMAP.login, IMAP.answer))
    assert header(auth.requests[0], b"X") == b"TLSv1.3 .on"


def test_an_smtp_client_is_told_of_by_its_helo(scene: Scene) -> None:
    backend = scene.backend(SMTP.script())
    auth = scene.auth_for(backend)
    client = scene.client(proxy(scene, SMTP, auth, (b"X", b"$smtp_helo,$remote_host,$smtp_mail_from")))
    client.expect(SMTP.greeting)
    client.talk((SMTP.login, SMTP.answer))
    assert header(auth.requests[0], b"X").endswith(b",[UNAVAILABLE],")


@given(st.binary())
def test_no_value_ends_its_header(value: bytes) -> None:
    render = Variables({}).bind(parse(b"<$auth_user>"), HEADER_VALUE)
    written = render(Session(auth_user=value))
    assert not set(written) & set(range(0x21)) | {0x7F} & set(written)
    assert re.sub(rb"%([0-9A-F]{2})", lambda match: bytes.fromhex(match[1].decode()), written) == b"<" + value + b">"


@pytest.mark.parametrize("headers", [(), ((b"X", b"$y"),)])
def test_without_variables_no_session_is_asked_for_facts(
    scene: Scene, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    backend = scene.backend(IMAP.script())
    auth = scene.auth(accepted(backend.address))
    server = scene.proxy("imap", auth, source=auth_http_settings(auth.address, headers=headers))
    assert not server.service.servers[0].has_variables
    client = scene.client(server)
    client.expect(IMAP.greeting)
    client.talk((IMAP.login, IMAP.answer))
    assert header(auth.requests[0] + b"X: $y\r\n" * (not headers), b"X") == b"$y"
