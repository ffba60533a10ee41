from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailworker.mail.backend.smtp import xclient_command
from mailworker.mail.dialogue.sasl import plain_words
from mailworker.wire import sasl, xclient

ALL = frozenset((b"ADDR", b"LOGIN", b"NAME"))
LISTS = st.sets(st.sampled_from(sorted((*ALL, b"PORT")))).map(frozenset)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"\0user\0secret", (b"", b"user", b"secret")),
        (b"user\0user\0", (b"user", b"user", b"")),
        (b"\0\xff\0" + bytes(range(1, 256)), (b"", b"\xff", bytes(range(1, 256)))),
        *((text, None) for text in (b"", b"\0", b"\0\0", b"\0\0secret", b"user", b"\0user", b"\0user\0a\0b")),
        (b"\0user\0" + b"x" * 400, None),
    ],
)
def test_a_response_has_three_words(text: bytes, words: tuple[bytes, ...] | None) -> None:
    response = b64encode(text)
    assert plain_words(response) == sasl.plain_words(response) == words


@given(st.one_of(st.binary(), st.binary().map(b64encode), st.text("AQ=+/\0-", max_size=12).map(str.encode)))
@example(b"AGEA")
@example(b"AGEAYQ=")
@example(b"AGEA====")
def test_both_read_the_same_response(response: bytes) -> None:
    assert plain_words(response) == sasl.plain_words(response)
    words = sasl.plain_words(response)
    if words is not None:
        authzid, name, secret = sasl.decode_plain(response)
        assert words == (authzid, name, secret.reveal())


@pytest.mark.parametrize(
    ("listed", "login", "name", "command"),
    [
        (ALL, b"user+x", b"a=b", b"XCLIENT ADDR=192.0.2.1 LOGIN=user+2Bx NAME=a+3Db\r\n"),
        (ALL, None, b"", b"XCLIENT ADDR=192.0.2.1\r\n"),
        (ALL - {b"ADDR"}, b"\r\n \xff", b"", b"XCLIENT LOGIN=+0D+0A+20+FF\r\n"),
        (ALL - {b"LOGIN"}, b"user", b"x", b"XCLIENT ADDR=192.0.2.1 NAME=x\r\n"),
        (frozenset({b"NAME"}), b"user", b"", b""),
        (frozenset(), b"user", b"x", b""),
        (frozenset({b"NAME"}), b"", b"x" * 497, b"XCLIENT NAME=%b\r\n" % (b"x" * 497)),
        (frozenset({b"NAME"}), b"", b"x" * 498, None),
        (frozenset({b"LOGIN"}), b" " * 200, b"", None),
    ],
)
def test_a_command_has_what_is_listed(
    listed: frozenset[bytes], login: bytes | None, name: bytes, command: bytes | None
) -> None:
    assert xclient_command(listed, b"192.0.2.1", login, name) == command
    assert xclient.xclient_command(listed, b"192.0.2.1", login, name) == command


@given(LISTS, st.one_of(st.none(), st.binary(max_size=300)), st.binary(max_size=300))
def test_both_write_the_same_command(listed: frozenset[bytes], login: bytes | None, name: bytes) -> None:
    sent = listed, b"IPV6:2001:db8::1", login, name
    assert xclient_command(*sent) == xclient.xclient_command(*sent)


@pytest.mark.parametrize("sent", [(b"", b"", b"", b""), (ALL, "", b"", b""), (ALL, b"", 1, b""), (ALL, b"", b"", None)])
def test_a_command_of_anything_else_is_refused_in_c(sent: tuple[Any, ...]) -> None:
    if xclient_command is not xclient.xclient_command:  # for Python mypy holds it
        with pytest.raises(TypeError):
            xclient_command(*sent)
