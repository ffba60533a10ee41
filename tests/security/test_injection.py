"""Rows 19, 23, 24 and 27: nothing that a client says becomes another's command, header or record of the log."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable

import pytest

from tests.security.speech import IMAP, POP3, SMTP, Speech, literal_plus, without_login
from tests.security.stage import WAYS, Stage, of_each
from tests.support.auth import rejected
from tests.support.backend import Script, conversation

# Each is tried as a login and as a password.
HOSTILE = {
    "CR LF and commands": b"u\r\nDELE 1\r\nQUIT",
    "LF and a command": b"u\nDELE 1",
    "CR": b"u\rDELE 1",
    "LF at the end": b"u\n",
    "a line of its own": b"\r\n.\r\n",
    "NUL": b"u\0root",
    "a literal": b"u {3}\r\nabc",
    "quotes": b'u" "p\\"',
    "attributes": b"u NAME=evil LOGIN=root+41",
    "8-bit bytes": b"\xff\xfe\x80",
    "control bytes": bytes(range(1, 10)) + b"\x0b\x0c" + bytes(range(14, 33)) + b"\x7f",
}
XTEXT = bytes(range(33, 127)).replace(b"+", b"").replace(b"=", b"")
Commands = Callable[[bytes, bytes], bytes | None]


def _imap_commands(login: bytes, password: bytes) -> bytes | None:
    if b"\0" in login + password:
        return None
    return b"a LOGIN {%d}\r\n%b {%d}\r\n%b\r\n" % (len(login), login, len(password), password)


def _imap_commands_at_once(login: bytes, password: bytes) -> bytes | None:
    if b"\0" in login + password:
        return None
    return b"a LOGIN {%d+}\r\n%b {%d+}\r\n%b\r\n" % (len(login), login, len(password), password)


def _imap_commands_without_login(login: bytes, password: bytes) -> bytes | None:
    if b"\0" in login + password:
        return None
    return b"a AUTHENTICATE PLAIN %b\r\n" % b64encode(b"\0%b\0%b" % (login, password))


def _pop3_commands(login: bytes, password: bytes) -> bytes | None:
    if any(byte in b"\0\r\n" for byte in login + password):
        return None
    return b"USER %b\r\nPASS %b\r\n" % (login, password)


def _xclient_commands(login: bytes, _password: bytes) -> bytes | None:
    if b"\0" in login:  # Postfix ends the name there, and it is another one
        return None
    encoded = b"".join(bytes([byte]) if byte in XTEXT else b"+%02X" % byte for byte in login)
    return b"XCLIENT ADDR=127.0.0.1 LOGIN=%b NAME=[UNAVAILABLE]\r\n" % encoded


def _auth_commands(login: bytes, password: bytes) -> bytes | None:
    if b"\0" in login + password:
        return None
    return b"AUTH PLAIN %b\r\n" % b64encode(b"\0%b\0%b" % (login, password))


# The last one of each is what its backends do, None for what is usual.
BACKENDS: dict[str, tuple[Speech, str, Commands, Script | None]] = {
    "IMAP": (IMAP, "", _imap_commands, None),
    "IMAP with LITERAL+": (IMAP, "", _imap_commands_at_once, literal_plus),
    "IMAP with LOGINDISABLED": (IMAP, "", _imap_commands_without_login, without_login),
    "POP3": (POP3, "", _pop3_commands, None),
    "XCLIENT": (SMTP, "", _xclient_commands, None),
    "AUTH": (SMTP, "direct", _auth_commands, None),
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize(("speech", "variant", "commands", "backend"), BACKENDS.values(), ids=BACKENDS)
def test_a_backend_hears_our_commands_only(
    stage: Stage, speech: Speech, variant: str, commands: Commands, backend: Script | None, hostile: bytes
) -> None:
    stage.backend = backend
    for login, password in ((hostile, b"p"), (b"u", hostile)):
        for way in WAYS:
            number = len(stage.backends[speech.name].peers)
            client = stage.greeted(speech, variant, tls=way.tls)
            client.send(speech.auth + b" LOGIN\r\n")
            client.line()
            for credential in (login, password):
                stage.say(client, b64encode(credential) + b"\r\n", slowly=way.slowly)
                answer = client.line()
            expected = commands(login, password)
            assert answer == (speech.invalid if expected is None else speech.welcome), way
            if expected is None:
                assert client.rest() == b""
                heard = stage.backends[speech.name].overheard(number)
                assert heard in (b"", b"EHLO mail.example\r\n"), way
            else:
                client.talk((b"ping\r\n", b"ping\r\n"))  # what an attacker has slipped in would stand before it
                heard = stage.backends[speech.name].peer(number).received
                assert heard.removeprefix(b"EHLO mail.example\r\n") == expected + b"ping\r\n", way


TOO_LONG = {"letters": b"u" * 600, "xtext": b"=" * 200}


@pytest.mark.parametrize("login", TOO_LONG.values(), ids=TOO_LONG)
def test_a_login_that_fits_no_xclient_is_refused(stage: Stage, login: bytes) -> None:
    for way in WAYS:
        number = len(stage.backends["smtp"].peers)
        client = stage.greeted(SMTP, tls=way.tls)
        stage.say(client, SMTP.plain(b"\0%b\0p" % login), slowly=way.slowly)
        assert client.rest() == SMTP.invalid
        assert stage.backends["smtp"].overheard(number) in (b"", b"EHLO mail.example\r\n")


# Bytes inside a command of an envelope, and the answer.
INVALID, ARGUMENT = b"500 5.5.1 Invalid command\r\n", b"501 5.5.4 Invalid argument\r\n"
ENVELOPES = {
    "NUL": (b"\0", ARGUMENT),
    "a tab": (b"\t", ARGUMENT),
    "ESC": (b"\x1b[31m", ARGUMENT),
    "DEL": (b"\x7f", ARGUMENT),
    "CR": (b"\r", INVALID),
    "CR and a command": (b"\rRCPT TO:<root>", INVALID),
}


@pytest.mark.parametrize(("hostile", "heard"), ENVELOPES.values(), ids=ENVELOPES)
@pytest.mark.parametrize("command", [b"HELO a%bb", b"EHLO a%bb", b"MAIL FROM:<a%b@b>", b"RCPT TO:<a%b@b>"])
def test_control_bytes_in_an_envelope_are_refused(stage: Stage, command: bytes, hostile: bytes, heard: bytes) -> None:
    asked = len(stage.auth.requests)
    for way in WAYS:
        client = stage.greeted(SMTP, "every", tls=way.tls)
        if command.startswith(b"RCPT"):
            client.talk((b"MAIL FROM:<a@b>\r\n", b"250 2.0.0 OK\r\n"))
        stage.say(client, command % hostile + b"\r\n", slowly=way.slowly)
        client.expect(heard)
    assert len(stage.auth.requests) == asked


RECORD = b"1999/12/31 23:59:59 [alert] 1#1: forged"
# Without LF, which no command can hold.
IN_A_LINE = bytes(range(1, 10)) + b"\x0b\x0c" + bytes(range(14, 32)) + b"\x7f\x80\x9b\xff\xe2\x80\xae\xc2\x85" + RECORD
FORGED = b'\r\n%b\r\n\x1b[2J\x1b[31m\x9b31m\xe2\x80\xae\xe2\x80\xa8\0\x7f\x08\x08\\"' % RECORD


@of_each
def test_no_value_of_a_client_forges_a_record(stage: Stage, speech: Speech) -> None:
    for way in WAYS:
        client = stage.greeted(speech, tls=way.tls)
        for value in (IN_A_LINE, b"x " + IN_A_LINE, speech.auth + b" PLAIN " + IN_A_LINE, b"MAIL FROM:<" + IN_A_LINE):
            stage.say_what_fits(client, value + b"\r\n", slowly=way.slowly)
        client = stage.greeted(speech, tls=way.tls)
        stage.say_what_fits(client, speech.auth + b" LOGIN\r\n%b\r\neA==\r\n" % b64encode(FORGED), slowly=way.slowly)
        assert client.line() and client.line() and client.line()
        client = stage.greeted(speech, tls=way.tls)
        stage.say_what_fits(client, speech.noop.rstrip() + b" " + IN_A_LINE * 400, slowly=way.slowly)
        client.rest()
    lines = stage.settle()
    assert any("forged" in line for line in lines)


@of_each
def test_no_value_of_a_service_forges_a_record(stage: Stage, speech: Speech) -> None:
    for value in (IN_A_LINE, FORGED.replace(b"\n", b"")):
        for header in (b"Auth-Status", b"Auth-Server", b"Auth-Port", b"Auth-User", IN_A_LINE):
            answer = rejected(b"no", (header, value)) if header == b"Auth-User" else _with(header, value)
            for way in WAYS:
                stage.answer = _slow(answer) if way.slowly else answer
                client = stage.greeted(speech, tls=way.tls)
                client.send(speech.login)
                assert client.rest()
    assert any("forged" in line for line in stage.settle())


def _slow(answer: bytes) -> Script:
    return lambda peer: peer.send_slowly(answer)


def _with(header: bytes, value: bytes) -> bytes:
    lines = {b"Auth-Status": b"OK", b"Auth-Server": b"127.0.0.1", b"Auth-Port": b"1", header: value}
    return b"HTTP/1.0 200 OK\r\n" + b"".join(b"%b: %b\r\n" % line for line in lines.items()) + b"\r\n"


@pytest.mark.parametrize("variant", ["", "frank"])
@of_each
def test_no_value_of_a_backend_forges_a_record(stage: Stage, speech: Speech, variant: str) -> None:
    for value in (IN_A_LINE, FORGED, FORGED * 200):
        for way in WAYS:
            stage.backend = conversation(value + b"\r\n")
            client = stage.greeted(speech, variant, tls=way.tls)
            stage.say(client, speech.login, slowly=way.slowly)
            client.rest()
    assert stage.settle()


@of_each
def test_no_proxy_header_forges_a_record(stage: Stage, speech: Speech) -> None:
    for header in (b"PROXY TCP4 " + IN_A_LINE, b"PROXY " + FORGED, FORGED):
        client = stage.connect(speech, "behind")
        stage.say_what_fits(client, header + b"\r\n")
        client.rest()
    assert any("broken header" in line for line in stage.settle())
