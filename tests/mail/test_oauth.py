"""Whole sessions with a token (XOAUTH2 and OAUTHBEARER, as in freenginx)."""

from __future__ import annotations

from base64 import b64encode

import pytest

from mailworker.config.settings import AuthMethod, DialogueSettings, Protocol
from tests.mail.cases import IMAP, SMTP, all_protocols
from tests.mail.cases import Case as Proxied
from tests.mail.conftest import Scene
from tests.support.auth import accepted, rejected
from tests.support.settings import dialogue_settings

XOAUTH2 = b64encode(b"user=user@example.com\x01auth=Bearer token\x01\x01")
COMMAND = {Protocol.IMAP: b"a1 AUTHENTICATE", Protocol.POP3: b"AUTH", Protocol.SMTP: b"AUTH"}
PROMPT = {Protocol.IMAP: b"+ ", Protocol.POP3: b"+ ", Protocol.SMTP: b"334 "}
REASON = (b"Auth-Error-SASL", b"e30=")


def oauth(protocol: Protocol) -> DialogueSettings:
    return dialogue_settings(protocol, auth=AuthMethod.XOAUTH2)


@all_protocols
def test_a_token_is_checked_by_the_service_which_knows_the_password(scene: Scene, case: Proxied) -> None:
    backend = scene.backend(case.script())
    auth = scene.auth(accepted(backend.address, (b"Auth-Pass", b"secret")))
    client = scene.client(scene.proxy(case.protocol, auth, dialogue=oauth(case.protocol)))
    client.expect(case.greeting)
    client.talk((COMMAND[case.protocol] + b" XOAUTH2 " + XOAUTH2 + b"\r\n", case.answer))
    assert auth.header(b"Auth-Method") == b"xoauth2"
    assert auth.header(b"Auth-User") == b"user@example.com"
    assert auth.header(b"Auth-Pass") == b"token"
    assert backend.peer().received == case.commands


def test_a_token_is_no_password(scene: Scene) -> None:
    backend = scene.backend(IMAP.script())
    proxy = scene.proxy(Protocol.IMAP, scene.auth_for(backend), dialogue=oauth(Protocol.IMAP))
    client = scene.client(proxy)
    client.send(b"a1 AUTHENTICATE XOAUTH2 " + XOAUTH2 + b"\r\n")
    assert client.rest() == IMAP.greeting + IMAP.error
    assert "did not send password" in proxy.log.find("[error]")


@all_protocols
@pytest.mark.parametrize("cancelled", [True, False])
def test_a_refused_token_ends_the_session_when_its_challenge_is_answered(
    scene: Scene, case: Proxied, cancelled: bool
) -> None:
    proxy = scene.proxy(case.protocol, scene.auth(rejected(b"Expired", REASON)), dialogue=oauth(case.protocol))
    client = scene.client(proxy)
    client.expect(case.greeting)
    client.talk(
        (COMMAND[case.protocol] + b" XOAUTH2 " + XOAUTH2 + b"\r\n", PROMPT[case.protocol] + b"e30=\r\n"),
    )
    client.send(b"\r\n" if cancelled else b"what\r\n")
    refusals = {
        Protocol.IMAP: (b"a1 NO Expired\r\n", b"a1 BAD invalid command\r\n"),
        Protocol.POP3: (b"-ERR Expired\r\n", b"-ERR invalid command\r\n"),
        Protocol.SMTP: (b"535 5.7.0 Expired\r\n", b"500 5.5.1 Invalid command\r\n"),
    }
    assert client.rest() == refusals[case.protocol][0 if cancelled else 1]
    assert 'client login failed: "Expired"' in proxy.log.find("failed")


def test_a_client_may_leave_instead_of_an_answer(scene: Scene) -> None:
    proxy = scene.proxy(Protocol.SMTP, scene.auth(rejected(b"Expired", REASON)), dialogue=oauth(Protocol.SMTP))
    client = scene.client(proxy)
    client.expect(SMTP.greeting)
    client.talk((b"AUTH XOAUTH2 " + XOAUTH2 + b"\r\n", b"334 e30=\r\n"))
    client.end()
    assert client.rest() == b""
