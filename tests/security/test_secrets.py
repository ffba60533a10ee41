"""Passwords stay with those who need them, and only as long as they do."""

from __future__ import annotations

import gc

import pytest

from mailworker.wire.secret import Secret
from tests.mail.cases import IMAP, POP3, SMTP, Case
from tests.mail.conftest import Scene, scene
from tests.security.secrets_of_clients import LINE, SPECIAL, STATES, TOO_LONG, State, reveals
from tests.security.speech import CANARIES, LISTS_LITERALS, LISTS_PLAIN, Speech
from tests.security.speech import IMAP as IMAP_SPEECH
from tests.security.stage import WAYS, Stage, of_each
from tests.support.auth import rejected
from tests.support.backend import conversation, hang, hang_up
from tests.support.daemon import wait_until

__all__ = ["scene"]

# Where a password is told to somebody who does not take it.
FAULTS = {
    "a login": None,
    "no": rejected(b"no"),
    "an error of the service": b"HTTP/1.0 500 Oops\r\n\r\n",
    "garbage of the service": b"\xff\0\r\n\r\n",
}


@pytest.mark.parametrize("answer", FAULTS.values(), ids=FAULTS)
@of_each
def test_no_password_is_in_the_log_at_debug(stage: Stage, speech: Speech, answer: bytes | None) -> None:
    stage.answer = answer
    for way in WAYS:
        client = stage.greeted(speech, "every", tls=way.tls)
        stage.say(client, speech.login, slowly=way.slowly)
        client.line()
    too_long = b"%b PLAIN %b%b\r\n" % (speech.auth, CANARIES[1], b"x" * 20_000)
    for command in (too_long, speech.login[:-2] + b"x" * 20_000, b"PASS %b%b" % (CANARIES[0], b"x" * 20_000)):
        client = stage.greeted(speech)
        stage.say_what_fits(client, command)
        client.rest()
    lines = stage.settle()
    assert any("[debug]" in line for line in lines)
    assert not [line for line in lines if any(canary.decode() in line for canary in CANARIES)]


@pytest.mark.parametrize(
    ("before", "command"), [((LISTS_LITERALS, b"", b""), "LOGIN"), ((LISTS_PLAIN,), "AUTHENTICATE")], ids=repr
)
@pytest.mark.parametrize("reply", [b"a OK in\r\n", b"a NO wrong\r\n", b"* BYE\r\n", b""], ids=repr)
def test_no_password_that_goes_at_once_is_in_the_log(
    stage: Stage, reply: bytes, before: tuple[bytes, ...], command: str
) -> None:
    stage.backend = conversation(*before, reply, then=hang_up)
    for way in WAYS:
        client = stage.greeted(IMAP_SPEECH, "frank", tls=way.tls)
        stage.say(client, IMAP_SPEECH.login, slowly=way.slowly)
        client.rest()
    lines = stage.settle()
    assert [line for line in lines if f"while sending {command} command to upstream" in line]
    assert not [line for line in lines if any(canary.decode() in line for canary in CANARIES)]


@pytest.mark.parametrize("state", [*STATES, None], ids=lambda state: state.name if state else "special")
@of_each
def test_no_shape_of_a_secret_is_in_the_log(stage: Stage, speech: Speech, state: State | None) -> None:
    """At `debug` for clients of 127.0.0.1, at `info` for those of 127.0.0.2."""
    stage.answer = rejected(b"no")
    state = state or SPECIAL[speech]
    for data in state.said_with((LINE, TOO_LONG) if state.greeted else (LINE, TOO_LONG, b"")):
        _reveal(stage, speech, state, data, "127.0.0.1")
    for data in state.said_with((TOO_LONG,)):
        _reveal(stage, speech, state, data, "127.0.0.2")
    lines = stage.settle()
    assert any("client: 127.0.0.2" in line for line in lines)
    assert not [line for line in lines if reveals(line)]


def _reveal(stage: Stage, speech: Speech, state: State, data: bytes, source: str) -> None:
    client = (stage.greeted if state.greeted else stage.connect)(speech, state.variant, tls=state.tls, source=source)
    stage.say_what_fits(client, (b"" if state.said is None else state.said(speech)) + data)
    client.end()
    client.rest()
    client.close()


@pytest.mark.parametrize("case", [IMAP, POP3, SMTP], ids=lambda case: case.protocol)
def test_a_relay_remembers_no_password(scene: Scene, case: Case) -> None:
    before = _secrets()
    backend = scene.backend(case.script(hang))
    proxy = scene.proxy(case.protocol, scene.auth_for(backend, (b"Auth-Pass", b"secret")))
    clients = [scene.client(proxy) for _ in range(5)]
    for client in clients:
        client.expect(case.greeting)
        client.send(case.login)
        assert client.skip(len(case.answer)) == case.answer
    wait_until(lambda: _secrets() == before, "the end of all sessions' coroutines")


def _secrets() -> int:
    gc.collect()
    return sum(isinstance(thing, Secret) for thing in gc.get_objects())
