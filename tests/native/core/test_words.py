from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailworker.mail.dialogue.imap import login_words
from mailworker.wire import imap

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
