"""Whole sessions where an SMTP backend decides about the login."""

from __future__ import annotations

from base64 import b64encode

import pytest

from tests.mail.cases import AUTH_PLAIN, SMTP
from tests.mail.conftest import Scene
from tests.mail.deciding import LOGGED_IN, OFFERS, TEMPORARY, WRONG, XCLIENT, Stage
from tests.support.backend import conversation, echo


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
