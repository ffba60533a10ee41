"""Whole sessions where the backend gets the client's own token."""

from __future__ import annotations

from base64 import b64encode

import pytest

from mailworker.model import AuthMethod
from tests.mail.cases import SMTP, Case, all_protocols
from tests.mail.conftest import Scene
from tests.mail.deciding import AUTH, BEFORE, GO_AHEAD, OFFERS, WRONG, YES, Stage, answer
from tests.support.backend import conversation, echo


@all_protocols
@pytest.mark.parametrize("method", [AuthMethod.XOAUTH2, AuthMethod.OAUTHBEARER])
def test_a_token_is_passed_on_by_its_own_mechanism(scene: Scene, case: Case, method: AuthMethod) -> None:
    protocol, mechanism = case.protocol, str(method.name).encode()
    text = {AuthMethod.XOAUTH2: b"user=u\x01", AuthMethod.OAUTHBEARER: b"n,a=u,\x01"}[method] + b"auth=Bearer t\x01\x01"
    said = AUTH[protocol] + mechanism + b" " + b64encode(text) + b"\r\n"
    before = (b"220 backend\r\n", OFFERS) if case is SMTP else (BEFORE[protocol][0],)
    stage = Stage(scene, protocol, conversation(*before, GO_AHEAD[protocol], YES[protocol], then=echo), auth=method)
    stage.client.talk((said, answer(case)), (b"one\r\n", b"one\r\n"))
    asked = AUTH[protocol] + mechanism + b"\r\n" + b64encode(text) + b"\r\n"
    assert stage.backend.peer().received.endswith(asked + b"one\r\n")


@all_protocols
@pytest.mark.parametrize("method", [AuthMethod.XOAUTH2, AuthMethod.OAUTHBEARER])
def test_the_reason_for_refusing_a_token_reaches_the_client(scene: Scene, case: Case, method: AuthMethod) -> None:
    protocol, mechanism, reason = case.protocol, str(method.name).encode(), b64encode(b'{"status":"invalid_token"}')
    before = (b"220 backend\r\n", OFFERS) if case is SMTP else (BEFORE[protocol][0],)
    no = {"imap": b"a1 NO [AUTHENTICATIONFAILED] no\r\n", "pop3": b"-ERR [AUTH] no\r\n", "smtp": b"535 no\r\n"}[
        protocol
    ]
    prompt = GO_AHEAD[protocol].rstrip() + b" " + reason + b"\r\n"
    stage = Stage(scene, protocol, conversation(*before, GO_AHEAD[protocol], prompt, no), auth=method)
    text = {AuthMethod.XOAUTH2: b"user=u\x01", AuthMethod.OAUTHBEARER: b"n,a=u,\x01"}[method] + b"auth=Bearer t\x01\x01"
    stage.client.talk(
        (AUTH[protocol] + mechanism + b" " + b64encode(text) + b"\r\n", prompt),
        (b"AQ==\r\n", WRONG[protocol]),
        case.noop,
    )
    acknowledged = {AuthMethod.XOAUTH2: b"\r\n", AuthMethod.OAUTHBEARER: b"AQ==\r\n"}[method]
    assert stage.backend.heard().endswith(b"\r\n" + acknowledged)
