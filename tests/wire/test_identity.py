"""What backends are told of a client, byte for byte."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.errors import Party, ProtocolError
from mailworker.model import InetAddress, UnixAddress
from mailworker.wire.identity import (
    Identity,
    dovecot_attributes,
    hops_left,
    host_name,
    imap_fields,
    smtp_address,
    smtp_attributes,
)
from mailworker.wire.imap_id import by_name

CLIENT, LOCAL = InetAddress("203.0.113.8", 51234), InetAddress("198.51.100.2", 993)
PLAIN = Identity(CLIENT, LOCAL, b"q83vEjRWeJAKAAAB", 6, secure=False, server_name=None)
SECURE = replace(PLAIN, secure=True, server_name=b"imap.example.org")
MAPPED = replace(PLAIN, address=InetAddress("::ffff:203.0.113.8", 1), local=InetAddress("2001:db8::2", 993))
UNIX = replace(PLAIN, address=UnixAddress(""), local=UnixAddress("/run/imap"))


@pytest.mark.parametrize(
    ("identity", "fields"),
    [
        (
            SECURE,
            b'("x-session-id" "q83vEjRWeJAKAAAB" "x-originating-ip" "203.0.113.8" "x-originating-port" "51234" '
            b'"x-connected-ip" "198.51.100.2" "x-connected-port" "993" "x-proxy-ttl" "6" '
            b'"x-client-transport" "TLS" "x-connected-name" "imap.example.org")',
        ),
        (
            MAPPED,
            b'("x-session-id" "q83vEjRWeJAKAAAB" "x-originating-ip" "203.0.113.8" "x-originating-port" "1" '
            b'"x-connected-ip" "2001:db8::2" "x-connected-port" "993" "x-proxy-ttl" "6" '
            b'"x-client-transport" "insecure")',
        ),
        (
            UNIX,
            b'("x-session-id" "q83vEjRWeJAKAAAB" "x-proxy-ttl" "6" "x-client-transport" "insecure")',
        ),
    ],
)
def test_the_fields_of_id(identity: Identity, fields: bytes) -> None:
    assert imap_fields(identity) == fields


@pytest.mark.parametrize(
    ("identity", "attributes"),
    [
        (
            SECURE,
            b"ADDR=203.0.113.8 PORT=51234 DESTADDR=198.51.100.2 DESTPORT=993 SESSION=q83vEjRWeJAKAAAB TTL=6 "
            b"CLIENT-TRANSPORT=TLS DESTNAME=imap.example.org",
        ),
        (
            MAPPED,
            b"ADDR=203.0.113.8 PORT=1 DESTADDR=2001:db8::2 DESTPORT=993 SESSION=q83vEjRWeJAKAAAB TTL=6 "
            b"CLIENT-TRANSPORT=insecure",
        ),
        (UNIX, b""),
    ],
)
def test_the_attributes_of_dovecot_s_xclient(identity: Identity, attributes: bytes) -> None:
    assert dovecot_attributes(identity) == attributes


def test_the_attributes_of_smtp() -> None:
    assert smtp_attributes(SECURE, b"me", esmtp=True) == {
        b"PORT": b"51234",
        b"PROTO": b"ESMTP",
        b"HELO": b"me",
        b"DESTADDR": b"198.51.100.2",
        b"DESTPORT": b"993",
        b"SESSION": b"q83vEjRWeJAKAAAB",
        b"TTL": b"6",
        b"CLIENT-TRANSPORT": b"TLS",
        b"DESTNAME": b"imap.example.org",
    }
    nobody = smtp_attributes(UNIX, b"", esmtp=False)
    assert {nobody[name] for name in (b"PORT", b"HELO", b"DESTADDR", b"DESTPORT")} == {b"[UNAVAILABLE]"}
    assert (nobody[b"PROTO"], nobody[b"DESTNAME"]) == (b"SMTP", b"")
    assert smtp_attributes(SECURE, b"x" * 256, esmtp=True)[b"HELO"] == b"[UNAVAILABLE]"


def test_an_address_in_smtp_tells_its_family() -> None:
    assert [smtp_address(address) for address in (CLIENT, InetAddress("::1", 1), UnixAddress(""))] == [
        b"203.0.113.8",
        b"IPV6:::1",
        b"[UNAVAILABLE]",
    ]


@pytest.mark.parametrize(
    ("client_id", "left"),
    [
        (b"", 6),
        (b"NIL", 6),
        (b'("name" "x")', 6),
        (b'("x-proxy-ttl" "5")', 4),
        (b'("X-Proxy-TTL" "2")', 1),
        (b'("x-proxy-ttl" "999")', 6),
        (b'("x-proxy-ttl" "-5")', 6),
        (b'("x-proxy-ttl" "1000")', 6),
        (b'("x-proxy-ttl" "")', 6),
        (b'("x-proxy-ttl" NIL)', 6),
        (b'("x-proxy-ttl" "\xd9\xa3")', 6),
    ],
)
def test_a_client_s_word_only_shortens_the_way(client_id: bytes, left: int) -> None:
    assert hops_left(client_id) == left


@pytest.mark.parametrize("told", [b"0", b"1", b"00", b"001"])
def test_a_way_that_is_too_long_ends(told: bytes) -> None:
    with pytest.raises(ProtocolError, match="appear to be looping") as caught:
        hops_left(b'("x-proxy-ttl" "%b")' % told)
    assert caught.value.party is Party.BACKEND


def test_a_circle_of_proxies_ends() -> None:
    client_id, passed = b"", 0
    with pytest.raises(ProtocolError):
        while passed < 100:
            client_id = imap_fields(replace(SECURE, hops=hops_left(client_id)))
            passed += 1
    assert passed == 6


@given(st.binary(max_size=300))
def test_no_server_name_is_more_than_a_value(name: bytes) -> None:
    identity = replace(SECURE, server_name=host_name(name))
    told = imap_fields(identity)
    assert by_name(told).get(b"x-connected-name", name) == name
    assert not re.search(rb"[\r\n\0]", told + dovecot_attributes(identity))
    assert dovecot_attributes(identity).count(b" ") == 6 + (identity.server_name is not None)
