"""The TLVs of a version 2 PROXY header (ngx_proxy_protocol_get_tlv; specification, section 2.2)."""

from __future__ import annotations

from typing import Final

from mailworker.variables.facts import Evaluate, Facts

PREFIX: Final = "proxy_protocol_tlv_"

_KINDS: Final = {"alpn": 0x01, "authority": 0x02, "unique_id": 0x05, "ssl": 0x20, "netns": 0x30}
_OF_SSL: Final = {"version": 0x21, "cn": 0x22, "cipher": 0x23, "sig_alg": 0x24, "key_alg": 0x25}
_SSL: Final = _KINDS["ssl"]
_SSL_START: Final = 5  # bytes: the client's flags, and the result of verifying its certificate
_HEAD: Final = 3
_HIGHEST: Final = 0xFF


def tlv_variable(name: str) -> Evaluate | None:
    """The reader of the TLV whose name follows PREFIX in a variable's name; None if there is no such TLV."""
    within_ssl = name.startswith("ssl_")
    rest = name.removeprefix("ssl_")
    if within_ssl and rest == "verify":
        return _verify_result
    kind = (_OF_SSL if within_ssl else _KINDS).get(rest)
    if kind is None and rest.startswith("0x"):
        kind = _number(rest[2:])
    if kind is None:
        return None
    if within_ssl:
        return lambda facts: _find(_ssl(facts)[_SSL_START:], kind)
    return lambda facts: _find(facts.proxy_tlvs, kind)


def _number(digits: str) -> int | None:
    try:
        number = int(digits, 16) if digits.isalnum() else -1
    except ValueError:
        return None
    return number if 0 <= number <= _HIGHEST else None


def _ssl(facts: Facts) -> bytes:
    """The value of the TLV about TLS; empty if there is none, or if it is truncated."""
    values = _find(facts.proxy_tlvs, _SSL) or b""
    return values if len(values) >= _SSL_START else b""


def _verify_result(facts: Facts) -> bytes | None:
    values = _ssl(facts)
    return b"%d" % int.from_bytes(values[1:_SSL_START], "big") if values else None


def _find(values: bytes, kind: int) -> bytes | None:
    """The value of the first TLV of a kind; None if there is none, or if one before it is truncated."""
    position = 0
    while position + _HEAD <= len(values):
        start = position + _HEAD
        end = start + int.from_bytes(values[position + 1 : start], "big")
        if end > len(values):
            return None
        if values[position] == kind:
            return values[start:end]
        position = end
    return None
