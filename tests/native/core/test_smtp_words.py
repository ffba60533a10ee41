from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailworker.mail.backend.smtp import xclient_command
from mailworker.mail.dialogue.sasl import plain_words
from mailworker.model import Address, InetAddress, UnixAddress
from mailworker.wire import sasl, xclient

CLIENT = InetAddress("192.0.2.1", 1)
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
        assert words == (authzid, name, secret.revealed)


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
        (ALL, b"admin\0x", b"", None),
    ],
)
def test_a_command_has_what_is_listed(
    listed: frozenset[bytes], login: bytes | None, name: bytes, command: bytes | None
) -> None:
    for write in (xclient_command, xclient.xclient_command):
        assert write(listed, CLIENT, login, name) == command


@pytest.mark.parametrize(
    ("address", "value"),
    [
        (InetAddress("192.0.2.1", 1), b"192.0.2.1"),
        (InetAddress("2001:db8::1", 1), b"IPV6:2001:db8::1"),
        (UnixAddress("socket"), b"[UNAVAILABLE]"),
    ],
)
def test_a_command_has_the_client_s_address(address: Address, value: bytes) -> None:
    for write in (xclient_command, xclient.xclient_command):
        assert write(ALL, address, None, b"") == b"XCLIENT ADDR=%b\r\n" % value


ADDRESSES = st.sampled_from((CLIENT, InetAddress("2001:db8::1", 1), InetAddress("", 1), UnixAddress("")))


@given(LISTS, ADDRESSES, st.one_of(st.none(), st.binary(max_size=300)), st.binary(max_size=300))
def test_both_write_the_same_command(
    listed: frozenset[bytes], address: Address, login: bytes | None, name: bytes
) -> None:
    sent = listed, address, login, name
    assert xclient_command(*sent) == xclient.xclient_command(*sent)


@pytest.mark.parametrize(
    "sent", [(b"", CLIENT, b"", b""), (ALL, (1, 2), b"", b""), (ALL, CLIENT, 1, b""), (ALL, CLIENT, b"", None)]
)
def test_a_command_of_anything_else_is_refused_in_c(sent: tuple[Any, ...]) -> None:
    if xclient_command is not xclient.xclient_command:  # for Python mypy holds it
        with pytest.raises(TypeError):
            xclient_command(*sent)
