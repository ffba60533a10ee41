"""Whole sessions with a token (XOAUTH2 and OAUTHBEARER, as in freenginx)."""

from __future__ import annotations

from base64 import b64encode

import pytest

from mailworker.config.dialogue import DialogueSettings
from mailworker.model import AuthMethod
from tests.mail.cases import IMAP, SMTP, all_protocols
from tests.mail.cases import Case as Proxied
from tests.mail.conftest import Scene
from tests.support.auth import accepted, rejected
from tests.support.backend import conversation, echo
from tests.support.settings import dialogue_settings

XOAUTH2 = b64encode(b"user=user@example.com\x01auth=Bearer token\x01\x01")
NAMELESS = b64encode(b"n,,\x01auth=Bearer token\x01\x01")
COMMAND = {"imap": b"a1 AUTHENTICATE", "pop3": b"AUTH", "smtp": b"AUTH"}
PROMPT = {"imap": b"+ ", "pop3": b"+ ", "smtp": b"334 "}
REASON = (b"Auth-Error-SASL", b"e30=")


def oauth(protocol: str) -> DialogueSettings:
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


@all_protocols
def test_a_token_alone_tells_the_service_who_the_user_is(scene: Scene, case: Proxied) -> None:
    backend = scene.backend(case.script())
    auth = scene.auth(accepted(backend.address, (b"Auth-User", b"user@example.com"), (b"Auth-Pass", b"secret")))
    dialogue = dialogue_settings(case.protocol, auth=AuthMethod.OAUTHBEARER)
    client = scene.client(scene.proxy(case.protocol, auth, dialogue=dialogue))
    client.expect(case.greeting)
    client.talk((COMMAND[case.protocol] + b" OAUTHBEARER " + NAMELESS + b"\r\n", case.answer))
    assert (auth.header(b"Auth-User"), auth.header(b"Auth-Pass")) == (b"", b"token")
    assert backend.peer().received == case.commands


@all_protocols
def test_long_tokens_and_passwords_come_through(scene: Scene, case: Proxied) -> None:
    """A token of 3500 bytes, and the 8200 bytes that the service gives for the backend."""
    password = b"p" * 8200
    script = case.script() if case is SMTP else conversation(case.backend[0], b"+ \r\n", case.answer, then=echo)
    backend = scene.backend(script)
    auth = scene.auth(accepted(backend.address, (b"Auth-Pass", password)))
    dialogue = dialogue_settings(case.protocol, auth=AuthMethod.XOAUTH2, client_buffer=16384)
    client = scene.client(scene.proxy(case.protocol, auth, dialogue=dialogue))
    client.expect(case.greeting)
    token = b64encode(b"user=user@example.com\x01auth=Bearer %b\x01\x01" % (b"t" * 3500))
    client.send(b"%b XOAUTH2\r\n" % COMMAND[case.protocol])
    client.expect(PROMPT[case.protocol] + b"\r\n")
    client.send(token + b"\r\n")
    client.expect(case.answer)
    assert auth.header(b"Auth-Pass") == b"t" * 3500
    response = b64encode(b"\0user@example.com\0" + password)
    assert case is SMTP or backend.peer().received.endswith(b"PLAIN\r\n" + response + b"\r\n")


def test_a_token_is_no_password(scene: Scene) -> None:
    backend = scene.backend(IMAP.script())
    proxy = scene.proxy("imap", scene.auth_for(backend), dialogue=oauth("imap"))
    client = scene.client(proxy)
    client.send(b"a1 AUTHENTICATE XOAUTH2 " + XOAUTH2 + b"\r\n")
    assert client.rest() == IMAP.greeting + IMAP.error
    assert "did not send password" in proxy.log.find("[error]")


@all_protocols
@pytest.mark.parametrize("answer", [b"", b"AQ==", b"*", XOAUTH2, b"what"])
def test_a_refused_token_ends_the_session_when_its_challenge_is_answered(
    scene: Scene, case: Proxied, answer: bytes
) -> None:
    proxy = scene.proxy(case.protocol, scene.auth(rejected(b"Expired", REASON)), dialogue=oauth(case.protocol))
    client = scene.client(proxy)
    client.expect(case.greeting)
    client.talk(
        (COMMAND[case.protocol] + b" XOAUTH2 " + XOAUTH2 + b"\r\n", PROMPT[case.protocol] + b"e30=\r\n"),
    )
    client.send(answer + b"\r\n")
    refusals = {
        "imap": b"a1 NO Expired\r\n",
        "pop3": b"-ERR Expired\r\n",
        "smtp": b"535 5.7.0 Expired\r\n",
    }
    assert client.rest() == refusals[case.protocol]
    assert 'client login failed: "Expired"' in proxy.log.find("failed")


def test_a_client_may_leave_instead_of_an_answer(scene: Scene) -> None:
    proxy = scene.proxy("smtp", scene.auth(rejected(b"Expired", REASON)), dialogue=oauth("smtp"))
    client = scene.client(proxy)
    client.expect(SMTP.greeting)
    client.talk((b"AUTH XOAUTH2 " + XOAUTH2 + b"\r\n", b"334 e30=\r\n"))
    client.end()
    assert client.rest() == b""
