from __future__ import annotations

from dataclasses import replace

import pytest

from mailworker.errors import ConfigError
from tests.config.conftest import LoadServer


def test_defaults(load_server: LoadServer) -> None:
    dialogue = load_server("protocol imap;").dialogue
    assert dialogue.capabilities == (b"IMAP4", b"IMAP4rev1", b"UIDPLUS")
    assert (dialogue.client_buffer, dialogue.greeting_delay, dialogue.greeting_capabilities) == (4096, 0.0, False)


def test_values_are_taken_and_capabilities_keep_their_order_and_bytes(load_server: LoadServer) -> None:
    dialogue = load_server(
        """
        protocol imap; imap_client_buffer 8k; imap_capabilities 'B 1' A; imap_capabilities ä A;
        smtp_greeting_delay 100ms; imap_greeting_capabilities on;
        """
    ).dialogue
    assert dialogue.capabilities == (b"B 1", b"A", "ä".encode(), b"A")
    assert (dialogue.client_buffer, dialogue.greeting_delay, dialogue.greeting_capabilities) == (8192, 0.0, True)


@pytest.mark.parametrize(
    ("directive", "answer"),
    [
        ("", b"NIL"),
        ("imap_id off;", b"NIL"),
        ("imap_id name mailworker;", b'("name" "mailworker")'),
        ("imap_id name 'a b' vendor '';", b'("name" "a b" "vendor" "")'),
        (r"""imap_id name 'a "b" \c';""", rb'("name" "a \"b\" \\c")'),
        ("imap_id " + " ".join(f"n{number} v" for number in range(30)) + ";", None),
    ],
)
def test_what_id_is_answered(load_server: LoadServer, directive: str, answer: bytes | None) -> None:
    identity = load_server(f"protocol imap; {directive}").dialogue.identity
    assert identity == answer if answer is not None else identity.count(b'"') == 120


@pytest.mark.parametrize("protocol", ["imap", "pop3", "smtp"])
def test_a_greeting_has_a_text_of_its_own(load_server: LoadServer, protocol: str) -> None:
    default = load_server(f"protocol {protocol};").dialogue
    changed = load_server(f"protocol {protocol}; {protocol}_greeting 'Welcome (here)';").dialogue
    line = {"imap": b"* OK %b\r\n", "pop3": b"+OK %b\r\n", "smtp": b" %b\r\n"}[protocol]
    text = {"imap": b"IMAP4 ready", "pop3": b"POP3 ready", "smtp": b"ESMTP ready"}[protocol]
    assert default.greeting == line % text
    assert changed == replace(default, greeting=line % b"Welcome (here)")


@pytest.mark.parametrize(
    "text", ["", " ", "a ", " a", "[XCLIENT] x", "a\rb", "a\nb", "\ta", "\x7f", "ä", "x" * 258, "a\x00"], ids=repr
)
@pytest.mark.parametrize("protocol", ["imap", "pop3", "smtp"])
def test_a_greeting_is_a_text_and_no_code(load_server: LoadServer, protocol: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_server(f"protocol {protocol}; {protocol}_greeting '{text}';")
    assert caught.value.message in (
        f'invalid text in "{protocol}_greeting" directive',
        *("unexpected end of file", "invalid character"),
    )


@pytest.mark.parametrize("text", ["<1.2@x>", "a <", "> b"])
def test_a_pop3_greeting_has_no_challenge(load_server: LoadServer, text: str) -> None:
    with pytest.raises(ConfigError):
        load_server(f"protocol pop3; pop3_greeting '{text}';")
    assert load_server(f"protocol imap; imap_greeting '{text}';").dialogue.greeting == b"* OK %b\r\n" % text.encode()


@pytest.mark.parametrize(
    ("directive", "message"),
    [
        ("imap_id a", 'invalid number of arguments in "imap_id" directive'),
        ("imap_id a b c", 'invalid number of arguments in "imap_id" directive'),
        ("imap_id " + "a b " * 31, 'invalid number of arguments in "imap_id" directive'),
        ("imap_id a b A c", 'duplicate name in "imap_id" directive'),
        ("imap_id '' b", 'invalid value "" in "imap_id" directive'),
        (f"imap_id {'n' * 31} b", f'invalid value "{"n" * 31}" in "imap_id" directive'),
        ("imap_id a 'b\rc'", 'invalid value "b\rc" in "imap_id" directive'),
        ("imap_id ä b", 'invalid value "ä" in "imap_id" directive'),
        ("imap_id a b; imap_id c d", '"imap_id" directive is duplicate'),
        ("imap_client_buffer x", '"imap_client_buffer" directive invalid value'),
        (
            "imap_greeting_capabilities 1",
            'invalid value "1" in "imap_greeting_capabilities" directive, it must be "on" or "off"',
        ),
    ],
)
def test_bad_values_are_refused(load_server: LoadServer, directive: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_server(f"protocol imap; {directive};")
    assert caught.value.message == message
