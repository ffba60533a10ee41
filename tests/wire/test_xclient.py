"""XCLIENT commands compared byte for byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.errors import Party, ProtocolError
from mailworker.model import Address, InetAddress, UnixAddress
from mailworker.wire.xclient import COMMAND_LIMIT, build, listed_attributes, xtext

V4 = InetAddress("192.0.2.1", 1)
ALL = frozenset([b"ADDR", b"LOGIN", b"NAME"])


@pytest.mark.parametrize(
    ("address", "login", "name", "command"),
    [
        (V4, None, b"[UNAVAILABLE]", b"XCLIENT ADDR=192.0.2.1 NAME=[UNAVAILABLE]\r\n"),
        (V4, b"", b"[TEMPUNAVAIL]", b"XCLIENT ADDR=192.0.2.1 NAME=[TEMPUNAVAIL]\r\n"),
        (V4, b"user@example", b"a-1.example", b"XCLIENT ADDR=192.0.2.1 LOGIN=user@example NAME=a-1.example\r\n"),
        (InetAddress("2001:db8::1", 1), None, b"a", b"XCLIENT ADDR=IPV6:2001:db8::1 NAME=a\r\n"),
        (InetAddress("::ffff:1.2.3.4", 1), None, b"a", b"XCLIENT ADDR=IPV6:::ffff:1.2.3.4 NAME=a\r\n"),
        (UnixAddress("/run/smtp"), b"u", b"a", b"XCLIENT ADDR=[UNAVAILABLE] LOGIN=u NAME=a\r\n"),
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
    assert build(ALL, address, login, name) == (command,)


@pytest.mark.parametrize(
    ("listed", "commands"),
    [
        (b"NAME ADDR LOGIN", (b"XCLIENT ADDR=192.0.2.1 LOGIN=u NAME=a\r\n",)),
        (b"ADDR NAME PORT", (b"XCLIENT ADDR=192.0.2.1 NAME=a\r\n",)),
        (b"LOGIN", (b"XCLIENT LOGIN=u\r\n",)),
        (b"NAME", (b"XCLIENT NAME=a\r\n",)),
        (b"PROTO HELO", ()),
        (b"", ()),
    ],
)
def test_only_listed_attributes_are_sent(listed: bytes, commands: tuple[bytes, ...]) -> None:
    assert build(frozenset(listed.split()), V4, b"u", b"a") == commands


@pytest.mark.parametrize("login", [b"admin\0", b"\0", b"admin\0x" * 200])
def test_a_login_with_a_nul_is_the_client_s_error(login: bytes) -> None:
    with pytest.raises(ProtocolError) as error:
        build(ALL, V4, login, b"a")
    assert error.value.party is Party.CLIENT


def test_what_does_not_fit_one_command_goes_before_address_and_login() -> None:
    name, login = b"a" * 255, b"u" * 300
    assert build(ALL, V4, login, name) == (
        b"XCLIENT NAME=%b\r\n" % name,
        b"XCLIENT ADDR=192.0.2.1 LOGIN=%b\r\n" % login,
    )


@pytest.mark.parametrize(
    ("reply", "attributes"),
    [
        (b"250-a\r\n250 XCLIENT NAME ADDR LOGIN\r\n", ALL),
        (b"250-a\r\n250-Xclient name Addr LOGIN  \r\n250 SIZE\r\n", ALL),
        (b"250-a\r\n250 XCLIENT\tNAME\tADDR LOGIN\r\n", ALL),
        (b"250-a\r\n250 XCLIENT PORT\r\n", {b"PORT"}),
        (b"250-a\r\n250 XCLIENT\r\n", set()),
        (b"250-a\r\n250 XCLIENTS NAME\r\n", None),
        (b"250-a\r\n250 SIZE XCLIENT NAME\r\n", None),
        (b"250 XCLIENT NAME\r\n", None),
        (b"250 hello ok\r\n", None),
        (b"502 what\r\n", None),
        (b"\r\n", None),
    ],
)
def test_what_a_backend_lists(reply: bytes, attributes: frozenset[bytes] | set[bytes] | None) -> None:
    assert listed_attributes(reply) == attributes


def test_no_reply_is_taken_for_another_one_however_many_and_long_they_are() -> None:
    for number in (*range(200), *range(200)):
        for padding in (0, 1 << 10):
            reply = b"250-%b\r\n250 XCLIENT A%d\r\n" % (b"x" * padding, number)
            assert listed_attributes(reply) == frozenset({b"A%d" % number})


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


def test_a_last_command_of_the_limit_is_built_and_a_longer_one_refused() -> None:
    room = COMMAND_LIMIT - len(b"XCLIENT ADDR=192.0.2.1 LOGIN=\r\n")
    assert len(build(ALL, V4, b"x" * room, b"a")[-1]) == COMMAND_LIMIT
    with pytest.raises(ProtocolError) as error:
        build(ALL, V4, b"x" * (room + 1), b"a")
    assert error.value.party is Party.CLIENT


LOGINS = st.binary(max_size=140).map(lambda login: login.replace(b"\0", b""))


@given(LOGINS, st.binary(max_size=80))
def test_no_login_or_name_adds_an_attribute_or_a_command(login: bytes, name: bytes) -> None:
    commands = build(ALL, V4, login, name)
    text = b"".join(commands)
    assert text.count(b"=") == 1 + bool(name) + bool(login)
    assert text.count(b" ") == 1 + bool(name) + bool(login)
    for command in commands:
        assert command.find(b"\r\n") == len(command) - 2
        assert len(command) <= COMMAND_LIMIT
    assert b"ADDR=" in commands[-1]
    assert (b"LOGIN=" in commands[-1]) is bool(login)


EVERYTHING = frozenset(b"NAME ADDR PORT PROTO HELO LOGIN DESTADDR SESSION".split())


def test_more_attributes_stand_behind_those_of_nginx() -> None:
    more = {b"PORT": b"51234", b"HELO": b"a b", b"DESTNAME": b"x", b"SESSION": b""}
    assert build(EVERYTHING, V4, b"u", b"a", more) == (
        b"XCLIENT ADDR=192.0.2.1 LOGIN=u NAME=a PORT=51234 HELO=a+20b\r\n",
    )
    assert build(frozenset([b"PORT"]), V4, b"u", b"a", more) == (b"XCLIENT PORT=51234\r\n",)


def test_what_is_too_long_is_spread_over_commands_and_what_fits_none_is_left_out() -> None:
    more = {b"HELO": b"h" * 250, b"DESTADDR": b"d" * 200, b"PORT": b"1", b"SESSION": b"=" * 255}
    assert build(EVERYTHING, V4, b"u" * 300, b"n" * 250, more) == (
        b"XCLIENT NAME=%b\r\n" % (b"n" * 250),
        b"XCLIENT HELO=%b DESTADDR=%b\r\n" % (b"h" * 250, b"d" * 200),
        b"XCLIENT ADDR=192.0.2.1 LOGIN=%b PORT=1\r\n" % (b"u" * 300),
    )


@given(
    LOGINS,
    st.binary(max_size=255),
    st.dictionaries(st.sampled_from(sorted(EVERYTHING - {b"ADDR", b"LOGIN", b"NAME"})), st.binary(max_size=255)),
)
def test_no_value_adds_an_attribute_or_a_command(login: bytes, name: bytes, more: dict[bytes, bytes]) -> None:
    commands = build(EVERYTHING, V4, login, name, more)
    told = [word.split(b"=") for command in commands for word in command.split()[1:]]
    assert len({pair[0] for pair in told}) == len(told) <= 2 + bool(name) + sum(map(bool, more.values()))
    assert all(len(pair) == 2 and pair[0] in EVERYTHING for pair in told)
    assert all(len(command) <= COMMAND_LIMIT and command.find(b"\r\n") == len(command) - 2 for command in commands)
    assert commands[-1].startswith(b"XCLIENT ADDR=192.0.2.1")
    assert (b" LOGIN=" in commands[-1]) is bool(login)
