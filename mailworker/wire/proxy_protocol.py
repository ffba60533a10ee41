"""The PROXY protocol, versions 1 and 2: headers of clients are read, those for backends are made.

The specification is haproxy's doc/proxy-protocol.txt. Headers are read as leniently as by nginx (ngx_proxy_protocol.c).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

from mailworker.errors import Party, ProtocolError, escape
from mailworker.model import MAPPED, Address, InetAddress, Tlv, unmapped
from mailworker.wire.confidential import without_secrets
from mailworker.wire.identity import host_name

V1_LIMIT = 107
"""Most bytes of a version 1 header with its CRLF (specification, section 2.1)."""

V2_LIMIT = 4096
"""Most bytes of a version 2 header (nginx: NGX_PROXY_PROTOCOL_MAX_HEADER)."""

V2_FITTING = 232
"""Most bytes of a version 2 header that every backend accepts: Cyrus and Exim 4.96 read it into a union of this size.

Postfix accepts 536, Dovecot 1500, and none of them accepts a header in two segments.
"""

_V1_START = b"PROXY "
_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_V2_FIXED = struct.Struct("!12sBBH")

# nginx accepts any text of these characters as an address, and only realip checks it
_V1_ADDRESSES = re.compile(rb"TCP[46] ([0-9A-Fa-f.:]*) ([0-9A-Fa-f.:]*) ([0-9]{1,9}) ([0-9]{1,9})")

_LOCAL, _PROXY = 0x20, 0x21
_UNSPECIFIED, _TCP4, _TCP6 = 0x00, 0x11, 0x21
_ADDRESSES = {_TCP4: struct.Struct("!4s4sHH"), _TCP6: struct.Struct("!16s16sHH")}

_IPV6_LENGTH = 16

_TLV_ALPN, _TLV_AUTHORITY, _TLV_CRC32C, _TLV_UNIQUE_ID, _TLV_SSL = 0x01, 0x02, 0x03, 0x05, 0x20
_TLV_SSL_VERSION, _TLV_SSL_COMMON_NAME, _TLV_SSL_CIPHER = 0x21, 0x22, 0x23
_TLV_SSL_SIGNATURE_ALGORITHM, _TLV_SSL_KEY_ALGORITHM = 0x24, 0x25
_PARTS_OF_SSL = Tlv.SSL | Tlv.SSL_CN | Tlv.SSL_CIPHER | Tlv.SSL_SIG_ALG | Tlv.SSL_KEY_ALG
_ALL = _PARTS_OF_SSL | Tlv.ALPN | Tlv.AUTHORITY | Tlv.UNIQUE_ID
_CLIENT_SSL, _CLIENT_CERTIFICATE_NOW, _CLIENT_CERTIFICATE_IN_SESSION = 0x01, 0x02, 0x04

_TLV_HEAD_SIZE = 3
_CHECKSUM_SIZE = _TLV_HEAD_SIZE + 4
_SSL_START = struct.Struct("!BI")

# IANA's names of mail protocols. Dovecot closes the connection if the name is not that of its service. None is sent for
# SMTP: `smtp` is not registered, and `submission` is right for submission services only.
_ALPN = frozenset((b"imap", b"pop3", b"managesieve"))


class ProxyTexts(NamedTuple):
    """The addresses as the peer wrote them, for Proxy-Protocol-* of auth_http."""

    source: bytes
    source_port: bytes
    destination: bytes
    destination_port: bytes


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """A header that was read; the bytes after its `length` bytes are the client's own.

    `source` and `destination` are None if the text is no address. `texts` is also None if the peer sent no addresses at
    all (UNKNOWN, LOCAL, unix sockets). `tlvs` are the bytes after the addresses in version 2, which are not parsed.
    """

    length: int
    source: InetAddress | None = None
    destination: InetAddress | None = None
    texts: ProxyTexts | None = None
    tlvs: bytes = b""


@dataclass(frozen=True, slots=True)
class TlsTlvs:
    """The data about the client's TLS in a version 2 header.

    `common_name` None means that the client sent no certificate; `verify` is OpenSSL's verify result, 0 for a good
    certificate. `resumed` says that the certificate is from an earlier connection of the same session.
    `signature_algorithm` and `key_algorithm` ("RSA2048") are those of the server's certificate.
    """

    version: bytes
    cipher: bytes
    signature_algorithm: bytes
    key_algorithm: bytes
    server_name: bytes | None = None
    alpn: bytes | None = None
    common_name: bytes | None = None
    verify: int = 0
    resumed: bool = False


def parse(data: bytes) -> ProxyHeader | None:
    """Read the header that `data` starts with; None means that more bytes are needed.

    Raises ProtocolError(CLIENT), with nginx's texts. At the end of input, an incomplete header is `broken` as well.
    """
    if data[: len(_SIGNATURE)] == _SIGNATURE[: len(data)]:
        return _parse_v2(data)
    if data[: len(_V1_START)] == _V1_START[: len(data)]:
        return _parse_v1(data)
    raise broken(data)


def broken(data: bytes) -> ProtocolError:
    """The error for `data` that is not a header, or that is the beginning of one at the end of input."""
    line = re.split(rb"[\r\n]", data, maxsplit=1)[0]
    return _error(f'broken header: "{escape(without_secrets(line))}"')


def _error(message: str) -> ProtocolError:
    return ProtocolError(Party.CLIENT, message)


def _parse_v1(data: bytes) -> ProxyHeader | None:
    length = data.find(b"\n", 0, V1_LIMIT) + 1
    if not length:
        if len(data) >= V1_LIMIT:
            raise broken(data)
        return None
    if not data.endswith(b"\r\n", 0, length):
        raise broken(data)
    line = data[len(_V1_START) : length - 2]
    if line.startswith(b"UNKNOWN"):
        return ProxyHeader(length)
    match = _V1_ADDRESSES.fullmatch(line)
    if match is None:
        raise broken(data)
    source, destination, *ports = match.groups()
    source_port, destination_port = map(int, ports)
    if max(source_port, destination_port) > 65535:
        raise broken(data)
    return _header(length, source, source_port, destination, destination_port)


def _parse_v2(data: bytes) -> ProxyHeader | None:
    if len(data) > len(_SIGNATURE) and data[len(_SIGNATURE)] >> 4 != 2:
        raise _error(f"unknown PROXY protocol version: {data[len(_SIGNATURE)] >> 4}")
    if len(data) < _V2_FIXED.size:
        return None
    _, command, family, announced = _V2_FIXED.unpack_from(data)
    length = _V2_FIXED.size + announced
    if length > V2_LIMIT:
        raise _error("header is too large")
    if len(data) < length:
        return None
    addresses = _ADDRESSES.get(family)
    if command != _PROXY or addresses is None:
        return ProxyHeader(length)
    if announced < addresses.size:
        raise _error("header is too small")
    source, destination, source_port, destination_port = addresses.unpack_from(data, _V2_FIXED.size)
    tlvs = data[_V2_FIXED.size + addresses.size : length]
    return _header(length, _text(source), source_port, _text(destination), destination_port, tlvs)


def _header(  # noqa: PLR0913, PLR0917 - what a header says
    length: int, source: bytes, source_port: int, destination: bytes, destination_port: int, tlvs: bytes = b""
) -> ProxyHeader:
    return ProxyHeader(
        length,
        _inet(source, source_port),
        _inet(destination, destination_port),
        ProxyTexts(source, b"%d" % source_port, destination, b"%d" % destination_port),
        tlvs,
    )


def _inet(text: bytes, port: int) -> InetAddress | None:
    try:
        address = ip_address(text.decode("ascii"))
    except ValueError:
        return None
    return InetAddress(_text(address.packed).decode(), port)  # in the spelling of accepted clients' addresses


def _text(packed: bytes) -> bytes:
    """An address as nginx writes it; Python before 3.13 writes no dots in v4-mapped ones."""
    address = ip_address(packed)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (str(address) if mapped is None else f"::ffff:{mapped}").encode()


def build_v1(source: Address, destination: Address) -> bytes:
    """The version 1 header for a connection from `source` to `destination`.

    Both addresses of a line must have the same family, so if they differ the IPv4 one is written v4-mapped.
    """
    if not (isinstance(source, InetAddress) and isinstance(destination, InetAddress)):
        return b"PROXY UNKNOWN\r\n"
    family, source_host, destination_host = 4, source.host, destination.host
    if source.is_ipv6 or destination.is_ipv6:
        family, source_host, destination_host = 6, _mapped(source), _mapped(destination)
    return f"PROXY TCP{family} {source_host} {destination_host} {source.port} {destination.port}\r\n".encode()


def _mapped(address: InetAddress) -> str:
    return address.host if address.is_ipv6 else f"::ffff:{address.host}"


def build_v2(
    source: Address,
    destination: Address,
    tls: TlsTlvs | None = None,
    *,
    unique_id: bytes | None = None,
    tlvs: Tlv = _ALL,
) -> bytes:
    """The version 2 header for a connection from `source` to `destination`, with a checksum.

    `tls` is None for plain connections, `unique_id` for one that has none. Of the TLVs in `tlvs`, those are sent that
    fit into V2_FITTING. Two v4-mapped addresses are sent as IPv4, mixed ones as IPv6.
    """
    command, family, addresses = _LOCAL, _UNSPECIFIED, b""
    if isinstance(source, InetAddress) and isinstance(destination, InetAddress):
        command = _PROXY
        family, addresses = _packed_addresses(source, destination)
    room = V2_FITTING - _V2_FIXED.size - len(addresses) - _CHECKSUM_SIZE
    body = addresses + _tlvs(tls, unique_id, tlvs, room)
    checksum_start = _tlv(_TLV_CRC32C, bytes(4))
    length = len(body) + len(checksum_start)
    header = _V2_FIXED.pack(_SIGNATURE, command, family, length) + body
    checksum = crc32c(header + checksum_start)
    return header + _tlv(_TLV_CRC32C, checksum.to_bytes(4, "big"))


def _packed_addresses(source: InetAddress, destination: InetAddress) -> tuple[int, bytes]:
    packed = [unmapped(address.host).packed for address in (source, destination)]
    family = _TCP4
    if any(len(address) == _IPV6_LENGTH for address in packed):
        family = _TCP6
        packed = [address if len(address) == _IPV6_LENGTH else MAPPED + address for address in packed]
    return family, _ADDRESSES[family].pack(*packed, source.port, destination.port)


def _tlv(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


def _tlvs(tls: TlsTlvs | None, unique_id: bytes | None, tlvs: Tlv, room: int) -> bytes:
    """The TLVs in `tlvs` that fit into `room` bytes. Others are left out, as a truncated name is another name."""
    parts = tls is not None and bool(tlvs & _PARTS_OF_SSL)
    if parts:
        room -= _TLV_HEAD_SIZE + _SSL_START.size
    kept: dict[int, bytes] = {}
    for kind, name, value in _by_worth(tls, unique_id):
        if value and tlvs & name and _TLV_HEAD_SIZE + len(value) <= room:
            kept[kind] = _tlv(kind, value)
            room -= len(kept[kind])
    beside = b"".join(kept.pop(kind, b"") for kind in (_TLV_AUTHORITY, _TLV_ALPN, _TLV_UNIQUE_ID))
    if tls is None or not parts:
        return beside
    return beside + _tlv(_TLV_SSL, _ssl_start(tls) + b"".join(kept.values()))


def _by_worth(tls: TlsTlvs | None, unique_id: bytes | None) -> Iterator[tuple[int, Tlv, bytes | None]]:
    """The TLVs, those first that backends use most; no known backend reads the last three."""
    if tls is not None:
        yield _TLV_SSL_VERSION, Tlv.SSL, tls.version
        yield _TLV_SSL_COMMON_NAME, Tlv.SSL_CN, tls.common_name
        yield _TLV_AUTHORITY, Tlv.AUTHORITY, host_name(tls.server_name)
        yield _TLV_ALPN, Tlv.ALPN, tls.alpn if tls.alpn in _ALPN else None
    yield _TLV_UNIQUE_ID, Tlv.UNIQUE_ID, unique_id
    if tls is not None:
        yield _TLV_SSL_CIPHER, Tlv.SSL_CIPHER, tls.cipher
        yield _TLV_SSL_SIGNATURE_ALGORITHM, Tlv.SSL_SIG_ALG, tls.signature_algorithm
        yield _TLV_SSL_KEY_ALGORITHM, Tlv.SSL_KEY_ALG, tls.key_algorithm


def _ssl_start(tls: TlsTlvs) -> bytes:
    flags, verify = _CLIENT_SSL, 1
    if tls.common_name is not None:
        flags |= _CLIENT_CERTIFICATE_IN_SESSION | (0 if tls.resumed else _CLIENT_CERTIFICATE_NOW)
        verify = tls.verify
    return _SSL_START.pack(flags, verify)


def _crc32c_row(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
    return byte


_CRC32C_TABLE = tuple(map(_crc32c_row, range(256)))


def crc32c(data: bytes) -> int:
    """The Castagnoli checksum of RFC 9260 appendix A, reflected, which zlib does not have."""
    checksum = 0xFFFFFFFF
    for byte in data:
        checksum = (checksum >> 8) ^ _CRC32C_TABLE[(checksum ^ byte) & 0xFF]
    return checksum ^ 0xFFFFFFFF
