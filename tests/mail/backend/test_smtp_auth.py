"""AUTH at SMTP backends, such as decide about the login and such as hear of it."""

from __future__ import annotations

from base64 import b64encode

import pytest

from tests.mail.cases import AUTH_PLAIN, SMTP
from tests.mail.conftest import Scene
from tests.mail.deciding import LOGGED_IN, OFFERS, TEMPORARY, WRONG, XCLIENT, Stage
from tests.support.auth import accepted
from tests.support.backend import Script, ScriptedServer, conversation, echo
from tests.support.peer import Peer
from tests.support.proxy import Proxy
from tests.support.settings import proxy_settings


def test_nobody_is_called_by_a_name_before_the_backend_has_said_yes(scene: Scene) -> None:
    script = conversation(b"220 backend\r\n", XCLIENT, b"220 again\r\n", XCLIENT, b"535 no\r\n")
    stage = Stage(scene, "smtp", script)
    stage.client.talk((SMTP.login, WRONG["smtp"]))
    assert stage.backend.heard() == (
        b"EHLO mail.example.com\r\nXCLIENT ADDR=127.0.0.1 NAME=[UNAVAILABLE]\r\nEHLO mail.example.com\r\n" + AUTH_PLAIN
    )


def test_the_client_says_hello_again_by_us_behind_xclient(scene: Scene) -> None:
    script = conversation(b"220 backend\r\n", XCLIENT, b"220 again\r\n", OFFERS, b"235 yes\r\n", then=echo)
    stage = Stage(scene, "smtp", script)
    stage.client.send(b"HELO client.example\r\n")
    stage.client.line()
    stage.client.talk((SMTP.login, LOGGED_IN))
    assert stage.backend.peer().received.endswith(b"NAME=[UNAVAILABLE]\r\nEHLO client.example\r\n" + AUTH_PLAIN)


@pytest.mark.parametrize(
    "hello", [b"250 backend\r\n", b"250-backend\r\n250 AUTH CRAM-MD5\r\n", b"250 AUTH PLAIN\r\n", XCLIENT]
)
def test_a_backend_that_offers_no_auth_logs_nobody_in(scene: Scene, hello: bytes) -> None:
    script = conversation(b"220 backend\r\n", hello, b"220 again\r\n", b"250 backend\r\n", b"250 OK\r\n")
    stage = Stage(scene, "smtp", script)
    stage.client.talk((SMTP.login, TEMPORARY["smtp"]))
    assert "upstream does not offer AUTH PLAIN" in stage.proxy.log.find("[error]")
    assert b"\r\nAUTH" not in stage.backend.heard()


def test_a_backend_with_auth_login_alone_is_asked_by_that(scene: Scene) -> None:
    hello = b"250-backend\r\n250 AUTH=LOGIN\r\n"
    script = conversation(
        b"220 backend\r\n", hello, b"334 VXNlcm5hbWU6\r\n", b"334 UGFzc3dvcmQ6\r\n", b"235 yes\r\n", then=echo
    )
    stage = Stage(scene, "smtp", script)
    stage.client.talk((SMTP.login, LOGGED_IN))
    lines = b"AUTH LOGIN", b64encode(b"user@example.com"), b64encode(b"secret"), b""
    assert stage.backend.peer().received == b"EHLO mail.example.com\r\n" + b"\r\n".join(lines)


# Exchange Server 2019 on port 587 behind TLS, and Exchange Online.
EXCHANGE = (
    b"250-EX01.corp.example Hello [192.0.2.5]\r\n250-SIZE 37748736\r\n250-PIPELINING\r\n250-DSN\r\n"
    b"250-ENHANCEDSTATUSCODES\r\n250-AUTH GSSAPI NTLM LOGIN\r\n250-8BITMIME\r\n250-BINARYMIME\r\n250 CHUNKING\r\n"
)
ONLINE = b"250-AM0.outlook.example Hello\r\n250-SIZE 157286400\r\n250-AUTH LOGIN XOAUTH2\r\n250 SMTPUTF8\r\n"
PROMPTS = b"334 VXNlcm5hbWU6\r\n", b"334 UGFzc3dvcmQ6\r\n"
WELCOME = b"235 2.7.0 Authentication successful\r\n"


def by_proxy(
    scene: Scene, script: Script, *headers: tuple[bytes, bytes], **changes: bool
) -> tuple[Peer, Proxy, ScriptedServer]:
    backend = scene.backend(script)
    proxy = scene.proxy("smtp", scene.auth_for(backend, *headers), proxy=proxy_settings(smtp_auth=True, **changes))
    client = scene.client(proxy)
    client.expect(SMTP.greeting)
    client.send(b"EHLO client.example\r\n")
    while client.line()[3:4] != b" ":
        pass
    return client, proxy, backend


