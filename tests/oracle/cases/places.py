"""Clients at addresses of every kind, what balancers say of them, and what DNS says. They are played on a stage."""

from __future__ import annotations

from collections.abc import Iterator

from tests.oracle.case import Act, Case, Difference, Send, Step, case, headers, line
from tests.oracle.cases.auth_http import LOGIN
from tests.oracle.cases.proxy_protocol import ADDRESSES, ADDRESSES_6, v2
from tests.oracle.cases.sasl import AUTH

INTRODUCED: tuple[str | Step, ...] = ("EHLO client.test", *LOGIN["smtp"])
FOUR = "PROXY TCP4 10.1.0.1 192.0.2.2 1111 143"
SIX = "PROXY TCP6 2001:db8::1 2001:db8::2 1111 143"
MAPPED = "PROXY TCP6 ::ffff:10.1.0.1 ::ffff:192.0.2.2 1111 143"
HEADERS = {
    "TCP4": Send(line(FOUR)),
    "TCP6": Send(line(SIX)),
    "TCP6 in another spelling": Send(line("PROXY TCP6 2001:DB8:0::0001 2001:db8::2 1111 143")),
    "mapped": Send(line(MAPPED)),
    "UNKNOWN": Send(line("PROXY UNKNOWN")),
    "no addresses": Send(line("PROXY TCP4   1 2")),
    "version 2": v2(0x21, 0x11, ADDRESSES),
    "version 2 with IPv6": v2(0x21, 0x21, ADDRESSES_6),
    "version 2, LOCAL": v2(0x20, 0, ""),
}


# What an SMTP backend is told of a client of a unix socket.
PATHLESS = Difference("unix-in-xclient", "ADDR=[UNAVAILABLE]", "ADDR=unix:")


def _everywhere(protocol: str) -> Iterator[Case]:
    login = LOGIN[protocol]
    for place in ("v6", "mapped", "unix"):
        pathless = PATHLESS if protocol == "smtp" and place == "unix" else None
        yield case("a login", f"{protocol}-{place}", *login, differs=pathless)
        yield case("a refused login", f"{protocol}-{place}", *login, auth=headers("Auth-Status: No"))
        yield case("a login at a backend with IPv6", f"{protocol}-{place}", *login, auth=_at("::1"))
        yield case("a wrong command", f"{protocol}-{place}", "X")
        yield case("CRAM-MD5", f"{protocol}-{place}", f"{AUTH[protocol]} CRAM-MD5", "!!!!")
        yield case("the backend hears of the client", f"{protocol}-{place}header", *login, differs=pathless)
    for place in ("v6tls", "unixtls"):
        pathless = PATHLESS if protocol == "smtp" and place == "unixtls" else None
        yield case("a login", f"{protocol}-{place}", *login, differs=pathless)
    for place in ("v6behind", "unixbehind", "distrusting", "v6trusting", "unixtrusting", "mappedtrusting", "choosy"):
        for name, header in HEADERS.items():
            yield case(name, f"{protocol}-{place}", header, *login, differs=_misfit(protocol, place, name))


def _misfit(protocol: str, place: str, header: str) -> Difference | None:
    """Where the client is of another kind than the listener, or has no address."""
    if place == "v6trusting" and header in ("TCP4", "version 2"):
        return Difference("mixed-families", "PROXY TCP6 ::ffff:")
    if place == "unixtrusting" and header not in ("UNKNOWN", "no addresses", "version 2, LOCAL"):
        return Difference("path-in-header", "< PROXY UNKNOWN", " unix:(folder)/")
    return PATHLESS if protocol == "smtp" and place in ("unixbehind", "unixtrusting") else None


def _at(server: str) -> bytes:
    return headers("Auth-Status: OK", f"Auth-Server: {server}", "Auth-Port: $closed")


def _named(name: str, address: str, server: str = "smtp-resolved", differs: Difference | None = None) -> Case:
    header = f"PROXY TCP{6 if ':' in address else 4} {address} {address} 1111 25"
    return case(name, server, header, Act.AWAIT_INPUT, *INTRODUCED, differs=differs)


CASES: tuple[Case, ...] = (
    *(case for protocol in AUTH for case in _everywhere(protocol)),
    _named("a name", "10.1.0.1"),
    _named("a name in capitals", "10.1.0.2"),
    _named("a server that fails", "10.1.0.3"),
    _named("a server that refuses", "10.1.0.4"),
    _named("a server that does not understand", "10.1.0.5"),
    _named("a server without authority", "10.1.0.6"),
    _named("a server that cannot", "10.1.0.9"),
    _named("no record", "10.1.0.7"),
    _named("a silent server", "10.1.0.8"),
    _named("nobody knows the address", "10.1.9.9"),
    _named("a name that leads elsewhere", "10.1.0.10"),
    _named("a name that leads nowhere", "10.1.0.11"),
    _named("a name that cannot be found now", "10.1.0.12"),
    _named("a name of which one version fails", "10.1.0.13", differs=Difference("one-version", "NAME=half.test")),
    _named("a name without addresses", "10.1.0.14"),
    _named("an alias", "10.1.0.15"),
    _named("a name with an underscore", "10.1.0.16"),
    _named("a name with a space", "10.1.0.17"),
    _named("an address delegated by an alias", "10.1.0.18", differs=Difference("split-cname", "NAME=delegated.test")),
    _named("an answer that needs TCP", "10.1.0.22"),
    _named("a name that needs TCP", "10.1.0.19", differs=Difference("long-answer", "NAME=long.test")),
    _named("several names", "10.1.0.20"),
    _named("silence behind the name", "10.1.0.21"),
    _named("a name of IPv6", "2001:db8::1"),
    _named("a name without IPv6", "10.1.0.1", "smtp-resolved4"),
    _named("a name where nobody is asked", "10.1.0.1", "smtp-off"),
    _named("names are SMTP's alone", "10.1.0.1", "imap-resolved"),
    _named("the name of a balancer that nobody trusts", "10.1.0.1", "smtp-named"),
    case("a name", "smtp-v6resolved", *INTRODUCED),
    case("a name", "smtp-mappedresolved", *INTRODUCED, differs=Difference("mapped", "NAME=balancer.test")),
    case("a name", "smtp-unixresolved", *INTRODUCED, differs=PATHLESS),
    case("a name, then the delay", "smtp-delayed", *INTRODUCED),
)
