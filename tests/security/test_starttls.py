"""Rows 1 to 6: what is said in clear stays outside TLS, and TLS speaks one protocol only."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import TypeVar

import pytest

from tests.security.speech import IMAP, PLAIN, POP3, SMTP, SPEECHES, Speech
from tests.security.stage import Stage, of_each
from tests.support.peer import Peer
from tests.tls.peers import client_context

T = TypeVar("T")

ALERT = b"\x15\x03"  # how a TLS record with an alert begins
CUT_SHORT = 1000

# A login is what an attacker would have executed; nobody must answer it, and the auth service must not hear of it.
INJECTIONS = [
    (IMAP, b"a STARTTLS\r\n", b""),
    (IMAP, b"x NOOP\r\na STARTTLS\r\n", b"x OK completed\r\n"),
    (POP3, b"STLS\r\n", b""),
    (POP3, b"NOOP\r\nSTLS\r\n", b"+OK\r\n"),
    (SMTP, b"STARTTLS\r\n", b""),
    (SMTP, b"NOOP\r\nSTARTTLS\r\n", b"250 2.0.0 OK\r\n"),
]


@pytest.mark.parametrize(("speech", "clear", "before"), INJECTIONS)
def test_plaintext_behind_starttls_is_never_executed_however_it_is_cut(
    stage: Stage, speech: Speech, clear: bytes, before: bytes
) -> None:
    asked = len(stage.auth.requests)
    data = clear + speech.login
    answers = []
    for cut in range(1, len(data) + 1):
        client = stage.greeted(speech)
        client.send(data[:cut])
        if cut < len(data):
            client.send(data[cut:])
        client.expect(before + speech.go_ahead)
        # What has arrived behind the go-ahead is taken for a broken handshake.
        answers.append(_says(client, speech.noop))
    assert set(answers[: len(clear) - 1]) == {speech.done}
    assert set(answers) <= {speech.done, None}
    assert len(stage.auth.requests) == asked


@of_each
def test_plaintext_instead_of_a_handshake_is_not_answered(stage: Stage, speech: Speech) -> None:
    client = stage.greeted(speech)
    client.talk((speech.starttls, speech.go_ahead))
    client.send(speech.noop)
    _heard_no_words(client)


@of_each
def test_a_client_hello_behind_starttls_is_dropped(stage: Stage, speech: Speech) -> None:
    client = stage.greeted(speech, "hasty")
    client.send(speech.starttls + _client_hello())
    client.expect(speech.go_ahead)
    _heard_no_words(client)


@of_each
def test_starttls_inside_tls_is_refused(stage: Stage, speech: Speech) -> None:
    client = stage.greeted(speech)
    stage.start_tls(client, speech)
    client.talk((speech.starttls, speech.invalid), (speech.noop, speech.done))


def test_what_an_smtp_client_has_said_in_clear_is_forgotten(stage: Stage) -> None:
    since = len(stage.backends["smtp"].peers)
    client = stage.greeted(SMTP, "every")
    client.send(b"EHLO evil.example\r\nMAIL FROM:<evil@example.com>\r\n")
    client.until(b"250 2.0.0 OK\r\n")
    stage.start_tls(client, SMTP)
    client.talk(
        (b"RCPT TO:<b@example.com>\r\n", b"503 5.5.1 Bad sequence of commands\r\n"),
        (b"MAIL FROM:<a@example.com>\r\n", b"250 2.0.0 OK\r\n"),
        (b"RCPT TO:<b@example.com>\r\n", b"250 ok\r\n"),
    )
    assert stage.auth.header(b"Auth-SMTP-Helo") == b""
    assert stage.auth.header(b"Auth-SMTP-From") == b"MAIL FROM:<a@example.com>"
    assert b"evil" not in stage.heard(SMTP, since)


def test_stls_behind_user_is_refused_and_no_user_is_left(stage: Stage) -> None:
    client = stage.greeted(POP3)
    client.talk((b"USER evil\r\n", b"+OK\r\n"), (b"STLS\r\n", POP3.invalid))
    stage.start_tls(client, POP3)
    client.talk((b"PASS p\r\n", POP3.invalid))


@of_each
def test_errors_are_counted_across_tls(stage: Stage, speech: Speech) -> None:
    wrong = b"a X\r\n" if speech is IMAP else b"X\r\n"
    client = stage.greeted(speech)
    client.talk(*[(wrong, speech.invalid)] * 4)
    stage.start_tls(client, speech)
    client.send(wrong)
    assert client.rest() == speech.invalid


EXCHANGES = [
    b"PLAIN",
    b"PLAIN " + PLAIN,
    b"LOGIN",
    b"LOGIN dQ==",
    b"CRAM-MD5",
    b"EXTERNAL",
    b"EXTERNAL dQ==",
    b"XOAUTH2 dQ==",
    b"OAUTHBEARER dQ==",
]
AUTH_FORMS = {
    IMAP: [
        b"a LOGIN u p",
        b'a LOGIN "u" "p"',
        b"a LOGIN {1}\r\nu {1}\r\np",
        b"a LOGIN {1+}\r\nu {1+}\r\np",
        *(b"a AUTHENTICATE " + each for each in EXCHANGES),
    ],
    POP3: [
        b"USER u",
        b"PASS p",
        b"APOP u 0123456789abcdef0123456789abcdef",
        b"AUTH",
        *(b"AUTH " + each for each in EXCHANGES),
    ],
    SMTP: [
        *(b"AUTH " + each for each in EXCHANGES),
        b"MAIL FROM:<a@example.com>",
        b"RCPT TO:<a@example.com>",
    ],
}


@of_each
def test_nobody_logs_in_in_clear_where_starttls_is_demanded(stage: Stage, speech: Speech) -> None:
    asked = len(stage.auth.requests)
    for form in AUTH_FORMS[speech]:
        for slowly in (False, True):
            client = stage.greeted(speech, "only")
            stage.say(client, form + b"\r\n", slowly=slowly)
            while (answer := client.line()) == b"+ OK\r\n":
                pass  # a literal is asked for before anybody looks at the command
            assert answer.startswith((b"a BAD ", b"-ERR ", b"500 ", b"503 ", b"530 ")), (form, answer)
            client.close()
    assert len(stage.auth.requests) == asked


@of_each
def test_plaintext_for_a_tls_port_is_never_read_as_a_command(stage: Stage, speech: Speech) -> None:
    asked = len(stage.auth.requests)
    address = stage.address(speech, tls=True)
    for number in range(CUT_SHORT // len(SPEECHES)):
        client = Peer.connect(address)
        client.send(speech.login)
        if number % 2:
            client.reset()
        else:
            client.close()
    assert len(stage.auth.requests) == asked


OFFERS = (["imap"], ["pop3"], ["smtp"], ["http/1.1"], ["h2", "http/1.1"], None)


@pytest.mark.parametrize("starttls", [False, True])
@of_each
def test_no_other_protocol_is_agreed_upon(stage: Stage, speech: Speech, starttls: bool) -> None:
    for offer in OFFERS:
        context = client_context()
        if offer:
            context.set_alpn_protocols(offer)
        client = Peer.connect(stage.address(speech, tls=not starttls))
        if starttls:
            assert client.line()
            client.talk((speech.starttls, speech.go_ahead))
        if offer is None or speech.name in offer:
            client.start_tls(context)
            client.talk((speech.noop, speech.done)) if starttls else client.expect(speech.greeting)
        else:
            with pytest.raises(ssl.SSLError, match=r"(?i)alert.no.application.protocol"):
                client.start_tls(context)
        client.close()


def _says(client: Peer, line: bytes) -> bytes | None:
    """The answer to a line inside TLS, None where the handshake fails."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_context().wrap_bio(incoming, outgoing)

    def carry_out(step: Callable[[], T]) -> T:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                client.send(outgoing.read())
                if received := client.skip(1):
                    incoming.write(received + client.skip(client.unread))
                else:
                    incoming.write_eof()

    try:
        carry_out(tls.do_handshake)
    except (ssl.SSLError, OSError):
        return None
    tls.write(line)
    return carry_out(tls.read)


def _heard_no_words(client: Peer) -> None:
    heard = client.rest()
    assert heard == b"" or heard.startswith(ALERT)


def _client_hello() -> bytes:
    written = ssl.MemoryBIO()
    client = client_context().wrap_bio(ssl.MemoryBIO(), written)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return written.read()
