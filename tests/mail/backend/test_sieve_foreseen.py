"""Logins at ManageSieve backends that are known: one plan, which is never carried out against what they list now."""

from __future__ import annotations

from base64 import b64encode
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mailworker.errors import PeerError
from mailworker.mail.backend.backend import Backend
from mailworker.mail.backend.sieve import first_steps, log_in
from mailworker.model import AuthMethod
from mailworker.wire.backend import Reply
from mailworker.wire.login import Login
from mailworker.wire.remembered import Remembered
from mailworker.wire.secret import Secret
from mailworker.wire.sieve_response import LoginOffer
from tests.mail.backend.test_sieve import CYRUS, DOVECOT, FAILURES, GREETINGS, LOGIN, MISCONFIGURED, YES, Stage, greeted
from tests.mail.conftest import Scene
from tests.support.backend import Script, conversation, echo
from tests.support.settings import mail_server

GSSAPI = b'"SASL" "GSSAPI"\r\nOK\r\n'
TLS_FIRST = b'"STARTTLS"\r\nOK\r\n'
LONG = DOVECOT.replace(b"fileinto", b"x" * 1024)
LOGINS: dict[str, tuple[dict[str, Any], bool]] = {
    "usual": ({}, True),
    "without a password": ({"password": Secret(b"")}, True),
    "in UTF-8": ({"name": b"us\xc3\xa9r", "password": Secret(b'"p\\ \xff"')}, True),
    "of 1,024 bytes": ({"name": b"u", "password": Secret(b"x" * 765)}, True),
    "of more bytes": ({"name": b"u", "password": Secret(b"x" * 766)}, False),
    "with a line end": ({"password": Secret(b"p\r\nLOGOUT")}, False),
    "with NUL in the name": ({"name": b"u\0"}, False),
    "with NUL in the password": ({"password": Secret(b"p\0")}, False),
    "for the backend to judge": ({"passed_on": True}, True),
    "by a token": ({"passed_on": True, "method": AuthMethod.XOAUTH2}, False),
    "by a password in place of a token": ({"method": AuthMethod.XOAUTH2}, True),
}


def _place() -> Backend:
    """Stands for a backend that has not greeted yet."""
    server = SimpleNamespace(settings=mail_server("sieve"), sieve_greetings=Remembered[LoginOffer]())
    return cast(Backend, SimpleNamespace(server=server, log=SimpleNamespace(backend="192.0.2.1:4190")))


def _login(details: dict[str, Any]) -> Login:
    return Login(**{"method": AuthMethod.PLAIN, "name": b"user@example.com", "password": Secret(b"secret"), **details})


def _command(place: Backend, login: Login, greeting: bytes) -> bytes | None:
    """What a backend with this greeting is sent first; None for nothing."""
    talk = log_in(place, login)
    next(talk)
    try:
        return talk.send(Reply(greeting))[0][0]
    except PeerError:
        return None


@pytest.mark.parametrize(("details", "foreseen"), LOGINS.values(), ids=LOGINS)
@pytest.mark.parametrize("greeting", [*GREETINGS.values(), GSSAPI, TLS_FIRST, LONG])
def test_foreseen_steps_are_those_of_the_whole_login(greeting: bytes, details: dict[str, Any], foreseen: bool) -> None:
    place, login = _place(), _login(details)
    for _ in range(2):
        assert first_steps(place, login) is None
        command = _command(place, login, greeting)
    steps = first_steps(place, login)
    assert (steps is not None) is (foreseen and greeting not in {GSSAPI, TLS_FIRST, LONG})
    if steps is not None:
        (nothing, known), (written, _) = steps
        assert (nothing, written) == (None, command)
        assert known.last == {greeting}


def test_each_login_is_the_same_at_a_backend_that_changes_its_greeting(scene: Scene) -> None:
    greetings = (DOVECOT, DOVECOT, DOVECOT, CYRUS, CYRUS, CYRUS, DOVECOT, CYRUS, GSSAPI, DOVECOT)
    stage = Stage(scene, *(conversation(greeting, YES["quoted"], then=echo) for greeting in greetings))
    for number, greeting in enumerate(greetings):
        client = greeted(scene, stage)
        if greeting is GSSAPI:
            client.talk((LOGIN, MISCONFIGURED))
            assert stage.backend.heard(number) == b""
        else:
            client.talk((LOGIN, YES["quoted"]), (b"NOOP\r\n", b"NOOP\r\n"))
            assert stage.backend.peer(number).received == LOGIN + b"NOOP\r\n"
        client.close()


@pytest.mark.parametrize("answer", YES.values(), ids=YES)
def test_every_success_at_a_known_backend_reaches_the_client(scene: Scene, answer: bytes) -> None:
    accepting = conversation(CYRUS, YES["quoted"], then=echo)
    stage = Stage(scene, accepting, accepting, conversation(CYRUS, answer, then=echo))
    for heard in (YES["quoted"], YES["quoted"], answer):
        client = greeted(scene, stage)
        client.talk((LOGIN, heard), (b"NOOP\r\n", b"NOOP\r\n"))
        client.close()
    assert stage.backend.peer(2).received == LOGIN + b"NOOP\r\n"


@pytest.mark.parametrize(("script", "heard"), FAILURES.values(), ids=FAILURES)
def test_every_failure_at_a_known_backend_reaches_the_client(scene: Scene, script: Script, heard: bytes) -> None:
    known = [conversation(greeting, YES["quoted"], then=echo) for greeting in (DOVECOT, DOVECOT, CYRUS, CYRUS)]
    stage = Stage(scene, *known, *known[:1], script, known[0])
    for _ in range(5):
        client = greeted(scene, stage)
        client.talk((LOGIN, YES["quoted"]))
        client.close()
    greeted(scene, stage).talk((LOGIN, heard), (b"NOOP\r\n", b'OK "Done."\r\n'), (LOGIN, YES["quoted"]))


@pytest.mark.parametrize("challenge", [b'""\r\n', b"{0}\r\n", b'"eA=="\r\n'])
def test_a_known_backend_that_asks_although_it_was_told_is_told_again(scene: Scene, challenge: bytes) -> None:
    known = conversation(CYRUS, YES["quoted"], then=echo)
    stage = Stage(scene, known, known, conversation(CYRUS, challenge, b"OK\r\n", then=echo))
    for answer in (YES["quoted"], YES["quoted"], b"OK\r\n"):
        client = greeted(scene, stage)
        client.talk((LOGIN, answer))
        client.close()
    assert stage.backend.heard(2) == LOGIN + b'"%b"\r\n' % b64encode(b"\0user@example.com\0secret")
