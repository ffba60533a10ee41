"""Whole logins: what the client, the auth service and the backend see, byte for byte, and what is logged."""

from __future__ import annotations

import socket
from base64 import b64encode
from typing import Any

import pytest

from mailworker.model import AuthMethod, InetAddress, Starttls
from tests.mail.cases import AUTH_PLAIN, CREDENTIALS, IMAP, POP3, SMTP, Case, all_protocols
from tests.mail.conftest import Scene
from tests.support.auth import accepted, rejected
from tests.support.backend import conversation, echo, hang_up
from tests.support.settings import access_log, dialogue_settings, proxy_settings
from tests.tls.peers import client_context


@all_protocols
def test_a_login_leads_to_a_relay(scene: Scene, case: Case) -> None:
    backend = scene.backend(case.script())
    auth = scene.auth_for(backend)
    proxy = scene.proxy(case.protocol, auth)
    client = scene.client(proxy)
    client.expect(case.greeting)
    client.talk((case.login, case.answer), (b"one\r\n", b"one\r\n"), (b"two\r\n", b"two\r\n"))
    client.end()
    assert client.rest() == b""
    assert backend.heard() == case.commands + b"one\r\ntwo\r\n"
    proxy.log.find("proxied session done")
    here, there = str(InetAddress(*client.address)), str(InetAddress(*proxy.address))
    suffix = f', client: 127.0.0.1, server: {there}, login: "user@example.com", upstream: {backend.address}'
    assert proxy.log.lines == [
        f"[info] *1 client {here} connected to {there}",
        f"[info] *1 client logged in{suffix}",
        f"[info] *1 proxied session done{suffix}",
    ]


@pytest.mark.parametrize("fields", [{}, {"access_log": access_log()}], ids=["no log", "access log"])
def test_lines_about_a_further_attempt_name_no_former_backend(scene: Scene, fields: dict[str, Any]) -> None:
    backend = scene.backend(hang_up)
    auth = scene.auth(accepted(backend.address), rejected(b"no"))
    proxy = scene.proxy("imap", auth, proxy=proxy_settings(pass_error_codes=True), **fields)
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.send(IMAP.login)
    client.line()
    client.send(IMAP.login)
    assert client.line() == b"a1 NO no\r\n"
    assert proxy.log.find("upstream prematurely closed").endswith(f", upstream: {backend.address}")
    assert proxy.log.find("client login failed").endswith(', login: "user@example.com"')


@all_protocols
def test_login_and_password_of_the_auth_service_replace_the_clients(scene: Scene, case: Case) -> None:
    backend = scene.backend(case.script())
    auth = scene.auth_for(backend, (b"Auth-User", b"mailbox"), (b"Auth-Pass", b"other"))
    proxy = scene.proxy(case.protocol, auth)
    client = scene.client(proxy)
    client.expect(case.greeting)
    client.talk((case.login, case.answer))
    expected = case.commands.replace(b"user@example.com", b"mailbox").replace(b"secret", b"other")
    assert backend.peer().received == expected.replace(b"{16}", b"{7}").replace(b"{6}", b"{5}")
    assert ', login: "mailbox", upstream: ' in proxy.log.find("client logged in")


@all_protocols
def test_what_is_pipelined_behind_the_login_reaches_the_backend_once(scene: Scene, case: Case) -> None:
    backend = scene.backend(case.script())
    client = scene.client(scene.proxy(case.protocol, scene.auth_for(backend)))
    client.send(case.login + b"one\r\ntwo\r\n")
    client.expect(case.greeting + case.answer + b"one\r\ntwo\r\n")
    assert backend.peer().received == case.commands + b"one\r\ntwo\r\n"


@all_protocols
def test_a_client_that_ends_its_side_at_once_is_served_all_the_same(scene: Scene, case: Case) -> None:
    backend = scene.backend(case.script())
    client = scene.client(scene.proxy(case.protocol, scene.auth_for(backend)))
    client.send(case.login + b"one\r\n")
    client.end()
    assert client.rest() == case.greeting + case.answer + b"one\r\n"


@all_protocols
def test_what_the_backend_sends_behind_its_reply_reaches_the_client(scene: Scene, case: Case) -> None:
    last = case.backend[-1] + b"* more\r\n"
    backend = scene.backend(conversation(*case.backend[:-1], last))
    client = scene.client(scene.proxy(case.protocol, scene.auth_for(backend)))
    client.expect(case.greeting)
    client.talk((case.login, case.answer + b"* more\r\n"))


@all_protocols
def test_a_login_in_single_bytes(scene: Scene, case: Case) -> None:
    backend = scene.backend(case.script())
    client = scene.client(scene.proxy(case.protocol, scene.auth_for(backend)))
    client.expect(case.greeting)
    client.send_slowly(case.login)
    client.expect(case.answer)
    assert backend.peer().received == case.commands


