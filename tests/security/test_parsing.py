"""Rows 7, 28 to 30 and 34: commands that are no commands, too long, or too early."""

from __future__ import annotations

import re

import pytest

from tests.security.speech import IMAP, POP3, SMTP, SPEECHES, Speech
from tests.security.stage import WAYS, Stage, of_each

SCRIPT = b"<script>alert(1)</script>"
HTTP = {
    "GET": b"GET /%b HTTP/1.1\r\nHost: mail.example:143\r\nUser-Agent: %b\r\nAccept: */*\r\n\r\n" % (SCRIPT, SCRIPT),
    "POST": b"POST / HTTP/1.1\r\nHost: mail.example\r\nContent-Type: text/plain\r\nContent-Length: 999\r\n\r\n"
    + b"".join(b"%b <script>\r\n" % line for line in (b"a LOGIN u p", b"USER u", b"AUTH PLAIN AHUAcA==") * 9),
}
# IMAP repeats a tag, which cannot hold more than this.
REFUSAL = {
    IMAP: rb"(\*|[A-Za-z0-9._:-]{1,100}) BAD invalid command\r\n",
    POP3: rb"-ERR invalid command\r\n",
    SMTP: rb"500 5\.5\.1 Invalid command\r\n",
}


@pytest.mark.parametrize("request_", HTTP.values(), ids=HTTP)
@of_each
def test_http_meets_five_errors_and_the_end(stage: Stage, speech: Speech, request_: bytes) -> None:
    asked = len(stage.auth.requests)
    for way in WAYS:
        client = stage.greeted(speech, tls=way.tls)
        stage.say_what_fits(client, request_, slowly=way.slowly)
        assert re.fullmatch(rb"(%b){5}" % REFUSAL[speech], client.rest()), way
    assert len(stage.auth.requests) == asked


def test_a_tag_of_markup_is_not_repeated(stage: Stage) -> None:
    client = stage.greeted(IMAP)
    for tag in (SCRIPT, b"<script>alert`1`</script>", b"<b>", b">"):
        client.talk((tag + b" /\r\n", b"* BAD invalid command\r\n"))


OK, BAD = b"b OK completed\r\n", b"a BAD invalid command\r\n"
# What stands for a password, and what is heard of the command behind it: None where the client is sent away.
LITERALS: dict[bytes, bytes | None] = {
    b"{99999999999999999999999}": OK,
    b"{4294967296}": OK,
    b"{2147483648}": OK,
    b"{4096}": OK,
    b"{-1}": OK,
    b"{+1}": OK,
    b"{ 1}": OK,
    b"{1 }": OK,
    b"{0x1}": OK,
    b"{1.5}": OK,
    b"{1e3}": OK,
    "{\uff11}".encode(): OK,
    b"{1}{1}": OK,
    b"{1}x": OK,
    b"{": OK,
    b"{}x": OK,
    b"{" + b"9" * 3000 + b"}": OK,
    b"{" + b"9" * 3000 + b"+}": None,
    b"{4096+}": None,
    b"{4294967296+}": None,
    b"{1++}": None,
    b"{-1+}": None,
}


@pytest.mark.parametrize(("literal", "heard"), LITERALS.items(), ids=[literal[:12].decode() for literal in LITERALS])
def test_a_length_that_is_none_is_refused_at_once(stage: Stage, literal: bytes, heard: bytes | None) -> None:
    for way in WAYS:
        client = stage.greeted(IMAP, tls=way.tls)
        stage.say_what_fits(client, b"a LOGIN u %b\r\nb NOOP\r\n" % literal, slowly=way.slowly)
        client.expect(BAD)
        if heard is None:
            assert client.rest() == b"", way
        else:
            client.expect(heard)


def test_a_digit_past_every_buffer_is_too_long(stage: Stage) -> None:
    for way in WAYS:
        client = stage.greeted(IMAP, tls=way.tls)
        stage.say_what_fits(client, b"a LOGIN u {" + b"9" * 5000 + b"}\r\n", slowly=way.slowly)
        assert client.rest() == BAD


@pytest.mark.parametrize("sign", [b"", b"+"])
def test_a_literal_of_no_bytes_is_an_empty_string(stage: Stage, sign: bytes) -> None:
    for way in WAYS:
        client = stage.greeted(IMAP, tls=way.tls)
        stage.say(client, b"a LOGIN u {0%b}\r\n\r\n" % sign, slowly=way.slowly)
        client.expect((b"" if sign else b"+ OK\r\n") + IMAP.welcome)
        assert stage.auth.header(b"Auth-Pass") == b""


