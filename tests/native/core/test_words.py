from __future__ import annotations

from base64 import b64decode
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailworker.mail.backend.imap import login_at_once, login_pieces
from mailworker.mail.backend.pop3 import auth_plain, command_line
from mailworker.mail.dialogue.imap import login_words
from mailworker.wire import backend, imap

WORDS = st.sampled_from((b"a", b" ", b'"', b"\\", b"{", b"+", b"\r", b"\n", b"\0", b"\xe9", b"%", b"LOGIN", b"login"))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"a LOGIN demo secret\r\n", (b"a", b"demo", b"secret")),
        (b'a.1 login "demo" "se cret"\n', (b"a.1", b"demo", b"se cret")),
        (b't LoGiN d"emo s\\e{cret}\r\n', (b"t", b'd"emo', b"s\\e{cret}")),
        (b"t" * 100 + b" LOGIN \0 \xff\r\n", (b"t" * 100, b"\0", b"\xff")),
    ],
)
def test_a_usual_login_has_three_words(line: bytes, words: tuple[bytes, ...]) -> None:
    assert login_words(line) == imap.login_words(line) == words


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"\n", b"a", b"a LOGIN", b"a LOGIN demo secret", b"a LOGIN demo secret\r", b"a LOGIN demo\r\n"),
        *(b"a LOGIN demo secret\r\nb", b"a LOGIN demo secret \r\n", b"a  LOGIN demo secret\r\n", b"a LOGIN  x y\r\n"),
        *(b'a LOGIN "" secret\r\n', b'a LOGIN "demo secret\r\n', b'a LOGIN "de\\"mo" secret\r\n'),
        *(b"a LOGIN {4}\r\n", b"a LOGIN demo {6}\r\n", b"a LOGIN demo secret\r\r\n", b"a LOGOUT demo secret\r\n"),
        *(b'a LOGIN "x"y z\r\n', b"+ LOGIN demo secret\r\n", b"a\x7f LOGIN demo secret\r\n", b"\xe9 LOGIN x y\r\n"),
        b"t" * 101 + b" LOGIN x y\r\n",
    ],
)
def test_all_else_is_for_the_parser(line: bytes) -> None:
    assert login_words(line) is imap.login_words(line) is None


@given(st.lists(WORDS).map(b"".join))
@example(b"a LOGIN a\0 a\n")
def test_both_read_the_same(text: bytes) -> None:
    for line in (
        text,
        text + b"\r\n",
        b"a LOGIN " + text,
        b"a LOGIN " + text + b"\r\n",
        b'a LOGIN a "' + text + b'"\n',
    ):
        assert login_words(line) == imap.login_words(line)


@pytest.mark.parametrize(
    ("words", "pieces"),
    [
        ((b"a", b"demo", b"secret"), (b"a LOGIN {4}\r\n", b"demo {6}\r\n", b"secret\r\n")),
        ((b"t.1", b"", b""), (b"t.1 LOGIN {0}\r\n", b" {0}\r\n", b"\r\n")),
        (
            (b"a", b'"\r\n\xff', b"x" * 1234567),
            (b"a LOGIN {4}\r\n", b'"\r\n\xff {1234567}\r\n', b"x" * 1234567 + b"\r\n"),
        ),
        ((b"a", b"d\0", b"s"), None),
        ((b"a", b"d", b"\0"), None),
    ],
    ids=["usual", "empty", "long", "NUL in the name", "NUL in the password"],
)
def test_login_with_literals_has_three_pieces(words: tuple[bytes, bytes, bytes], pieces: object) -> None:
    assert login_pieces(*words, 1 << 30) == backend.login_pieces(*words, 1 << 30) == pieces


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ((b"a", b"demo", b"secret"), b"a LOGIN {4+}\r\ndemo {6+}\r\nsecret\r\n"),
        ((b"t.1", b"", b""), b"t.1 LOGIN {0+}\r\n {0+}\r\n\r\n"),
        (
            (b"a", b'"\r\n\xff', b"x" * 1234567),
            b'a LOGIN {4+}\r\n"\r\n\xff {1234567+}\r\n' + b"x" * 1234567 + b"\r\n",
        ),
        ((b"a", b"d\0", b"s"), None),
        ((b"a", b"d", b"\0"), None),
    ],
    ids=["usual", "empty", "long", "NUL in the name", "NUL in the password"],
)
def test_login_with_literals_may_go_at_once(words: tuple[bytes, bytes, bytes], command: object) -> None:
    assert login_at_once(*words, 1 << 30) == backend.login_at_once(*words, 1 << 30) == command


