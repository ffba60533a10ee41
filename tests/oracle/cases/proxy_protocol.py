"""The PROXY protocol before the client speaks."""

from __future__ import annotations

from collections.abc import Iterator

from tests.oracle.case import Act, Case, Difference, Send, case, line, raw
from tests.oracle.cases.auth_http import LOGIN

SIGNATURE = "\r\n\r\n\0\r\nQUIT\n"
FOUR = "PROXY TCP4 192.0.2.1 192.0.2.2 1111 143"


def v2(command: int, family: int, body: str, length: int | None = None) -> Send:
    size = len(body) if length is None else length
    return raw(SIGNATURE + chr(command) + chr(family) + chr(size >> 8) + chr(size & 255) + body)


ADDRESSES = "\xc0\x00\x02\x01\xc0\x00\x02\x02\x04\x57\x00\x8f"
ADDRESSES_6 = ("\x20\x01\x0d\xb8" + "\0" * 11 + "\x01") * 2 + "\x04\x57\x00\x8f"

GOOD: dict[str, Send] = {
    "TCP4": Send(line(FOUR)),
    "TCP6": Send(line("PROXY TCP6 2001:db8::1 2001:db8::2 1111 143")),
    "UNKNOWN": Send(line("PROXY UNKNOWN")),
    "UNKNOWN with addresses": Send(line("PROXY UNKNOWN 1.2.3.4 5.6.7.8 1 2")),
    "version 2": v2(0x21, 0x11, ADDRESSES),
    "version 2 with IPv6": v2(0x21, 0x21, ADDRESSES_6),
    "version 2 with something behind": v2(0x21, 0x11, ADDRESSES + "\x04\0\x01x"),
    "version 2, LOCAL": v2(0x20, 0, ""),
    "version 2, UDP": v2(0x21, 0x12, ADDRESSES),
}

BAD: dict[str, Send] = {
    "a command": Send(line("a NOOP")),
    "another family": Send(line("PROXY TCP5 192.0.2.1 192.0.2.2 1111 143")),
    "a port too high": Send(line("PROXY TCP4 192.0.2.1 192.0.2.2 99999 143")),
    "no port": Send(line("PROXY TCP4 192.0.2.1 192.0.2.2 1111")),
    "a name": Send(line("PROXY TCP4 host.test 192.0.2.2 1111 143")),
    "two spaces": Send(line("PROXY TCP4  192.0.2.1 192.0.2.2 1111 143")),
    "LF alone": raw(FOUR + "\n"),
    "small letters": Send(line(FOUR.lower())),
}


def _shortened(bad: Send) -> Difference:
    text = bad.data.rstrip(b"\r\n").decode()
    return Difference("broken-header", f'broken header: "{text}" while')


def _headers(protocol: str) -> Iterator[Case]:
    for name, header in GOOD.items():
        yield case(name, f"{protocol}-behind", header, *LOGIN[protocol])
    yield case("a second header", f"{protocol}-behind", FOUR, FOUR)
    yield case("a trusted IPv4 source", f"{protocol}-trusting", "PROXY TCP4 $real 192.0.2.2 1111 143", *LOGIN[protocol])
    yield case("a trusted LOCAL", f"{protocol}-trusting", v2(0x20, 0, ""), *LOGIN[protocol])


CASES: tuple[Case, ...] = (
    *(case for protocol in LOGIN for case in _headers(protocol)),
    *(
        case(f"{name} is no header", "imap-behind", Send(bad.data, 0), Act.AWAIT_CLOSE, differs=_shortened(bad))
        for name, bad in BAD.items()
    ),
    case(
        "a login is no header",
        "imap-behind",
        Send(line("a LOGIN user pass"), 0),
        Act.AWAIT_CLOSE,
        differs=Difference("password-in-log", 'header: "a LOGIN ..." while', 'header: "a LOGIN user pass'),
    ),
    case("version 3 is no header", "imap-behind", raw(f"{SIGNATURE}\x31\x11\0\x0c{ADDRESSES}", 0), Act.AWAIT_CLOSE),
    case(
        "version 2 with half an address",
        "imap-behind",
        v2(0x21, 0x11, "\xc0\x00\x02\x01\xc0\x00"),
        differs=Difference("small-header", "header is too small"),
    ),
    case("no header", "imap-behind", Act.END),
    case("a header without addresses", "imap-behind", "PROXY TCP4   1 2", *LOGIN["imap"]),
)