def test_data_behind_a_refused_command_is_not_run(stage: Stage) -> None:
    for way in WAYS:
        client = stage.greeted(IMAP, tls=way.tls)
        stage.say(client, b"a FOO {6+}\r\na NOOP {2+}\r\nxx x\r\nb NOOP\r\n", slowly=way.slowly)
        client.expect(BAD + OK)
        client = stage.greeted(IMAP, tls=way.tls)
        stage.say(client, b"a FOO {7}\r\nb NOOP\r\n", slowly=way.slowly)
        client.expect(BAD + OK)


CROWD = 500
GROWN = 20 << 20  # bytes
FLOODS: dict[str, bytes] = {
    "parentheses": b"a NOOP " + b"(" * 60_000,
    "literals": b"a LOGIN u {4096+}\r\n" * 3_000,
    "quotes": b'a LOGIN "' + b"\\" * 60_000,
    "a literal without its end": b"a LOGIN u {4000+}\r\n" + b"x" * 3_000,
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
def test_a_crowd_that_floods_us_costs_little_memory(stage: Stage, flood: bytes) -> None:
    before = stage.memory()
    clients = [stage.greeted(IMAP) for _ in range(CROWD)]
    for client in clients:
        stage.say_what_fits(client, flood)
    if len(flood) > 4096:
        for client in clients:
            assert client.rest() == BAD
    assert stage.memory() < before + GROWN


@of_each
def test_a_line_without_an_end_is_one_error(stage: Stage, speech: Speech) -> None:
    heard = {IMAP: b"* BAD invalid command\r\n"}.get(speech, speech.invalid)
    for way in WAYS:
        client = stage.greeted(speech, tls=way.tls)
        stage.say_what_fits(client, b"x" * 20_000, slowly=way.slowly)
        assert client.rest() == heard, way


TOO_EARLY = {
    IMAP: [b"a SELECT INBOX", b"a APPEND INBOX {5}", b"a ENABLE UTF8=ACCEPT", b"a UNKNOWN"],
    POP3: [b"STAT", b"RETR 1", b"DELE 1", b"TOP 1 0", b"UTF8", b"UNKNOWN"],
    SMTP: [b"DATA", b"BDAT 5 LAST\r\nabc", b"VRFY root", b"EXPN all", b"HELP", b"ETRN x", b"TURN", b"XCLIENT NAME=x"],
}


@of_each
def test_what_needs_a_login_is_refused_before_it(stage: Stage, speech: Speech) -> None:
    for command in TOO_EARLY[speech]:
        for way in WAYS:
            client = stage.greeted(speech, tls=way.tls)
            stage.say(client, command + b"\r\n", slowly=way.slowly)
            client.expect(speech.invalid)
            client.talk((speech.noop, speech.done))


def test_chunks_that_come_too_early_are_never_accepted(stage: Stage) -> None:
    for way in WAYS:
        client = stage.greeted(SMTP, "every", tls=way.tls)
        stage.say(client, b"BDAT 5 LAST\r\nhelloQUIT\r\n", slowly=way.slowly)
        assert client.rest() == SMTP.invalid + b"221 2.0.0 Bye\r\n"


def test_no_octet_of_a_chunk_is_obeyed(stage: Stage) -> None:
    forged = b"RSET\r\nMAIL FROM:<boss@example.com>\r\nRCPT TO:<victim@example.com>\r\nDATA\r\n"
    for way in WAYS:
        client = stage.greeted(SMTP, "every", tls=way.tls)
        stage.say(client, b"BDAT %d LAST\r\n%bQUIT\r\n" % (len(forged), forged), slowly=way.slowly)
        assert client.rest() == SMTP.invalid + b"221 2.0.0 Bye\r\n"
        client = stage.greeted(SMTP, "every", tls=way.tls)
        stage.say_what_fits(client, b"BDAT 99999 LAST\r\n" + forged, slowly=way.slowly)
        assert client.rest() == SMTP.invalid


def test_each_protocol_has_its_table() -> None:
    assert set(TOO_EARLY) == set(REFUSAL) == set(SPEECHES)