@pytest.mark.parametrize("prompts", [PROMPTS, (b"334 \r\n", b"334 anything\r\n")])
def test_exchange_which_has_no_plain_is_logged_in_at_by_login(scene: Scene, prompts: tuple[bytes, ...]) -> None:
    sender = b"250 2.1.0 Sender OK\r\n"
    script = conversation(b"220 EX01 Microsoft ESMTP MAIL Service\r\n", EXCHANGE, *prompts, WELCOME, sender)
    client, _, backend = by_proxy(scene, script, xclient=False)
    client.talk((AUTH_PLAIN, LOGGED_IN), (b"MAIL FROM:<a@corp.example>\r\n", sender))
    lines = b"AUTH LOGIN", b64encode(b"user@example.com"), b64encode(b"secret"), b"MAIL FROM:<a@corp.example>", b""
    assert backend.peer().received == b"EHLO mail.example.com\r\n" + b"\r\n".join(lines)


def test_exchange_online_gets_the_token_that_the_auth_service_has(scene: Scene) -> None:
    script = conversation(b"220 AM0\r\n", ONLINE, b"334 \r\n", WELCOME, then=echo)
    token = (b"Auth-Backend-Mech", b"xoauth2"), (b"Auth-Pass", b"eyJ0")
    client, _, backend = by_proxy(scene, script, *token, xclient=False)
    client.talk((AUTH_PLAIN, LOGGED_IN))
    response = b64encode(b"user=user@example.com\x01auth=Bearer eyJ0\x01\x01")
    assert backend.peer().received.endswith(b"AUTH XOAUTH2\r\n%b\r\n" % response)


def test_exchange_online_that_does_not_like_the_token_says_so_behind_its_reason(scene: Scene) -> None:
    no = b"535 5.7.3 Authentication unsuccessful\r\n"
    script = conversation(b"220 AM0\r\n", ONLINE, b"334 \r\n", b"334 eyJzdGF0dXMiOiI0MDAifQ==\r\n", no)
    token = (b"Auth-Backend-Mech", b"xoauth2"), (b"Auth-Pass", b"eyJ0")
    client, proxy, backend = by_proxy(scene, script, *token, pass_error_codes=True)
    client.talk((AUTH_PLAIN, WRONG["smtp"]), (b"NOOP\r\n", b"250 2.0.0 OK\r\n"))
    assert "[error]" in proxy.log.find('upstream sent invalid response: "535 5.7.3 Authentication unsuccessful"')
    assert "eyJ0" not in "".join(proxy.log.lines)
    assert backend.heard().endswith(b"\r\n\r\n")


@pytest.mark.parametrize("headers", [(), ((b"Auth-Backend-Mech", b"plain"),)], ids=["usual", "named"])
@pytest.mark.parametrize("xclient", [False, True])
def test_no_password_goes_to_a_backend_that_demands_tls(
    scene: Scene, headers: tuple[tuple[bytes, bytes], ...], xclient: bool
) -> None:
    offer = b"250-x\r\n250-XCLIENT ADDR\r\n250 STARTTLS\r\n" if xclient else b"250-x\r\n250 STARTTLS\r\n"
    backend = scene.backend(
        conversation(b"220 x\r\n", offer, *((b"220 x\r\n", offer) if xclient else ()), b"235 in\r\n")
    )
    settings = proxy_settings(smtp_auth=True, xclient=xclient)
    proxy = scene.proxy("smtp", scene.auth(*[accepted(backend.address, *headers)] * 3), proxy=settings)
    for number in range(3):
        client = scene.client(proxy)
        client.expect(SMTP.greeting)
        client.send(AUTH_PLAIN)
        assert client.rest() == SMTP.error
        assert "[error]" in proxy.log.find("upstream offers no login before STARTTLS while sending AUTH to upstream")
        assert b"AUTH" not in backend.heard(number)


@pytest.mark.parametrize("hello", [b"250-x\r\n250 AUTH NTLM GSSAPI\r\n", b"250-x\r\n250 AUTH CRAM-MD5\r\n"])
def test_no_password_goes_to_a_backend_that_wants_neither_plain_nor_login(scene: Scene, hello: bytes) -> None:
    client, proxy, backend = by_proxy(scene, conversation(b"220 x\r\n", hello, b"235 x\r\n"), xclient=False)
    client.send(AUTH_PLAIN)
    assert client.rest() == SMTP.error
    assert "upstream does not offer AUTH PLAIN" in proxy.log.find("[error]")
    assert backend.heard() == b"EHLO mail.example.com\r\n"


def test_a_backend_that_offers_nothing_gets_plain_as_from_nginx(scene: Scene) -> None:
    script = conversation(b"220 x\r\n", b"250 x\r\n", b"235 in\r\n", then=echo)
    client, _, backend = by_proxy(scene, script, xclient=False)
    client.talk((AUTH_PLAIN, LOGGED_IN))
    assert backend.peer().received == b"EHLO mail.example.com\r\n" + AUTH_PLAIN


def test_what_is_offered_behind_xclient_counts(scene: Scene) -> None:
    """A server may offer more to one client than to another."""
    script = conversation(b"220 x\r\n", XCLIENT, b"220 again\r\n", EXCHANGE, *PROMPTS, WELCOME, then=echo)
    client, _, backend = by_proxy(scene, script)
    client.talk((AUTH_PLAIN, LOGGED_IN))
    assert b"\r\nEHLO client.example\r\nAUTH LOGIN\r\n" in backend.peer().received
