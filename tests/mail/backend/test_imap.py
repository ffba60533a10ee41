"""How an IMAP backend hears a name and a password, also those that are too long for its commands."""

from __future__ import annotations

from base64 import b64encode

import pytest

from tests.mail.cases import IMAP
from tests.mail.conftest import Scene
from tests.support.backend import Script, conversation, echo


def script(*replies: bytes) -> Script:
    return conversation(IMAP.backend[0], *replies, then=echo)


@pytest.mark.parametrize(
    ("length", "replies", "heard"),
    [
        (900, IMAP.backend[1:], b"a1 LOGIN {1}\r\nu {900}\r\nPASSWORD\r\n"),
        (1100, (b"+ \r\n", IMAP.answer), b"a1 AUTHENTICATE PLAIN\r\nRESPONSE\r\n"),
        (3000, (b"* OK wait\r\n+\r\n", IMAP.answer), b"a1 AUTHENTICATE PLAIN\r\nRESPONSE\r\n"),
        (
            1100,
            (b"a1 BAD what\r\n", *IMAP.backend[1:]),
            b"a1 AUTHENTICATE PLAIN\r\na1 LOGIN {1}\r\nu {1100}\r\nPASSWORD\r\n",
        ),
    ],
)
def test_an_imap_login_that_is_too_long_for_a_command_goes_behind_authenticate(
    scene: Scene, length: int, replies: tuple[bytes, ...], heard: bytes
) -> None:
    password = b"x" * length
    backend = scene.backend(script(*replies))
    auth = scene.auth_for(backend, (b"Auth-User", b"u"), (b"Auth-Pass", password))
    client = scene.client(scene.proxy("imap", auth))
    client.expect(IMAP.greeting)
    client.talk((IMAP.login, IMAP.answer))
    told = heard.replace(b"PASSWORD", password).replace(b"RESPONSE", b64encode(b"\0u\0" + password))
    assert backend.peer().received == told


@pytest.mark.parametrize("replies", [(b"* BYE no\r\n",), (b"a2 OK x\r\n",), (b"+\r\n", b"a1 NO wrong\r\n")], ids=repr)
def test_another_answer_to_authenticate_ends_the_login(scene: Scene, replies: tuple[bytes, ...]) -> None:
    backend = scene.backend(script(*replies))
    auth = scene.auth_for(backend, (b"Auth-Pass", b"x" * 1100))
    client = scene.client(scene.proxy("imap", auth))
    client.expect(IMAP.greeting)
    client.send(IMAP.login)
    assert client.rest() == IMAP.error
    client.close()
    assert b"LOGIN" not in backend.heard()
