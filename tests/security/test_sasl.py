"""Rows 8 to 12 and 15: a SASL exchange that goes wrong harms nobody else and leaves nothing behind."""

from __future__ import annotations

import threading
from base64 import b64decode, b64encode
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.security.speech import POP3, SMTP, Speech, base64
from tests.security.stage import WAYS, Stage, of_each
from tests.support.auth import rejected
from tests.support.patience import PATIENCE
from tests.support.peer import Peer

AT_ONCE = 50
NOT_BASE64 = b"!!!!"
TRY_AGAIN = rejected(b"try again", (b"Auth-Wait", b"1"))
DIGEST = b"0123456789abcdef0123456789abcdef"


@of_each
def test_bad_base64_fails_alone(stage: Stage, speech: Speech) -> None:
    all_have_asked = threading.Barrier(AT_ONCE + 1)
    patient = stage.accepting(speech)

    def wait_for_the_others(peer: Peer) -> None:
        all_have_asked.wait(PATIENCE)
        peer.send(patient)

    stage.answer = wait_for_the_others
    clients = [stage.greeted(speech) for _ in range(AT_ONCE)]
    for client in clients:
        client.send(speech.login)
    for way in WAYS:
        bad = stage.greeted(speech, tls=way.tls)
        stage.say(bad, b"%b PLAIN %b\r\n" % (speech.auth, NOT_BASE64), slowly=way.slowly)
        bad.expect(speech.invalid)
    all_have_asked.wait(PATIENCE)
    for client in clients:
        client.expect(speech.welcome)


# Credentials of PLAIN, and the login and the password that the auth service hears, None where the client is refused.
PLAIN_FORMS: dict[str, tuple[bytes, tuple[bytes, bytes] | None]] = {
    "login and password": (b"\0u\0p", (b"u", b"p")),
    "an empty password": (b"\0u\0", (b"u", b"")),
    "an identity that is the login": (b"u\0u\0p", (b"u", b"p")),
    "bytes that are no UTF-8": (b"\0\xff\xfe\0\xff", (b"\xff\xfe", b"\xff")),
    "spaces and percent signs": (b"\0u %41\0p %", (b"u %41", b"p %")),
    "no NUL": (b"u", None),
    "one NUL": (b"u\0p", None),
    "one NUL first": (b"\0u", None),
    "nothing": (b"", None),
    "two NUL alone": (b"\0\0", None),
    "an empty login": (b"\0\0p", None),
    "NUL in the password": (b"\0u\0p\0w", None),
}


@pytest.mark.parametrize(("credentials", "told"), PLAIN_FORMS.values(), ids=PLAIN_FORMS)
@of_each
def test_plain_is_read_as_rfc_4616_wants_it(
    stage: Stage, speech: Speech, credentials: bytes, told: tuple[bytes, bytes] | None
) -> None:
    for way in WAYS:
        asked = len(stage.auth.requests)
        client = stage.greeted(speech, tls=way.tls)
        stage.say(client, speech.plain(credentials), slowly=way.slowly)
        assert client.line() == (speech.welcome if told else speech.invalid), way
        assert len(stage.auth.requests) == asked + bool(told)
        if told:
            assert (_told(stage, b"Auth-User"), _told(stage, b"Auth-Pass")) == told


@of_each
def test_nobody_acts_for_somebody_else_unless_the_service_is_told(stage: Stage, speech: Speech) -> None:
    for way in WAYS:
        asked = len(stage.auth.requests)
        client = stage.greeted(speech, tls=way.tls)
        stage.say(client, speech.plain(b"admin\0u\0p"), slowly=way.slowly)
        client.expect(speech.rejection(b"Authorization identity is not allowed"))
        client.talk((speech.noop, speech.done))
        assert len(stage.auth.requests) == asked
        told = stage.greeted(speech, "certified", tls=way.tls)
        stage.say(told, speech.plain(b"admin\r\nX: y\0u\0p"), slowly=way.slowly)
        assert told.line() == speech.welcome, way
        assert (_told(stage, b"Auth-Authzid"), _told(stage, b"Auth-User")) == (b"admin\r\nX: y", b"u")


@of_each
def test_external_is_not_told_the_password_of_a_failed_login(stage: Stage, speech: Speech) -> None:
    stage.answer = TRY_AGAIN
    client = stage.greeted(speech, "every")
    client.send(speech.plain(b"\0someone\0a secret"))
    assert b"try again" in client.line()
    stage.answer = None
    client.send(b"%b EXTERNAL dQ==\r\n" % speech.auth)
    client.expect(speech.welcome)
    assert stage.auth.header(b"Auth-Method") == b"external"
    assert stage.auth.header(b"Auth-User") == b"u"
    assert stage.auth.header(b"Auth-Pass") == b""


