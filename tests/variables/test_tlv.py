from __future__ import annotations

import struct

import pytest

from mailworker.variables.table import builtin
from tests.variables.facts import Session


def tlv(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


SSL = tlv(0x20, b"\x01\0\0\0\x12" + tlv(0x21, b"TLSv1.3") + tlv(0x22, b"joe") + tlv(0x25, b"RSA2048"))
HEADER = tlv(0x01, b"imap") + tlv(0x02, b"mail.example.com") + tlv(0x02, b"second") + SSL + tlv(0xEA, b"\x01vpce")


def value(name: str, tlvs: bytes = HEADER) -> bytes | None:
    function = builtin(f"proxy_protocol_tlv_{name}")
    assert function is not None
    return function(Session(proxy_tlvs=tlvs))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("alpn", b"imap"),
        ("authority", b"mail.example.com"),
        ("unique_id", None),
        ("netns", None),
        ("0x01", b"imap"),
        ("0xea", b"\x01vpce"),
        ("0x5", None),
        ("0x0", None),
        ("ssl", SSL[3:]),
        ("ssl_version", b"TLSv1.3"),
        ("ssl_cn", b"joe"),
        ("ssl_key_alg", b"RSA2048"),
        ("ssl_cipher", None),
        ("ssl_verify", b"18"),
        ("ssl_0x21", b"TLSv1.3"),
    ],
)
def test_values_are_found_by_name_and_by_number(name: str, expected: bytes | None) -> None:
    assert value(name) == expected


@pytest.mark.parametrize("name", ["", "nosuch", "ssl_nosuch", "0x", "0xgg", "0x100", "0x-1", "ssl_alpn", "1", "0b01"])
def test_a_name_that_stands_for_nothing_is_no_variable(name: str) -> None:
    assert builtin(f"proxy_protocol_tlv_{name}") is None


def test_a_value_may_be_long() -> None:
    values = tlv(0xEA, bytes(0x1234)) + tlv(0x02, b"behind")
    assert value("0xea", values) == bytes(0x1234)
    assert value("authority", values) == b"behind"


@pytest.mark.parametrize("tlvs", [b"", b"\x02", b"\x02\0", tlv(1, b"imap")[:-1], b"\x01\xff\xff" + HEADER])
def test_what_does_not_end_is_not_there(tlvs: bytes) -> None:
    assert value("alpn", tlvs) is None
    assert value("authority", tlvs) is None


def test_tls_may_have_no_more_than_its_fixed_part() -> None:
    assert value("ssl_verify", tlv(0x20, b"\x01\0\0\0\0")) == b"0"


@pytest.mark.parametrize("inside", [b"", b"\x01\0\0\0"])
def test_tls_without_its_fixed_part_is_not_there(inside: bytes) -> None:
    assert value("ssl_verify", tlv(0x20, inside)) is None
    assert value("ssl_cn", tlv(0x20, inside)) is None
