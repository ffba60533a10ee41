"""Tokens reach Dovecot as they are, or an auth service."""

from __future__ import annotations

from base64 import b64decode, b64encode

from tests.recipes.conftest import Run
from tests.recipes.stage import Backend
from tests.support.auth import AuthService, accepted, rejected

TOKEN = b"ya29." + b"x" * 6000
XOAUTH2 = b64encode(b"user=anna@example.com\x01auth=Bearer %b\x01\x01" % TOKEN)


def test_a_token_reaches_the_backend_as_it_is(run: Run, imap: Backend, smtp: Backend) -> None:
    recipe = run("oauth2.md", {"192.0.2.10:143": str(imap.address), "192.0.2.10:587": str(smtp.address)})
    client = recipe.connect(993)
    client.line()
    client.send(b"a AUTHENTICATE XOAUTH2 %b\r\n" % XOAUTH2)
    assert client.line() == b"a OK done by IMAP\r\n"
    assert imap.upgrades == 1
    assert XOAUTH2 in imap.said()
    client.close()


def test_a_service_gets_the_token_and_may_hand_it_on(run: Run, auth: AuthService, imap: Backend) -> None:
    recipe = run("oauth2.md", {"127.0.0.1:9000": str(auth.address)}, number=1)
    auth.prepare(accepted(imap.address, (b"Auth-Backend-Mech", b"xoauth2")))
    client = recipe.connect(993)
    client.line()
    client.send(b"a AUTHENTICATE XOAUTH2 %b\r\n" % XOAUTH2)
    assert client.line() == b"a OK done by IMAP\r\n"
    assert auth.header(b"Auth-Method") == b"xoauth2"
    assert auth.header(b"Auth-User") == b"anna@example.com"
    assert auth.header(b"Auth-Pass") == TOKEN
    assert b"auth=Bearer " + TOKEN in b64decode(imap.said().split(b"\r\n")[-2])
    client.close()


def test_a_refusal_may_tell_the_client_why(run: Run, auth: AuthService) -> None:
    recipe = run("oauth2.md", {"127.0.0.1:9000": str(auth.address)}, number=1)
    why = b64encode(b'{"status":"invalid_token"}')
    auth.prepare(rejected(b"Token has expired", (b"Auth-Error-SASL", why), (b"Auth-Wait", b"0")))
    client = recipe.connect(993)
    client.line()
    client.send(b"a AUTHENTICATE XOAUTH2 %b\r\n" % XOAUTH2)
    assert client.line() == b"+ %b\r\n" % why
    client.send(b"\r\n")
    assert client.line() == b"a NO Token has expired\r\n"
    client.close()