def test_no_login_is_longer_than_allowed() -> None:
    length = len(b"a LOGIN {4}\r\ndemo {6}\r\nsecret\r\n")
    for build in (login_pieces, backend.login_pieces):
        assert build(b"a", b"demo", b"secret", length) is not None
        assert build(b"a", b"demo", b"secret", length - 1) is None
    for build_whole in (login_at_once, backend.login_at_once):
        assert build_whole(b"a", b"demo", b"secret", length + 2) is not None
        assert build_whole(b"a", b"demo", b"secret", length + 1) is None


@given(st.binary(max_size=12), st.binary(max_size=120), st.binary(max_size=120), st.integers(0, 300))
def test_both_write_the_same(tag: bytes, name: bytes, secret: bytes, most: int) -> None:
    pieces = login_pieces(tag, name, secret, most)
    whole = login_at_once(tag, name, secret, most + 2)
    assert pieces == backend.login_pieces(tag, name, secret, most)
    assert whole == backend.login_at_once(tag, name, secret, most + 2)
    assert (whole is None) == (pieces is None)


@pytest.mark.parametrize("words", [(b"a", b"b", "c", 9), (b"a", None, b"c", 9), (b"a", b"b", b"c", "9")])
def test_a_login_is_made_of_bytes(words: tuple[object, ...]) -> None:
    with pytest.raises(TypeError):
        login_pieces(*words)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        login_at_once(*words)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "secret", "command"),
    [
        (b"demo", b"secret", b"AUTH PLAIN AGRlbW8Ac2VjcmV0\r\n"),
        (b"demo", b"secre", b"AUTH PLAIN AGRlbW8Ac2VjcmU=\r\n"),
        (b"demo", b"secr", b"AUTH PLAIN AGRlbW8Ac2Vjcg==\r\n"),
        (b"", b"", b"AUTH PLAIN AAA=\r\n"),
        (b"\xfb\xff", b"\xfe", b"AUTH PLAIN APv/AP4=\r\n"),
        *((bad, b"p", None) for bad in (b"\0", b"a\r", b"\nb", b"a\r\nb")),
        *((b"u", bad, None) for bad in (b"\0", b"a\r", b"\nb", b"a\r\nb")),
    ],
)
def test_auth_plain_has_its_response_in_its_line(name: bytes, secret: bytes, command: bytes | None) -> None:
    words = b"AUTH PLAIN ", name, secret, b"\r\n", 255
    assert auth_plain(*words) == backend.auth_plain(*words) == command


def test_the_response_stands_between_the_other_parts_of_its_line() -> None:
    words = b'AUTHENTICATE "PLAIN" "', b"a", b"b", b'"\r\n', 255
    assert auth_plain(*words) == backend.auth_plain(*words) == b'AUTHENTICATE "PLAIN" "AGEAYg=="\r\n'


@given(*[st.binary(max_size=120)] * 2, *[st.binary(max_size=9)] * 2, st.integers(0, 300))
def test_both_write_the_same_auth_plain(name: bytes, secret: bytes, before: bytes, after: bytes, most: int) -> None:
    words = before, name, secret, after, most
    command = auth_plain(*words)
    assert command == backend.auth_plain(*words)
    if command is not None:
        assert len(command) <= most
        response = command[len(before) : len(command) - len(after)]
        assert command == before + response + after
        assert b64decode(response, validate=True) == b"\0%b\0%b" % (name, secret)


@pytest.mark.parametrize(
    "words",
    [
        (b"", b"a", "c", b"", 9),
        (b"", None, b"c", b"", 9),
        ("", b"a", b"c", b"", 9),
        (b"", b"a", b"c", None, 9),
        (b"", b"a", b"c", b"", "9"),
        (b"", b"a", b"c", b""),
    ],
)
def test_auth_plain_is_made_of_bytes(words: tuple[object, ...]) -> None:
    with pytest.raises(TypeError):
        auth_plain(*words)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("verb", "text", "line"),
    [
        (b"USER ", b"demo", b"USER demo\r\n"),
        (b"", b" \x01\x7f\xff ", b" \x01\x7f\xff \r\n"),
        (b"PASS ", b"", b"PASS \r\n"),
        *((b"PASS ", text, None) for text in (b"\0", b"a\r", b"\nb", b"a\r\nDELE 1")),
    ],
)
def test_a_command_is_one_line(verb: bytes, text: bytes, line: bytes | None) -> None:
    assert command_line(verb, text) == backend.command_line(verb, text) == line


@given(st.binary(max_size=9), st.one_of(st.binary(), st.lists(WORDS).map(b"".join)))
def test_both_write_the_same_line(verb: bytes, text: bytes) -> None:
    assert command_line(verb, text) == backend.command_line(verb, text)


@pytest.mark.parametrize("words", [("USER ", b"a"), (b"USER ", None), (b"USER ",)])
def test_a_line_is_made_of_bytes(words: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        command_line(*words)
