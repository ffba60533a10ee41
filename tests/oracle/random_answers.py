"""Answers of the auth service and PROXY headers at random."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.oracle.case import Case, Send, Step, accept
from tests.oracle.cases.auth_http import LOGIN
from tests.oracle.random_dialogues import rarely

Texts = st.SearchStrategy[str]

_STATUS = ["HTTP/1.0 200 OK"] * 24 + [
    "HTTP/1.1 204",
    "HTTP/1.1 299 x: y",
    "HTTP/9.9  200 OK",
    "http/1.0 200 OK",
    "HTTP/1.0 401 Unauthorized",
    "HTTP/1.1 403 Forbidden",
    "HTTP/1.0 404 No",
    "HTTP/1.0 200",
    "HTTP/ 200",
    "HTTP/1.0 2000",
]
_NAMES = ["Auth-Status"] * 3 + ["Auth-Server", "Auth-Port", "Auth-User", "Auth-Pass", "Auth-Wait", "Auth-Error-Code"]
_ODD_NAMES = ["Auth_Status", "Auth-Statu", "Auth-Status2", "-x", "x", "1", "Auth Status", "", "X-"]
_SEPARATORS = [": "] * 6 + [":", ":   ", " :", " ", "", "::"]
_VALUES = {
    "Auth-Status": ["OK"] * 5 + ["ok", "OK ", "WAITING", "No: no", "", " ", "Fine thanks", "O K"],
    "Auth-Server": ["$server"] * 5
    + ["127.0.0.1", "::1", "[::1]", "x", "", "1.2.3", "1.2.3.4.5", "1.2.3.400", "::g", "1::2::3"],
    "Auth-Port": ["$port"] * 5 + ["$closed", "0", "00", "65536", "-1", "1 2", "x", "", "99999999999999999999"],
    "Auth-User": ["other", "", "a b", "us%er", "x" * 200],
    "Auth-Pass": ["secret", "", "a b", "100%"],
    "Auth-Wait": ["0", "x", "-1", "", "1x", "00", " 0"],
    "Auth-Error-Code": ["454 4.7.0", "535", "550 5.7.1 x", "", "4xx", "454"],
}
_SERVERS = {
    "imap": ["imap", "imap-frank", "imap-tls"],
    "pop3": ["pop3", "pop3-every", "pop3-frank"],
    "smtp": ["smtp", "smtp-every", "smtp-login", "smtp-direct"],
}


@st.composite
def _line(draw: st.DrawFn) -> str:
    name = draw(st.sampled_from(_NAMES))
    value = draw(
        st.one_of(st.sampled_from(_VALUES[name]), st.sampled_from(_VALUES[name]), st.text("aO K1.:-", max_size=6))
    )
    if draw(rarely(10)):
        name = draw(st.sampled_from([*_ODD_NAMES, name.upper(), name.lower()]))
    return name + draw(st.sampled_from(_SEPARATORS)) + value


@st.composite
def verdicts(draw: st.DrawFn, protocol: str) -> Case:
    """A login, and any answer of the auth service to it."""
    lines = ["Auth-Status: OK", "Auth-Server: $server", "Auth-Port: $port"]
    lines = lines[draw(st.sampled_from([0, 0, 0, 0, 0, 1, 2, 3])) :]
    more: list[str] = draw(st.lists(_line(), min_size=1, max_size=4))
    for line in more:
        lines.insert(draw(st.integers(0, len(lines))), line)
    ends = st.sampled_from(["\r\n"] * 12 + ["\n", "\r\r\n", " \r\n"])
    text = draw(st.sampled_from(_STATUS)) + "".join(draw(ends) + line for line in lines)
    text += draw(ends) + draw(st.sampled_from(["\r\n", "\r\n", "\n", "\r\nbody"]))
    server = draw(st.sampled_from(_SERVERS[protocol]))
    return Case("random", server, LOGIN[protocol], (text.encode("latin-1"),), (), None)


_address = st.one_of(
    st.sampled_from(
        ["192.0.2.1", "10.1.0.1", "2001:db8::1", "::1", "::ffff:10.1.0.1", "", "x", "1.2.3.4.5", "::g", "1..2"]
    ),
    st.text("0123456789abcdefABCDEF.:", max_size=8),
)
_port = st.one_of(
    st.sampled_from(["1", "143", "0", "65535", "65536", "", "x", "-1", "0025"]), st.integers(0, 10**6).map(str)
)


@st.composite
def _version_1(draw: st.DrawFn) -> str:
    family = draw(st.sampled_from(["TCP4", "TCP4", "TCP6", "TCP6", "UNKNOWN", "TCP5", "tcp4", "UDP4", "UNKNOWNX", ""]))
    words = ["PROXY", family, draw(_address), draw(_address), draw(_port), draw(_port)]
    if draw(rarely(8)):
        words = words[: draw(st.integers(1, 5))]
    space = draw(st.sampled_from([" "] * 8 + ["  ", "\t"]))
    return space.join(words) + draw(st.sampled_from(["\r\n"] * 8 + ["\n", "\r", " \r\n", ""]))


@st.composite
def _version_2(draw: st.DrawFn) -> str:
    body = draw(st.binary(max_size=60)).decode("latin-1")
    size = draw(st.sampled_from([len(body)] * 6 + [len(body) + 1, max(0, len(body) - 1), 12, 36, 216]))
    command = draw(st.sampled_from("\x21\x21\x20\x22\x11\x31"))
    family = draw(st.sampled_from("\x11\x11\x21\x21\x12\x31\x00\xff"))
    return f"\r\n\r\n\0\r\nQUIT\n{command}{family}{chr(size >> 8)}{chr(size & 255)}{body}"


@st.composite
def headers(draw: st.DrawFn, protocol: str) -> Case:
    """Any PROXY header, then a login."""
    text = draw(st.one_of(_version_1(), _version_1(), _version_2(), st.text("PROXY TCP41.\r\n\0", max_size=20)))
    server = f"{protocol}-{draw(st.sampled_from(['behind', 'trusting']))}"
    client: tuple[Step, ...] = (Send(text.encode("latin-1")), *LOGIN[protocol]) if text else LOGIN[protocol]
    return Case("random", server, client, (accept(),), (), None)
