from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailworker.mail.dialogue.pop3 import pop3_words
from mailworker.mail.dialogue.sieve import sieve_words
from mailworker.mail.dialogue.smtp import smtp_words
from mailworker.wire import pop3, sieve, smtp

PIECES = (
    *(b"a", b" ", b"\r", b"\n", b"\r\n", b"\0", b"\x7f", b"\xe9", b"=", b"CAPA\r\n", b"USER a\r\n", b"PASS b\r\n"),
    *(
        b"user ",
        b"pass ",
        b"AUTH PLAIN",
        b"auth LOGIN",
        b"EHLO me\r\n",
        b"ehlo ",
        b"AGEAYg==",
        b"AUTH PLAIN AGEAYg==\r\n",
        b"capability\r\n",
        b'AUTHENTICATE "PLAIN"',
        b'"AGEAYg=="',
        b'"',
        b"\\",
    ),
)
TEXTS = st.lists(st.sampled_from(PIECES), max_size=6).map(b"".join)
HEARD = st.one_of(st.none(), TEXTS)


@pytest.mark.parametrize(
    ("heard", "words", "found"),
    [
        (b"USER demo\r\n", b"PASS secret\r\n", (b"demo", b"secret", b"")),
        (b"capa\r\nuser d~!\r\n", b"pass a b \n", (b"d~!", b"a b ", b"")),
        (b"USER demo\r\n", b"PASS \0\xff\r\n", (b"demo", b"\0\xff", b"")),
        (b"AUTH PLAIN\r\n", b"AGEAYg==\r\n", (b"", b"", b"AGEAYg==")),
        (b"CAPA\r\n", b"auth plain AGEAYg==\n", (b"", b"", b"AGEAYg==")),
        (None, b"AUTH PLAIN \0*\xff\r\n", (b"", b"", b"\0*\xff")),
    ],
)
def test_a_usual_login_by_pop3_has_its_words(heard: bytes | None, words: bytes, found: object) -> None:
    assert pop3_words(heard, words) == pop3.pop3_words(heard, words) == found


@pytest.mark.parametrize(
    ("heard", "words"),
    [
        *((None, words) for words in (b"", b"\n", b"USER demo\r\n", b"PASS secret\r\n", b"AUTH PLAIN\r\n")),
        *((None, words) for words in (b"AUTH PLAIN AGEAYg==", b"AUTH PLAIN AGEA Yg==\r\n", b"AUTH  PLAIN AGEA\r\n")),
        (None, b"USER demo\r\nPASS secret\r\n"),
        *(
            (b"USER demo\r\n", b"PASS" + rest)
            for rest in (b"\r\n", b" \r\n", b"  x\r\n", b" x\r", b" x\r\r\n", b" x\r\ny")
        ),
        *(
            (heard, b"PASS x\r\n")
            for heard in (b"USER \r\n", b"USER a b\r\n", b"USER \xe9\r\n", b"USER a\n", b"CAPA\r\n")
        ),
        (b"CAPA\r\nCAPA\r\nUSER demo\r\n", b"PASS secret\r\n"),
        (b"AUTH PLAIN\r\n", b"\r\n"),
    ],
)
def test_all_else_by_pop3_is_for_the_parser(heard: bytes | None, words: bytes) -> None:
    assert pop3_words(heard, words) is pop3.pop3_words(heard, words) is None


@pytest.mark.parametrize(
    ("heard", "words", "found"),
    [
        (b"EHLO me\r\n", b"AUTH PLAIN AGEAYg==\r\n", (b"me", b"AGEAYg==", b"", b"")),
        (b"ehlo [::1]\r\nauth plain\r\n", b"AGEAYg==\n", (b"[::1]", b"AGEAYg==", b"", b"")),
        (b"EHLO me\r\nAUTH LOGIN\r\nbmFtZQ==\r\n", b"eA==\r\n", (b"me", b"", b"bmFtZQ==", b"eA==")),
    ],
)
def test_a_usual_login_by_smtp_has_its_words(heard: bytes | None, words: bytes, found: object) -> None:
    assert smtp_words(heard, words) == smtp.smtp_words(heard, words) == found