@all_protocols
def test_a_refused_login_ends_the_session(scene: Scene, case: Case) -> None:
    proxy = scene.proxy(case.protocol, scene.auth(rejected(b'No "such" user')))
    client = scene.client(proxy)
    client.expect(case.greeting)
    client.send(case.login)
    expected = {
        IMAP: b'a1 NO No "such" user\r\n',
        POP3: b'-ERR No "such" user\r\n',
        SMTP: b'535 5.7.0 No "such" user\r\n',
    }
    assert client.rest() == expected[case]
    suffix = f'client: 127.0.0.1, server: 127.0.0.1:{proxy.address[1]}, login: "user@example.com"'
    failed = r'client login failed: "No \x22such\x22 user"'
    assert proxy.log.find("failed") == f"[info] *1 {failed} while in http auth state, {suffix}"


@all_protocols
def test_a_refusal_with_auth_wait_comes_late_and_the_client_may_try_again(scene: Scene, case: Case) -> None:
    backend = scene.backend(case.script())
    auth = scene.auth(rejected(b"Try again", (b"Auth-Wait", b"1000")), accepted(backend.address))
    proxy = scene.proxy(case.protocol, auth, timeout=100.0)
    client = scene.client(proxy)
    client.expect(case.greeting)
    client.send(case.login)
    proxy.log.find("client login failed")
    scene.skip(900.0)
    assert client.is_silent()
    scene.skip(150.0)
    assert client.line().endswith(b"Try again\r\n")
    client.talk((case.login, case.answer))
    assert auth.header(b"Auth-Login-Attempt") == b"2"


def test_smtp_clients_see_the_services_error_code(scene: Scene) -> None:
    auth = scene.auth(rejected(b"Later", (b"Auth-Error-Code", b"454 4.7.0")))
    client = scene.client(scene.proxy("smtp", auth))
    client.expect(SMTP.greeting)
    client.send(SMTP.login)
    assert client.rest() == b"454 4.7.0 Later\r\n"


# How a backend that knows XCLIENT answers; all else is fine.
SMTP_REPLIES = {b"AUTH": b"235 fine\r\n", b"EHLO": b"250-fine\r\n250 XCLIENT NAME ADDR LOGIN\r\n"}


@pytest.mark.parametrize(
    ("xclient", "smtp_auth", "said", "heard"),
    [
        (False, False, b"", b"HELO mail.example.com\r\n"),
        (False, False, b"HELO me\r\n", b"HELO mail.example.com\r\n"),
        (False, False, b"EHLO me\r\n", b"EHLO mail.example.com\r\n"),
        (False, False, b"EHLO me\r\nHELO you\r\n", b"EHLO mail.example.com\r\n"),
        (False, True, b"EHLO me\r\n", b"EHLO mail.example.com\r\nAUTH PLAIN %b\r\n" % CREDENTIALS),
        (
            True,
            False,
            b"HELO me\r\n",
            b"EHLO mail.example.com\r\nXCLIENT ADDR=127.0.0.1 LOGIN=user@example.com NAME=[UNAVAILABLE]\r\nHELO me\r\n",
        ),
        (
            True,
            True,
            b"EHLO me\r\nHELO you\r\n",
            b"EHLO mail.example.com\r\nXCLIENT ADDR=127.0.0.1 NAME=[UNAVAILABLE]\r\nEHLO you\r\nAUTH PLAIN %b\r\n"
            % CREDENTIALS,
        ),
    ],
)
def test_what_an_smtp_backend_is_told(scene: Scene, xclient: bool, smtp_auth: bool, said: bytes, heard: bytes) -> None:
    replies = [SMTP_REPLIES.get(line[:4], b"250 fine\r\n") for line in heard.splitlines()]
    backend = scene.backend(conversation(b"220 backend\r\n", *replies, then=echo))
    auth = scene.auth_for(backend)
    proxy = scene.proxy("smtp", auth, proxy=proxy_settings(xclient=xclient, smtp_auth=smtp_auth))
    client = scene.client(proxy)
    client.send(said + AUTH_PLAIN)
    client.until(b"235 2.0.0 OK\r\n")
    client.talk((b"MAIL FROM:<a@b>\r\n", b"MAIL FROM:<a@b>\r\n"))
    assert backend.peer().received == heard + b"MAIL FROM:<a@b>\r\n"


def test_mail_without_authentication(scene: Scene) -> None:
    hello = SMTP_REPLIES[b"EHLO"]
    replies = (b"220 backend\r\n", hello, b"250 ok\r\n", hello, b"250 sender\r\n", b"550 no\r\n")
    backend = scene.backend(conversation(*replies, then=echo))
    auth = scene.auth_for(backend)
    none = dialogue_settings("smtp", auth=AuthMethod.NONE)
    client = scene.client(scene.proxy("smtp", auth, dialogue=none))
    client.expect(SMTP.greeting)
    client.talk(
        (b"EHLO me\r\n", b"250 mail.example.com\r\n"),
        (b"mail  from:<a@b> BODY=8BITMIME \r\n", b"250 2.0.0 OK\r\n"),
        (b"RCPT TO:<c@d>\r\n", b"550 no\r\n"),
        (b"QUIT\r\n", b"QUIT\r\n"),
    )
    assert backend.peer().received == (
        b"EHLO mail.example.com\r\nXCLIENT ADDR=127.0.0.1 NAME=[UNAVAILABLE]\r\nEHLO me\r\n"
        b"mail  from:<a@b> BODY=8BITMIME\r\nRCPT TO:<c@d>\r\nQUIT\r\n"
    )
    assert auth.header(b"Auth-Method") == b"none"
    assert auth.header(b"Auth-User") == auth.header(b"Auth-Pass") == b""
    assert auth.header(b"Auth-SMTP-Helo") == b"me"
    assert auth.header(b"Auth-SMTP-From") == b"mail  from:<a@b> BODY=8BITMIME"
    assert auth.header(b"Auth-SMTP-To") == b"RCPT TO:<c@d>"


