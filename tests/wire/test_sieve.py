"""Strings of ManageSieve; commands are in corpus_sieve.py."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.wire.sieve import SieveCommand, SieveParser, SieveVerb, client_string, string, text

QUOTED = {b"": b'""', b'a"\\': b'"a\\"\\\\"', b"x" * 1024: b'"%b"' % (b"x" * 1024), "ä".encode(): '"ä"'.encode()}
LITERAL = [b"x" * 1025, b"a\rb", b"a\nb", b"a\0b", b"\xff", b'"' * 513]


@pytest.mark.parametrize(("value", "wire"), QUOTED.items())
def test_a_string_is_quoted_where_that_can_be(value: bytes, wire: bytes) -> None:
    assert string(value) == client_string(value) == wire


@pytest.mark.parametrize("value", LITERAL)
def test_all_else_is_a_literal_in_the_form_of_its_side(value: bytes) -> None:
    assert string(value) == b"{%d}\r\n%b" % (len(value), value)
    assert client_string(value) == b"{%d+}\r\n%b" % (len(value), value)


@given(st.binary(max_size=50))
def test_what_a_client_says_is_what_is_read(value: bytes) -> None:
    parser = SieveParser(4096)
    parser.feed(b"NOOP %b\r\n" % client_string(value.replace(b"\0", b"")))
    assert parser.next() == SieveCommand(SieveVerb.NOOP, (value.replace(b"\0", b""),))


@given(st.binary(max_size=3000))
def test_a_text_is_one_quoted_line_of_utf_8_whatever_it_holds(value: bytes) -> None:
    shown = text(value)
    assert len(shown) <= 1026
    assert re.fullmatch(r'"(?:[^"\\\0\r\n]|\\["\\])*"', shown.decode())


def test_discarded_input_leaves_no_half_of_a_command() -> None:
    parser = SieveParser(64)
    parser.feed(b"NOOP {9+}\r\nabc")
    assert parser.next() is None
    parser.discard()
    parser.feed(b"NOOP\r\n")
    assert parser.next() == SieveCommand(SieveVerb.NOOP)


def test_an_argument_is_not_shown() -> None:
    assert "secret" not in repr(SieveCommand(SieveVerb.AUTHENTICATE, (b"secret",)))
