"""XCLIENT commands compared byte for byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.config.settings import Address, InetAddress, UnixAddress
from mailworker.errors import Party, ProtocolError
from mailworker.wire.xclient import COMMAND_LIMIT, build, xtext

V4 = InetAddress("192.0.2.1", 1)


@pytest.mark.parametrize(
    ("address", "login", "name", "command"),
    [
        (V4, None, b"[UNAVAILABLE]", b"XCLIENT ADDR=192.0.2.1 NAME=[UNAVAILABLE]\r\n"),
        (V4, b"", b"[TEMPUNAVAIL]", b"XCLIENT ADDR=192.0.2.1 NAME=[TEMPUNAVAIL]\r\n"),
        (V4, b"user@example", b"a-1.example", b"XCLIENT ADDR=192.0.2.1 LOGIN=user@example NAME=a-1.example\r\n"),
        (InetAddress("2001:db8::1", 1), None, b"a", b"XCLIENT ADDR=IPV6:2001:db8::1 NAME=a\r\n"),
        (InetAddress("::ffff:1.2.3.4", 1), None, b"a", b"XCLIENT ADDR=IPV6:::ffff:1.2.3.4 NAME=a\r\n"),
        (UnixAddress("/run/smtp"), b"u", b"a", b"XCLIENT ADDR=unix: LOGIN=u NAME=a\r\n"),
        (
            V4,
            b"u NAME=evil+41\r\nQUIT",
            b"a",
            b"XCLIENT ADDR=192.0.2.1 LOGIN=u+20NAME+3Devil+2B41+0D+0AQUIT NAME=a\r\n",
        ),
        (V4, None, b"a LOGIN=root\r\n", b"XCLIENT ADDR=192.0.2.1 NAME=a+20LOGIN+3Droot+0D+0A\r\n"),
    ],
)
def test_the_command(address: Address, login: bytes | None, name: bytes, command: bytes) -> None:
    assert build(address, login, name) == command


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (b"", b""),
        (b"plain!~", b"plain!~"),
        (b"+=", b"+2B+3D"),
        (b"\0\x1f \x7f\x80\xff", b"+00+1F+20+7F+80+FF"),
    ],
)
def test_xtext(value: bytes, encoded: bytes) -> None:
    assert xtext(value) == encoded


def test_a_command_of_the_limit_is_built_and_a_longer_one_refused() -> None:
    room = COMMAND_LIMIT - len(build(V4, b"x", b"a")) + 1
    assert len(build(V4, b"x" * room, b"a")) == COMMAND_LIMIT
    with pytest.raises(ProtocolError) as error:
        build(V4, b"x" * (room + 1), b"a")
    assert error.value.party is Party.CLIENT


@given(st.binary(max_size=100), st.binary(max_size=50))
def test_no_login_or_name_adds_an_attribute_or_a_command(login: bytes, name: bytes) -> None:
    command = build(V4, login, name)
    assert command.count(b"=") == 2 + bool(login)
    assert command.count(b" ") == 2 + bool(login)
    assert command.find(b"\r\n") == len(command) - 2
