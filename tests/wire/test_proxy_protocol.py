"""Headers read at every length of what has arrived, and headers written."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.errors import Party, ProtocolError
from mailworker.model import Address, InetAddress, Tlv, UnixAddress
from mailworker.wire.proxy_protocol import (
    V1_LIMIT,
    V2_FITTING,
    ProxyHeader,
    ProxyTexts,
    TlsTlvs,
    broken,
    build_v1,
    build_v2,
    crc32c,
    parse,
)

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V4_CLIENT, V4_SERVER = InetAddress("192.0.2.1", 50000), InetAddress("10.0.0.1", 143)
V6_CLIENT, V6_SERVER = InetAddress("2001:db8::1", 50000), InetAddress("::1", 143)
MAPPED_CLIENT, MAPPED_SERVER = InetAddress("::ffff:192.0.2.1", 50000), InetAddress("::ffff:10.0.0.1", 143)
UNIX = UnixAddress("/run/mail")


def v2(command: int, family: int, body: bytes, announced: int | None = None) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(body) if announced is None else announced) + body


def packed(source: str, destination: str) -> bytes:
    return bytes.fromhex(source + destination) + struct.pack("!HH", 1, 65535)


READ: dict[str, tuple[bytes, InetAddress | None, InetAddress | None, tuple[bytes, ...] | None]] = {
    "TCP4": (
        b"PROXY TCP4 192.0.2.1 10.0.0.1 50000 143\r\n",
        V4_CLIENT,
        V4_SERVER,
        (b"192.0.2.1", b"50000", b"10.0.0.1", b"143"),
    ),
    "TCP6": (
        b"PROXY TCP6 2001:DB8::1 ::1 00050000 143\r\n",
        InetAddress("2001:db8::1", 50000),
        V6_SERVER,
        (b"2001:DB8::1", b"50000", b"::1", b"143"),
    ),
    "lowest and highest port": (
        b"PROXY TCP4 192.0.2.1 10.0.0.1 0 65535\r\n",
        InetAddress("192.0.2.1", 0),
        InetAddress("10.0.0.1", 65535),
        (b"192.0.2.1", b"0", b"10.0.0.1", b"65535"),
    ),
    "addresses that are none": (
        b"PROXY TCP4 1.2.3 f:::f 1 2\r\n",
        None,
        None,
        (b"1.2.3", b"1", b"f:::f", b"2"),
    ),
    "empty addresses": (b"PROXY TCP4   1 2\r\n", None, None, (b"", b"1", b"", b"2")),
    "addresses in another spelling": (
        b"PROXY TCP6 2001:DB8:0::0001 0:0:0:0:0:FFFF:A00:1 1 2\r\n",
        InetAddress("2001:db8::1", 1),
        InetAddress("::ffff:10.0.0.1", 2),
        (b"2001:DB8:0::0001", b"1", b"0:0:0:0:0:FFFF:A00:1", b"2"),
    ),
    "UNKNOWN": (b"PROXY UNKNOWN\r\n", None, None, None),
    "UNKNOWN with anything": (b"PROXY UNKNOWN ffff::1 \0\r x 1 2\r\n", None, None, None),
    "UNKNOWN of the limit": (b"PROXY UNKNOWN".ljust(V1_LIMIT - 2) + b"\r\n", None, None, None),
    "v2 IPv4": (
        v2(0x21, 0x11, packed("c0000201", "0a000001")),
        InetAddress("192.0.2.1", 1),
        InetAddress("10.0.0.1", 65535),
        (b"192.0.2.1", b"1", b"10.0.0.1", b"65535"),
    ),
    "v2 IPv6": (
        v2(0x21, 0x21, packed("20010db8" + "0" * 23 + "1", "0" * 20 + "ffff0a000001")),
        InetAddress("2001:db8::1", 1),
        InetAddress("::ffff:10.0.0.1", 65535),
        (b"2001:db8::1", b"1", b"::ffff:10.0.0.1", b"65535"),
    ),
    "v2 with TLVs": (
        v2(0x21, 0x11, packed("c0000201", "0a000001") + b"\x04\0\1x"),
        InetAddress("192.0.2.1", 1),
        InetAddress("10.0.0.1", 65535),
        (b"192.0.2.1", b"1", b"10.0.0.1", b"65535"),
    ),
    "v2 LOCAL": (v2(0x20, 0x00, b""), None, None, None),
    "v2 LOCAL with addresses": (v2(0x20, 0x11, packed("c0000201", "0a000001")), None, None, None),
    "v2 other command": (v2(0x2F, 0x11, packed("c0000201", "0a000001")), None, None, None),
    "v2 datagram": (v2(0x21, 0x12, packed("c0000201", "0a000001")), None, None, None),
    "v2 unix": (v2(0x21, 0x31, bytes(216)), None, None, None),
    "v2 unspecified": (v2(0x21, 0x00, b""), None, None, None),
    "v2 of the limit": (v2(0x20, 0x00, bytes(4096 - 16)), None, None, None),
}


@pytest.mark.parametrize(("data", "source", "destination", "texts"), READ.values(), ids=READ)
def test_a_header_is_read_and_what_follows_it_is_left(
    data: bytes, source: InetAddress | None, destination: InetAddress | None, texts: tuple[bytes, ...] | None
) -> None:
    tlvs = b"\x04\0\1x" if data.endswith(b"x") else b""
    expected = ProxyHeader(len(data), source, destination, None if texts is None else ProxyTexts(*texts), tlvs)
    assert parse(data) == expected
    assert parse(data + b"a NOOP\r\nPROXY UNKNOWN\r\n") == expected


@pytest.mark.parametrize("data", [case[0] for case in READ.values()], ids=READ)
def test_the_beginning_of_a_header_asks_for_more(data: bytes) -> None:
    assert [parse(data[:length]) for length in range(len(data))] == [None] * len(data)


REFUSED: dict[str, tuple[bytes, str]] = {
    "HTTP": (b"GET / HTTP/1.1\r\n", 'broken header: "GET ..."'),
    "no header": (b"a NOOP\r\n", 'broken header: "a NOOP"'),
    "TLS": (b"\x16\x03\x01\xff", 'broken header: "\\x16\\x03\\x01..."'),
    "lower case": (b"proxy UNKNOWN\r\n", 'broken header: "proxy UNKNOWN"'),
    "leading line": (b"\r\nPROXY UNKNOWN\r\n", 'broken header: ""'),
    "UDP": (b"PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n", 'broken header: "PROXY UDP4 1.1.1.1 2.2.2.2 1 2"'),
    "TCP5": (b"PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n", 'broken header: "PROXY TCP5 1.1.1.1 2.2.2.2 1 2"'),
    "big port": (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 99999\r\n", 'broken header: "PROXY TCP4 1.1.1.1 2.2.2.2 1 99999"'),
    "negative port": (b"PROXY TCP4 1.1.1.1 2.2.2.2 -1 2\r\n", 'broken header: "PROXY TCP4 1.1.1.1 2.2.2.2 -1 2"'),
    "long port": (
        b"PROXY TCP4 1.1.1.1 2.2.2.2 1 " + b"1" * 20 + b"\r\n",
        'broken header: "PROXY TCP4 1.1.1.1 2.2.2.2 1 ' + "1" * 20 + '"',
    ),
    "no ports": (b"PROXY TCP4 1.1.1.1 2.2.2.2\r\n", 'broken header: "PROXY TCP4 1.1.1.1 2.2.2.2"'),
    "host name": (b"PROXY TCP4 host 2.2.2.2 1 2\r\n", 'broken header: "PROXY TCP4 host 2.2.2.2 1 2"'),
    "CR in address": (b"PROXY TCP4 1.1\r.1.1 2.2.2.2 1 2\r\n", 'broken header: "PROXY TCP4 1.1"'),
    "more behind": (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n", 'broken header: "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3"'),
    "LF only": (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n", 'broken header: "PROXY TCP4 1.1.1.1 2.2.2.2 1 2"'),
    "UNKNOWN with LF": (b"PROXY UNKNOWN\n", 'broken header: "PROXY UNKNOWN"'),
    "nothing": (b"PROXY \r\n", 'broken header: "PROXY "'),
    "too long": (b"PROXY UNKNOWN".ljust(V1_LIMIT - 1) + b"\r\n", "broken header: "),
    "version 1 in binary": (v2(0x11, 0x11, bytes(12)), "unknown PROXY protocol version: 1"),
    "version 15": (SIGNATURE + b"\xf1", "unknown PROXY protocol version: 15"),
    "v2 of 65535 bytes": (v2(0x21, 0x11, b"", 65535), "header is too large"),
    "v2 above the limit": (v2(0x20, 0x00, b"", 4096 - 15), "header is too large"),
    "v2 short IPv4": (v2(0x21, 0x11, bytes(11)), "header is too small"),
    "v2 short IPv6": (v2(0x21, 0x21, bytes(35)), "header is too small"),
}


@pytest.mark.parametrize(("data", "message"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_header_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ProtocolError) as error:
        parse(data)
    assert error.value.party is Party.CLIENT
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("data", [case[0] for case in REFUSED.values()], ids=REFUSED)
def test_a_wrong_header_is_refused_whenever_it_arrives(data: bytes) -> None:
    refusals = 0
    for length in range(len(data) + 1):
        try:
            assert parse(data[:length]) is None
        except ProtocolError:
            refusals += 1
    assert refusals


def test_a_header_cut_by_the_end_of_input_is_broken() -> None:
    assert str(broken(b"PROXY TC")) == 'broken header: "PROXY TC"'


@given(
    st.binary()
    | st.binary().map(lambda tail: b"PROXY TCP4 " + tail)
    | st.binary(max_size=60).map(lambda tail: b"PROXY UNKNOWN " + tail + b"\r\n")
    | st.binary().map(lambda tail: SIGNATURE + tail)
    | st.builds(v2, st.sampled_from([0x20, 0x21]), st.sampled_from([0, 0x11, 0x21, 0x31]), st.binary(max_size=60))
)
def test_any_bytes_give_a_header_or_an_error(data: bytes) -> None:
    try:
        header = parse(data)
    except ProtocolError as error:
        assert error.party is Party.CLIENT
    else:
        assert header is None or header.length <= len(data)


V1: dict[str, tuple[Address, Address, bytes]] = {
    "IPv4": (V4_CLIENT, V4_SERVER, b"PROXY TCP4 192.0.2.1 10.0.0.1 50000 143\r\n"),
    "IPv6": (V6_CLIENT, V6_SERVER, b"PROXY TCP6 2001:db8::1 ::1 50000 143\r\n"),
    "IPv6 client": (V6_CLIENT, V4_SERVER, b"PROXY TCP6 2001:db8::1 ::ffff:10.0.0.1 50000 143\r\n"),
    "IPv4 client": (V4_CLIENT, V6_SERVER, b"PROXY TCP6 ::ffff:192.0.2.1 ::1 50000 143\r\n"),
    "mapped": (MAPPED_CLIENT, MAPPED_SERVER, b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:10.0.0.1 50000 143\r\n"),
    "unix": (UNIX, UNIX, b"PROXY UNKNOWN\r\n"),
    "unix server": (V4_CLIENT, UNIX, b"PROXY UNKNOWN\r\n"),
    "unix client": (UNIX, V4_SERVER, b"PROXY UNKNOWN\r\n"),
}


@pytest.mark.parametrize(("source", "destination", "header"), V1.values(), ids=V1)
def test_version_1_is_written(source: Address, destination: Address, header: bytes) -> None:
    assert build_v1(source, destination) == header
    assert parse(header) is not None


MAPPED_V4_CLIENT, MAPPED_V4_SERVER = "0" * 20 + "ffffc0000201", "0" * 20 + "ffff0a000001"
V2: dict[str, tuple[Address, Address, str]] = {
    "IPv4": (V4_CLIENT, V4_SERVER, "2111" + "0013" + "c00002010a000001" + "c350008f"),
    "IPv6": (V6_CLIENT, V6_SERVER, "2121" + "002b" + "20010db8" + "0" * 23 + "1" + "0" * 31 + "1" + "c350008f"),
    "IPv6 client": (
        V6_CLIENT,
        V4_SERVER,
        "2121" + "002b" + "20010db8" + "0" * 23 + "1" + MAPPED_V4_SERVER + "c350008f",
    ),
    "IPv4 client": (V4_CLIENT, V6_SERVER, "2121" + "002b" + MAPPED_V4_CLIENT + "0" * 31 + "1" + "c350008f"),
    "mapped": (MAPPED_CLIENT, MAPPED_SERVER, "2111" + "0013" + "c00002010a000001" + "c350008f"),
    "mapped client": (MAPPED_CLIENT, V4_SERVER, "2111" + "0013" + "c00002010a000001" + "c350008f"),
    "unix": (UNIX, UNIX, "2000" + "0007"),
    "unix server": (V4_CLIENT, UNIX, "2000" + "0007"),
}


def assert_checksum(header: bytes) -> None:
    """The last TLV is the CRC32c of the header with zeros in its place."""
    assert header[-7:-4] == b"\x03\0\4"
    assert int.from_bytes(header[-4:], "big") == crc32c(header[:-4] + bytes(4))


@pytest.mark.parametrize(("source", "destination", "start"), V2.values(), ids=V2)
def test_version_2_is_written(source: Address, destination: Address, start: str) -> None:
    header = build_v2(source, destination)
    assert header[:-7] == SIGNATURE + bytes.fromhex(start)
    assert_checksum(header)
    read = parse(header)
    assert read is not None
    assert read.length == len(header)


def tlvs(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while data:
        kind, length = struct.unpack_from("!BH", data)
        assert kind not in found
        found[kind] = data[3 : 3 + length]
        data = data[3 + length :]
    return found


PLAIN_TLS = TlsTlvs(b"TLSv1.3", b"TLS_AES_128_GCM_SHA256", b"RSA-SHA256", b"RSA2048")
WITH_CERTIFICATE = TlsTlvs(b"TLSv1.2", b"C", b"S", b"EC256", b"mail.example", b"imap", b"client", verify=18)
RESUMED = TlsTlvs(b"TLSv1.2", b"C", b"S", b"EC256", common_name=b"client", resumed=True)
NAMELESS = TlsTlvs(b"TLSv1.2", b"C", b"S", b"EC256", common_name=b"")
LONG_NAME = TlsTlvs(b"TLSv1.2", b"C", b"S", b"EC256", common_name=b"x" * 70_000)


@pytest.mark.parametrize(
    ("tls", "outer", "flags", "verify", "inner"),
    [
        (PLAIN_TLS, [0x20, 0x03], 1, 1, {0x21: b"TLSv1.3", 0x23: PLAIN_TLS.cipher, 0x24: b"RSA-SHA256"}),
        (WITH_CERTIFICATE, [0x02, 0x01, 0x20, 0x03], 7, 18, {0x22: b"client", 0x25: b"EC256"}),
        (RESUMED, [0x20, 0x03], 5, 0, {0x22: b"client"}),
        (NAMELESS, [0x20, 0x03], 7, 0, {0x22: None}),
        (LONG_NAME, [0x20, 0x03], 7, 0, {0x22: None}),
    ],
    ids=["no certificate", "certificate", "resumed", "no common name", "long common name"],
)
def test_version_2_tells_of_tls(
    tls: TlsTlvs, outer: list[int], flags: int, verify: int, inner: dict[int, bytes | None]
) -> None:
    header = build_v2(V4_CLIENT, V4_SERVER, tls)
    assert_checksum(header)
    found = tlvs(header[16 + 12 :])
    assert list(found) == outer
    assert struct.unpack_from("!BI", found[0x20]) == (flags, verify)
    parts = tlvs(found[0x20][5:])
    assert list(parts) == [kind for kind in (0x21, 0x22, 0x23, 0x24, 0x25) if kind in parts]
    assert {kind: parts.get(kind) for kind in inner} == inner
    assert (found.get(0x02), found.get(0x01)) == (tls.server_name, tls.alpn)


ID = b"AZAn3gAAAAEAAAAH"


@pytest.mark.parametrize(
    ("sent", "outer", "parts"),
    [
        (Tlv(0), [], None),
        (Tlv.UNIQUE_ID, [0x05], None),
        (Tlv.ALPN | Tlv.AUTHORITY, [0x02, 0x01], None),
        (Tlv.SSL, [0x20], [0x21]),
        (Tlv.SSL_CN, [0x20], [0x22]),
        (Tlv.SSL | Tlv.SSL_CN | Tlv.UNIQUE_ID, [0x05, 0x20], [0x21, 0x22]),
        (Tlv.SSL_CIPHER | Tlv.SSL_SIG_ALG | Tlv.SSL_KEY_ALG, [0x20], [0x23, 0x24, 0x25]),
        (Tlv(255), [0x02, 0x01, 0x05, 0x20], [0x21, 0x22, 0x23, 0x24, 0x25]),
    ],
)
def test_version_2_tells_what_it_may(sent: Tlv, outer: list[int], parts: list[int] | None) -> None:
    header = build_v2(V4_CLIENT, V4_SERVER, WITH_CERTIFICATE, unique_id=ID, tlvs=sent)
    assert_checksum(header)
    found = tlvs(header[16 + 12 :])
    assert list(found) == [*outer, 0x03]
    assert found.get(0x05) == (ID if 0x05 in outer else None)
    if parts is not None:
        assert struct.unpack_from("!BI", found[0x20]) == (7, 18)
        assert list(tlvs(found[0x20][5:])) == parts


def test_a_connection_in_clear_has_a_unique_id_too() -> None:
    found = tlvs(build_v2(V4_CLIENT, V4_SERVER, unique_id=ID)[16 + 12 :])
    assert (list(found), found[0x05]) == ([0x05, 0x03], ID)


def authority_of(name: bytes) -> bytes | None:
    header = build_v2(V6_CLIENT, V6_SERVER, TlsTlvs(b"TLSv1.3", b"C", b"S", b"EC256", name))
    return tlvs(header[16 + 36 :]).get(0x02)


@pytest.mark.parametrize("name", [b"mail.example.com", b"a_b-c.1", b"2001:db8::1", b"m", b"x" * 100])
def test_a_name_of_a_host_is_told(name: bytes) -> None:
    assert authority_of(name) == name


@pytest.mark.parametrize(
    "name",
    [
        b"",
        b"a..b",
        b"..",
        b"a b",
        b"a\r\nHELO x",
        b"m\xc3\xbcnchen",
        b"a/b",
        b"a\0",
        b"\na",
        b"a\n",
        b"*.example",
        b"x" * 256,
    ],
)
def test_a_name_that_backends_close_for_is_not_told(name: bytes) -> None:
    assert authority_of(name) is None


@pytest.mark.parametrize(("alpn", "told"), [(b"imap", b"imap"), (b"pop3", b"pop3"), (b"smtp", None), (b"h2", None)])
def test_no_protocol_is_told_that_a_backend_may_take_for_anothers(alpn: bytes, told: bytes | None) -> None:
    header = build_v2(V4_CLIENT, V4_SERVER, TlsTlvs(b"TLSv1.3", b"C", b"S", b"EC256", alpn=alpn))
    assert tlvs(header[16 + 12 :]).get(0x01) == told


_bytes = st.binary(max_size=300)
_names = st.none() | _bytes | st.integers(0, 300).map(lambda length: b"x" * length)


@given(_bytes, _bytes, _bytes, _names, _names, _names, st.sampled_from([V4_SERVER, V6_SERVER]))
def test_version_2_fits_every_backend_whatever_it_tells(
    cipher: bytes,
    signature: bytes,
    key: bytes,
    server_name: bytes | None,
    alpn: bytes | None,
    common_name: bytes | None,
    server: InetAddress,
) -> None:
    told = TlsTlvs(b"TLSv1.3", cipher, signature, key, server_name, alpn, common_name)
    header = build_v2(V6_CLIENT, server, told)
    assert len(header) <= V2_FITTING == 232
    assert_checksum(header)
    parts = tlvs(tlvs(header[16 + 36 :])[0x20][5:])
    assert parts.get(0x22) in (None, common_name)
    assert parts[0x21] == b"TLSv1.3"


def test_what_no_backend_reads_makes_room_for_names() -> None:
    told = TlsTlvs(b"TLSv1.3", b"c" * 22, b"s" * 17, b"EC256", b"x" * 68, b"imap", b"n" * 64)
    found = tlvs(build_v2(V6_CLIENT, V6_SERVER, told)[16 + 36 :])
    parts = tlvs(found[0x20][5:])
    assert (found[0x02], found[0x01], list(parts)) == (told.server_name, b"imap", [0x21, 0x22, 0x25])


@pytest.mark.parametrize(
    ("data", "checksum"),
    [(b"", 0), (b"123456789", 0xE3069283), (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43)],
)
def test_crc32c_gives_the_published_values(data: bytes, checksum: int) -> None:
    assert crc32c(data) == checksum
