"""How a POP3 backend hears a name and a password, also those that are too long for its commands."""

from __future__ import annotations

from base64 import b64encode

import pytest

from tests.mail.cases import AUTH_PLAIN, POP3
from tests.mail.conftest import Scene
from tests.support.backend import Script, conversation, echo

# With their verbs and CRLF they fill a command of 255 bytes, and do not fit it.
FITS, TOO_LONG = b"x" * 248, b"x" * 249


def log_in(scene: Scene, name: bytes, password: bytes, script: Script) -> tuple[bytes, bytes]:
    """What a backend hears of a client whose name and password the auth service gives, and what the client hears."""
    backend = scene.backend(script)
    auth = scene.auth_for(backend, (b"Auth-User", name), (b"Auth-Pass", password))
    client = scene.client(scene.proxy("pop3", auth))
    client.expect(POP3.greeting)
    client.send(AUTH_PLAIN)
    answer = client.line()
    client.close()
    return backend.heard(), answer


@pytest.mark.parametrize(("name", "password"), [(FITS, FITS), (b"u", FITS), (FITS, b"p")], ids=["both", "pass", "user"])
def test_a_command_that_fits_is_sent_as_ever(scene: Scene, name: bytes, password: bytes) -> None:
    heard, answer = log_in(scene, name, password, conversation(*POP3.backend, then=echo))
    assert answer == POP3.answer
    assert heard == b"USER %b\r\nPASS %b\r\n" % (name, password)


@pytest.mark.parametrize("go_ahead", [b"+ \r\n", b"+\r\n", b"+ b64challenge\r\n"], ids=repr)
@pytest.mark.parametrize(("name", "password"), [(b"u", TOO_LONG), (TOO_LONG, b"p"), (b"u", b"x" * 3000)])
def test_what_fits_no_command_goes_behind_auth(scene: Scene, name: bytes, password: bytes, go_ahead: bytes) -> None:
    heard, answer = log_in(scene, name, password, conversation(b"+OK backend\r\n", go_ahead, POP3.answer, then=echo))
    assert answer == POP3.answer
    assert heard == b"AUTH PLAIN\r\n%b\r\n" % b64encode(b"\0%b\0%b" % (name, password))


def test_a_backend_that_does_not_know_auth_hears_user_and_pass(scene: Scene) -> None:
    script = conversation(b"+OK backend\r\n", b"-ERR what\r\n", b"+OK\r\n", POP3.answer, then=echo)
    heard, answer = log_in(scene, b"u", TOO_LONG, script)
    assert answer == POP3.answer
    assert heard == b"AUTH PLAIN\r\nUSER u\r\nPASS %b\r\n" % TOO_LONG


@pytest.mark.parametrize("replies", [(b"+OK\r\n",), (b"\r\n",), (b"x\r\n",), (b"+ \r\n", b"-ERR wrong\r\n")], ids=repr)
def test_another_answer_to_auth_ends_the_login(scene: Scene, replies: tuple[bytes, ...]) -> None:
    heard, answer = log_in(scene, b"u", TOO_LONG, conversation(b"+OK backend\r\n", *replies))
    assert answer == POP3.error
    assert b"PASS" not in heard