def test_mail_without_login_names_nobody_who_failed_to_log_in(stage: Stage) -> None:
    stage.answer = TRY_AGAIN
    client = stage.greeted(SMTP, "every")
    client.send(b"AUTH LOGIN\r\n%b\r\n%b\r\n" % (b64encode(b"u" * 40), b64encode(b"a secret")))
    client.until(b"try again\r\n")
    stage.answer = None
    client.talk(
        (b"AUTH LOGIN !!!\r\n", SMTP.invalid),
        (b"MAIL FROM:<a@example.com>\r\n", b"250 2.0.0 OK\r\n"),
        (b"RCPT TO:<b@example.com>\r\n", b"250 ok\r\n"),
    )
    assert stage.auth.header(b"Auth-Method") == b"none"
    assert stage.auth.header(b"Auth-User") == stage.auth.header(b"Auth-Pass") == b""


DISABLED = [b"CRAM-MD5", b"EXTERNAL", b"XOAUTH2", b"OAUTHBEARER"]
RESPONSES = [b"", b" " + base64(b"root"), b" =", b" " + base64(b"root " + DIGEST), b" " + NOT_BASE64]


@of_each
def test_what_is_not_enabled_asks_nobody(stage: Stage, speech: Speech) -> None:
    asked = len(stage.auth.requests)
    apop = [b"APOP root %b\r\n" % DIGEST] if speech is POP3 else []
    exchanges = [b"%b %b%b\r\n" % (speech.auth, name, response) for name in DISABLED for response in RESPONSES]
    for exchange in exchanges + apop:
        for way in WAYS:
            client = stage.greeted(speech, tls=way.tls)
            stage.say(client, exchange, slowly=way.slowly)
            assert client.line() == speech.invalid, (exchange, way)
            client.close()
    assert len(stage.auth.requests) == asked


@of_each
def test_a_second_digest_is_read_afresh(stage: Stage, speech: Speech) -> None:
    stage.answer = TRY_AGAIN
    client = stage.greeted(speech, "every")
    challenge = _challenge(client, speech)
    assert b"try again" in _respond(client, b"user " + DIGEST)
    assert _challenge(client, speech) != challenge
    assert _respond(client, b"xx") == speech.invalid
    stage.answer = None
    salt = _challenge(client, speech)
    assert _respond(client, b"user " + DIGEST) == speech.welcome
    assert stage.auth.header(b"Auth-Salt") == salt


def test_a_second_apop_is_read_afresh(stage: Stage) -> None:
    stage.answer = TRY_AGAIN
    client = stage.connect(POP3, "every")
    salt = client.line().split()[-1]
    client.send(b"APOP user %b\r\n" % DIGEST)
    assert b"try again" in client.line()
    client.talk((b"APOP user\r\n", POP3.invalid), (b"APOP\r\n", POP3.invalid))
    stage.answer = None
    client.talk((b"APOP user %b\r\n" % DIGEST, POP3.welcome))
    assert stage.auth.header(b"Auth-Salt") == salt


# Each is left with "*", with nothing, and by a client that goes.
STATES = [b"PLAIN\r\n", b"LOGIN\r\n", b"LOGIN dQ==\r\n", b"CRAM-MD5\r\n", b"EXTERNAL\r\n", b"XOAUTH2\r\n"]


@of_each
def test_an_exchange_that_is_given_up_asks_nobody(stage: Stage, speech: Speech) -> None:
    asked = len(stage.auth.requests)
    for state in STATES:
        for way in WAYS:
            client = stage.greeted(speech, "every", tls=way.tls)
            for given_up in (b"*\r\n", b"!\r\n"):
                stage.say(client, b"%b %b" % (speech.auth, state), slowly=way.slowly)
                assert client.line().startswith((b"+ ", b"334 ")), (state, way)
                stage.say(client, given_up, slowly=way.slowly)
                client.expect(speech.invalid)
            client.send(b"%b %b" % (speech.auth, state))
            client.close()
    assert len(stage.auth.requests) == asked


NAMES = [
    b"\xff\xfeu%u%$",
    b"%s%n%d%x",
    b"{0.__class__}",
    "Jürgen".encode(),
    b"\xed\xa0\x80",
    b"u" * 2500,
    b"\x1b[31m\x7f\x9b",
]


@of_each
def test_a_name_is_bytes_to_us(running_stage: Stage, speech: Speech) -> None:
    stage = running_stage

    @given(st.binary(min_size=1, max_size=400).filter(lambda name: b"\0" not in name))
    @settings(max_examples=40, deadline=None)
    def log_in(name: bytes) -> None:
        _log_in_as(stage, speech, name)

    for name in NAMES:
        _log_in_as(stage, speech, name)
    log_in()
    stage.settle()


def _log_in_as(stage: Stage, speech: Speech, name: bytes) -> None:
    client = stage.greeted(speech)
    client.send(speech.plain(b"\0%b\0p" % name))
    assert client.line() in (speech.welcome, speech.invalid)
    assert _told(stage, b"Auth-User") == name
    client.close()


def _told(stage: Stage, header: bytes) -> bytes:
    value = stage.auth.header(header)
    assert value is not None
    assert not any(byte <= 0x20 for byte in value)
    return unquote_to_bytes(value)


def _challenge(client: Peer, speech: Speech) -> bytes:
    """The salt that a client is given for its digest."""
    client.send(speech.auth + b" CRAM-MD5\r\n")
    return b64decode(client.line().split()[1])


def _respond(client: Peer, response: bytes) -> bytes:
    client.send(base64(response) + b"\r\n")
    return client.line()