@pytest.mark.parametrize(
    ("heard", "words"),
    [
        *((None, words) for words in (b"", b"EHLO me\r\n", b"AUTH PLAIN AGEAYg==\r\n")),
        (None, b"EHLO me\r\nAUTH PLAIN AGEAYg==\r\n"),
        *((b"EHLO me\r\n", words) for words in (b"AUTH PLAIN\r\n", b"AUTH LOGIN a\r\n", b"AUTH\r\n", b"AUTH PLAIN a")),
        *(
            (b"EHLO me\r\n", words)
            for words in (b"AUTH PLAIN a b\r\n", b"AUTH PLAIN a\r\nNOOP\r\n", b"AUTH PLAINa\r\n")
        ),
        *((heard, b"AUTH PLAIN a\r\n") for heard in (b"HELO me\r\n", b"EHLO \r\n", b"EHLO a b\r\n", b"EHLO me\n")),
        (b"EHLO me\r\nAUTH LOGIN\r\n\r\n", b"eA==\r\n"),
        (b"EHLO me\r\nAUTH LOGIN\r\na\r\n", b"\r\n"),
    ],
)
def test_all_else_by_smtp_is_for_the_parser(heard: bytes | None, words: bytes) -> None:
    assert smtp_words(heard, words) is smtp.smtp_words(heard, words) is None


@pytest.mark.parametrize(
    ("heard", "words", "found"),
    [
        (None, b'AUTHENTICATE "PLAIN" "AGEAYg=="\r\n', b"AGEAYg=="),
        (b"Capability\r\n", b'authenticate "plain" "AGEAYg=="\n', b"AGEAYg=="),
        (b'CAPABILITY\r\nAUTHENTICATE "PLAIN"\r\n', b'"AGEAYg=="\r\n', b"AGEAYg=="),
        (None, b'AUTHENTICATE "PLAIN" "\0 *\xff"\r\n', b"\0 *\xff"),
    ],
)
def test_a_usual_login_by_managesieve_has_its_response(heard: bytes | None, words: bytes, found: bytes) -> None:
    assert sieve_words(heard, words) == sieve.sieve_words(heard, words) == (found,)


@pytest.mark.parametrize(
    ("heard", "words"),
    [
        *((None, words) for words in (b"", b"\n", b"CAPABILITY\r\n", b'AUTHENTICATE "PLAIN"\r\n')),
        *(
            (None, b'AUTHENTICATE "PLAIN"' + rest)
            for rest in (b'"AA=="\r\n', b'  "AA=="\r\n', b' ""\r\n', b" AA==\r\n")
        ),
        *((None, b'AUTHENTICATE "PLAIN" ' + rest) for rest in (b'"AA=="', b'"AA=="\r', b'"AA=="\r\r\n', b'"A\\A"\r\n')),
        *((None, b'AUTHENTICATE "PLAIN" ' + rest) for rest in (b'"AA==" \r\n', b'"AA==\r\n', b"{4+}\r\nAA==\r\n")),
        (None, b'AUTHENTICATE PLAIN "AA=="\r\n'),
        (None, b'AUTHENTICATE "PLAINS" "AA=="\r\n'),
        (None, b'CAPABILITY\r\nAUTHENTICATE "PLAIN" "AA=="\r\n'),
        (None, b'AUTHENTICATE "PLAIN" "AA=="\r\nNOOP\r\n'),
        (b"CAPABILITY\r\nCAPABILITY\r\n", b'AUTHENTICATE "PLAIN" "AA=="\r\n'),
        (b"CAPABILITY\n", b'AUTHENTICATE "PLAIN" "AA=="\r\n'),
        (b'AUTHENTICATE "PLAIN"\r\n', b"\r\n"),
    ],
)
def test_all_else_by_managesieve_is_for_the_parser(heard: bytes | None, words: bytes) -> None:
    assert sieve_words(heard, words) is sieve.sieve_words(heard, words) is None


@given(HEARD, TEXTS)
@example(b'AUTHENTICATE "PLAIN"\r\n', b'"x"\n')
@example(b"USER a\r\nPA", b"SS b\n")
@example(b"EHLO a\r\nAUTH PLAIN b\r\n", b"")
def test_both_read_the_same(heard: bytes | None, words: bytes) -> None:
    sieve_line = b'AUTHENTICATE "PLAIN" "%b"\r\n' % words
    for last in (words, words + b"\r\n", b"PASS " + words + b"\r\n", b"AUTH PLAIN " + words + b"\r\n", sieve_line):
        for before in (heard, b"USER a\r\n", b"EHLO me\r\n", b"EHLO me\r\nAUTH LOGIN\r\na\r\n"):
            assert pop3_words(before, last) == pop3.pop3_words(before, last)
            assert sieve_words(before, last) == sieve.sieve_words(before, last)
            assert smtp_words(before, last) == smtp.smtp_words(before, last)


@pytest.mark.parametrize("arguments", [("", b""), (b"", ""), (None, None), (b"",), (b"", b"", b"")])
def test_words_are_read_from_bytes(arguments: tuple[Any, ...]) -> None:
    for read in (pop3_words, sieve_words, smtp_words):
        if read not in {pop3.pop3_words, sieve.sieve_words, smtp.smtp_words}:  # for Python mypy holds it
            with pytest.raises(TypeError):
                read(*arguments)