def test_a_recipient_can_be_tried_again_after_a_wait(scene: Scene) -> None:
    greylisted = (b"Auth-Error-Code", b"451 4.7.1")
    auth = scene.auth(rejected(b"Greylisted", (b"Auth-Wait", b"1000"), greylisted), rejected(b"Greylisted", greylisted))
    none = dialogue_settings("smtp", auth=AuthMethod.NONE)
    proxy = scene.proxy("smtp", auth, dialogue=none)
    client = scene.client(proxy)
    client.expect(SMTP.greeting)
    client.talk((b"MAIL FROM:<a@b>\r\n", b"250 2.0.0 OK\r\n"))
    client.send(b"RCPT TO:<c@d>\r\n")
    proxy.log.find("client login failed")
    scene.skip(1050.0)
    client.expect(b"451 4.7.1 Greylisted\r\n")
    client.talk((b"MAIL FROM:<x@y>\r\n", b"503 5.5.1 Bad sequence of commands\r\n"))
    client.send(b"RCPT TO:<e@f>\r\n")
    client.expect(b"451 4.7.1 Greylisted\r\n")
    assert auth.header(b"Auth-SMTP-To") == b"RCPT TO:<e@f>"


@pytest.mark.parametrize("implicit", [True, False], ids=["listen ssl", "starttls"])
@all_protocols
def test_a_login_over_tls(scene: Scene, case: Case, implicit: bool) -> None:
    backend = scene.backend(case.script())
    auth = scene.auth_for(backend)
    starttls = Starttls.OFF if implicit else Starttls.ONLY
    proxy = scene.tls_proxy(case.protocol, auth, implicit_tls=implicit, starttls=starttls)
    client = scene.client(proxy)
    if implicit:
        client.start_tls(client_context())
        client.expect(case.greeting)
    else:
        client.expect(case.greeting)
        go_ahead = {IMAP: b"s OK completed\r\n", POP3: b"+OK\r\n", SMTP: b"220 2.0.0 Start TLS\r\n"}
        command = {IMAP: b"s STARTTLS\r\n", POP3: b"STLS\r\n", SMTP: b"STARTTLS\r\n"}
        client.talk((command[case], go_ahead[case]))
        client.start_tls(client_context())
    client.talk((case.login, case.answer), (b"one\r\n", b"one\r\n"))
    assert backend.peer().received == case.commands + b"one\r\n"
    assert auth.header(b"Auth-SSL") == b"on"
    assert auth.header(b"Auth-SSL-Protocol") == b"TLSv1.3"
    assert auth.header(b"Auth-SSL-Verify") is None
    assert (" using starttls, server: " in proxy.log.find("client logged in")) is not implicit


def test_an_ipv6_client(scene: Scene) -> None:
    backend = scene.backend(SMTP.script())
    auth = scene.auth_for(backend)
    client = scene.client(scene.proxy("smtp", auth, family=socket.AF_INET6))
    client.expect(SMTP.greeting)
    client.talk((SMTP.login, SMTP.answer))
    assert auth.header(b"Client-IP") == b"::1"
    assert b"XCLIENT ADDR=IPV6:::1 LOGIN=" in backend.peer().received


@all_protocols
def test_external_needs_a_password_from_the_service_but_for_smtp(scene: Scene, case: Case) -> None:
    backend = scene.backend(case.script())
    external = dialogue_settings(case.protocol, auth=AuthMethod.EXTERNAL)
    auth = scene.auth_for(backend)
    proxy = scene.proxy(case.protocol, auth, dialogue=external)
    client = scene.client(proxy)
    client.expect(case.greeting)
    command = b"a1 AUTHENTICATE" if case is IMAP else b"AUTH"
    client.send(command + b" EXTERNAL " + b64encode(b"user@example.com") + b"\r\n")
    if case is SMTP:
        client.expect(case.answer)
        assert backend.peer().received == case.commands
    else:
        assert client.rest() == case.error
        assert "did not send password" in proxy.log.find("[error]")
    assert auth.header(b"Auth-Pass") == b""


def test_disabled_external_asks_nobody(scene: Scene) -> None:
    auth = scene.auth(hang_up)
    client = scene.client(scene.proxy("smtp", auth))
    client.expect(SMTP.greeting)
    client.talk((b"AUTH EXTERNAL cm9vdA==\r\n", b"500 5.5.1 Invalid command\r\n"))
    assert not auth.requests
