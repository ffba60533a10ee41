"""What IMAP lists, and that it is true."""

from __future__ import annotations

import pytest

from mailworker.model import AuthMethod, Starttls
from tests.mail.dialogue.dialogues import converse, server_of
from tests.mail.protocols.layouts import ALL, NAMES, asked, listed
from tests.support.memory_stream import MemoryStream, MemoryTls

METHODS = b" ".join(b"AUTH=" + name for name in NAMES.split())
# nginx's three layouts.
LAYOUTS = {
    Starttls.OFF: b"* CAPABILITY IMAP4 user %b\r\n" % METHODS,
    Starttls.ON: b"* CAPABILITY IMAP4 user %b STARTTLS\r\n" % METHODS,
    Starttls.ONLY: b"* CAPABILITY IMAP4 user STARTTLS LOGINDISABLED\r\n",
}


@pytest.mark.parametrize("starttls", Starttls)
def test_layouts_in_clear_and_over_tls(starttls: Starttls) -> None:
    assert listed("imap", starttls) == (LAYOUTS[starttls], LAYOUTS[Starttls.OFF])


@pytest.mark.parametrize("starttls", Starttls)
@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("auth", [AuthMethod.PLAIN, AuthMethod.CRAM_MD5, AuthMethod.EXTERNAL, AuthMethod(0), ALL])
@pytest.mark.parametrize("words", [(b"IMAP4rev1",), (b"IMAP4rev1", b"LoginDisabled", b"IDLE")])
def test_logindisabled_is_listed_where_login_is_refused_and_nowhere_else(
    starttls: Starttls, encrypted: bool, auth: AuthMethod, words: tuple[bytes, ...]
) -> None:
    changes: dict[str, object] = {"auth": auth, "capabilities": words, "starttls": starttls}
    told, taken = asked("imap", b"a CAPABILITY\r\n", b"a LOGIN u p\r\n", encrypted, changes)
    assert told.upper().split().count(b"LOGINDISABLED") == (not taken)
    assert taken is not (starttls is Starttls.ONLY and not encrypted)


@pytest.mark.parametrize("starttls", Starttls)
@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("auth", [AuthMethod.PLAIN, AuthMethod.APOP, ALL])
def test_sasl_ir_is_listed_where_a_mechanism_takes_a_response_in_its_line(
    starttls: Starttls, encrypted: bool, auth: AuthMethod
) -> None:
    changes: dict[str, object] = {"auth": auth, "starttls": starttls, "capabilities": (b"IMAP4rev1", b"sasl-ir")}
    told, taken = asked("imap", b"a CAPABILITY\r\n", b"a AUTHENTICATE PLAIN AHUAcA==\r\n", encrypted, changes)
    words = told.upper().split()
    assert (b"SASL-IR" in words) is any(word.startswith(b"AUTH=") for word in words)
    assert taken or b"SASL-IR" not in words


@pytest.mark.parametrize("words", [(b"IMAP4rev1",), (b"IMAP4rev1", b"id")])
def test_id_is_listed_once_where_imap_id_answers_it(words: tuple[bytes, ...]) -> None:
    server = server_of("imap", {"capabilities": words, "identity": b'("name" "x")'})
    stream = MemoryStream(b"a CAPABILITY\r\nb ID NIL\r\n")
    converse(server, stream)
    assert stream.output.upper().split(b"\r\n")[1].split().count(b"ID") == 1
    assert b'* ID ("name" "x")\r\nb OK completed\r\n' in stream.output


@pytest.mark.parametrize("starttls", Starttls)
@pytest.mark.parametrize("encrypted", [False, True])
def test_the_greeting_tells_what_capability_would(starttls: Starttls, encrypted: bool) -> None:
    server = server_of("imap", {"starttls": starttls, "greeting_capabilities": True})
    stream = MemoryStream(b"a CAPABILITY\r\n", tls=MemoryTls() if encrypted else None)
    outcome = converse(server, stream)
    told = outcome.replies.split(b"\r\n")[0].removeprefix(b"* ")
    assert stream.output.startswith(b"* OK [%b] IMAP4 ready\r\n* CAPABILITY " % told)
