from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.errors import (
    LONGEST_VALUE,
    ConfigError,
    ConnectionLost,
    HostNotFound,
    MailworkerError,
    OutOfConnections,
    Party,
    PeerError,
    TimedOut,
    TlsError,
    UnreadableError,
    escape,
    escape_character,
)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConfigError("unknown directive", "a.conf:3"), "unknown directive in a.conf:3"),
        (ConfigError("no mail section"), "no mail section"),
        (UnreadableError("read() failed", "a"), "read() failed in a"),
        (TimedOut(Party.BACKEND), "upstream timed out"),
        (TimedOut(Party.AUTH_SERVICE), "auth http server timed out"),
        (ConnectionLost(Party.CLIENT, "recv()", 104), "recv() failed"),
        (ConnectionLost(Party.CLIENT, "recv()", 0), "client closed the connection"),
        (TlsError(Party.CLIENT, "SSL_do_handshake()", ("a", "b")), "SSL_do_handshake() failed"),
        (OutOfConnections(4), "4 worker_connections are not enough"),
        (HostNotFound(), "could not be resolved (3: Host not found)"),
    ],
)
def test_an_error_says_what_happened(error: MailworkerError, text: str) -> None:
    assert str(error) == text


def test_an_error_of_a_peer_names_the_party_at_fault() -> None:
    errors: list[PeerError] = [TimedOut(Party.BACKEND), ConnectionLost(Party.CLIENT, "send()", 32), HostNotFound()]
    assert [error.party for error in errors] == [Party.BACKEND, Party.CLIENT, Party.RESOLVER]


@pytest.mark.parametrize(
    ("character", "escaped"),
    [("\n", r"\x0A"), ("\udcff", r"\xFF"), ("\u202e", r"\xE2\x80\xAE"), ("\ud800", r"\xED\xA0\x80")],
)
def test_a_character_is_escaped_byte_by_byte(character: str, escaped: str) -> None:
    assert escape_character(character) == escaped


@pytest.mark.parametrize(
    ("value", "escaped"),
    [
        (b"user@example.org", "user@example.org"),
        ("user", "user"),
        (b"", ""),
        (b"u\r\n2026/11/22 FAKE", r"u\x0D\x0A2026/11/22 FAKE"),
        (b"\x1b[31m", r"\x1B[31m"),
        (b"\x00\x7f", r"\x00\x7F"),
        (b'a", server: "b', r"a\x22, server: \x22b"),
        (b"a\\x0A", r"a\x5Cx0A"),
        ("grüß".encode(), "grüß"),
        (b"gr\xfc\xdf", r"gr\xFC\xDF"),
        ("\u009b31m", r"\xC2\x9B31m"),
        ("a\u2028b", r"a\xE2\x80\xA8b"),
        ("a\u202eb", r"a\xE2\x80\xAEb"),
        ("a\xa0b", r"a\xC2\xA0b"),
        ("\ud800", r"\xED\xA0\x80"),
    ],
)
def test_values_are_escaped_where_they_could_disturb(value: bytes | str, escaped: str) -> None:
    assert escape(value) == escaped


@given(st.binary() | st.text(st.characters()))
def test_escaped_values_are_printable_and_can_be_encoded(value: bytes | str) -> None:
    escaped = escape(value)
    assert escaped.isprintable()
    assert '"' not in escaped
    assert escaped.encode("utf-8").decode() == escaped


def test_a_long_value_is_cut_before_it_is_escaped() -> None:
    assert escape(b"\\" * 5000) == r"\x5C" * LONGEST_VALUE
    assert escape("x" * 5000) == "x" * LONGEST_VALUE
