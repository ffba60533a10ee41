"""Servers at addresses of every kind, and what DNS says of the clients that come to them."""

from __future__ import annotations

from tests.oracle.configuration import Server
from tests.oracle.stage import CONTROL_SERVER
from tests.support.name_server import Answer, code, records, silence, truncated

_METHODS = {
    "imap": "imap_auth plain login cram-md5 external;",
    "pop3": "pop3_auth plain apop cram-md5 external;",
    "smtp": "smtp_auth plain none;",
}
_RESOLVER = "resolver 127.0.0.1:$dns; resolver_timeout 1s;"


def _everywhere() -> dict[str, Server]:
    servers: dict[str, Server] = {}
    for protocol, methods in _METHODS.items():
        servers |= {
            f"{protocol}-v6": Server(methods, host="[::1]"),
            f"{protocol}-v6tls": Server(methods, "ssl", host="[::1]"),
            f"{protocol}-v6header": Server("proxy_protocol on;", host="[::1]"),
            f"{protocol}-v6behind": Server("", "proxy_protocol", greets=False, host="[::1]"),
            f"{protocol}-v6trusting": Server(
                "set_real_ip_from ::1; proxy_protocol on;", "proxy_protocol", greets=False, host="[::1]"
            ),
            f"{protocol}-mapped": Server(methods, "ipv6only=off", host="[::]"),
            f"{protocol}-mappedheader": Server("proxy_protocol on;", "ipv6only=off", host="[::]"),
            f"{protocol}-mappedtrusting": Server(
                "set_real_ip_from 127.0.0.0/8;", "ipv6only=off proxy_protocol", greets=False, host="[::]"
            ),
            f"{protocol}-unix": Server(methods, host="unix:"),
            f"{protocol}-unixtls": Server(methods, "ssl", host="unix:"),
            f"{protocol}-unixheader": Server("proxy_protocol on;", host="unix:"),
            f"{protocol}-unixbehind": Server("", "proxy_protocol", greets=False, host="unix:"),
            f"{protocol}-unixtrusting": Server(
                "set_real_ip_from unix:; proxy_protocol on;", "proxy_protocol", greets=False, host="unix:"
            ),
            f"{protocol}-distrusting": Server("set_real_ip_from 10.0.0.0/8;", "proxy_protocol", greets=False),
            f"{protocol}-choosy": Server(
                "set_real_ip_from 10.0.0.0/8; set_real_ip_from 127.0.0.2;", "proxy_protocol", greets=False
            ),
        }
    return servers


SERVERS: dict[str, Server] = {
    CONTROL_SERVER: Server(),
    **_everywhere(),
    "smtp-named": Server(_RESOLVER, "proxy_protocol", greets=False),
    "smtp-resolved": Server(
        f"{_RESOLVER} set_real_ip_from 127.0.0.0/8; {_METHODS['smtp']}", "proxy_protocol", greets=False
    ),
    "smtp-resolved4": Server(
        "resolver 127.0.0.1:$dns ipv6=off; set_real_ip_from 127.0.0.0/8;", "proxy_protocol", greets=False
    ),
    "smtp-v6resolved": Server(_RESOLVER, host="[::1]"),
    "smtp-mappedresolved": Server(_RESOLVER, "ipv6only=off", host="[::]"),
    "smtp-unixresolved": Server(_RESOLVER, host="unix:"),
    "smtp-off": Server("resolver off; set_real_ip_from 127.0.0.0/8;", "proxy_protocol", greets=False),
    "smtp-delayed": Server(f"{_RESOLVER} smtp_greeting_delay 50ms;", host="[::1]"),
    "imap-resolved": Server(f"{_RESOLVER} set_real_ip_from 127.0.0.0/8;", "proxy_protocol", greets=False),
}


def _reverse(address: str) -> str:
    return ".".join(reversed(address.split("."))) + ".in-addr.arpa PTR"


def _named(address: str, *names: str) -> dict[str, Answer]:
    """What PTR queries for an address get."""
    question = _reverse(address)
    return {question: records(*((question.removesuffix(" PTR"), 60, "PTR", f"{name}.") for name in names))}


def _at(name: str, *addresses: str, type_: str = "A") -> dict[str, Answer]:
    """What a name's queries of one type get; its other type has no records."""
    answers = {f"{name} {type_}": records(*((name, 60, type_, address) for address in addresses))}
    other = "A" if type_ == "AAAA" else "AAAA"
    return {f"{name} {other}": records(), **answers}


_V6 = "1" + ".0" * 23 + ".8.b.d.0.1.0.0.2.ip6.arpa"
_LOOPBACK = "1" + ".0" * 31 + ".ip6.arpa"

ANSWERS: dict[str, Answer] = {
    **_named("10.1.0.1", "one.test"),
    **_at("one.test", "10.1.0.1"),
    **_named("10.1.0.2", "TWO.Test"),
    **_at("TWO.Test", "10.9.9.9", "10.1.0.2"),
    **_at("two.test", "10.9.9.9", "10.1.0.2"),
    _reverse("10.1.0.3"): code("SERVFAIL"),
    _reverse("10.1.0.4"): code("REFUSED"),
    _reverse("10.1.0.5"): code("FORMERR"),
    _reverse("10.1.0.6"): code("NOTAUTH"),
    _reverse("10.1.0.7"): records(),
    _reverse("10.1.0.8"): silence,
    _reverse("10.1.0.9"): code("NOTIMP"),
    **_named("10.1.0.10", "elsewhere.test"),
    **_at("elsewhere.test", "10.9.9.9"),
    **_named("10.1.0.11", "nowhere.test"),
    "nowhere.test A": code("NXDOMAIN"),
    "nowhere.test AAAA": code("NXDOMAIN"),
    **_named("10.1.0.12", "failing.test"),
    "failing.test A": code("SERVFAIL"),
    "failing.test AAAA": code("SERVFAIL"),
    **_named("10.1.0.13", "half.test"),
    "half.test A": records(("half.test", 60, "A", "10.1.0.13")),
    "half.test AAAA": code("SERVFAIL"),
    **_named("10.1.0.14", "empty.test"),
    "empty.test A": records(),
    "empty.test AAAA": records(),
    **_named("10.1.0.15", "alias.test"),
    "alias.test A": records(("alias.test", 60, "CNAME", "target.test."), ("target.test", 60, "A", "10.1.0.15")),
    "alias.test AAAA": records(("alias.test", 60, "CNAME", "target.test.")),
    **_at("target.test", "10.1.0.15"),
    **_named("10.1.0.16", "under_score.test"),
    **_at("under_score.test", "10.1.0.16"),
    **_named("10.1.0.17", "a\\032b.test"),
    **_at("a\\032b.test", "10.1.0.17"),
    _reverse("10.1.0.18"): records(("18.0.1.10.in-addr.arpa", 60, "CNAME", "18.net.test.")),
    "18.net.test PTR": records(("18.net.test", 60, "PTR", "delegated.test.")),
    **_at("delegated.test", "10.1.0.18"),
    f"{_reverse('10.1.0.19')} udp": truncated,
    f"{_reverse('10.1.0.19')} tcp": records(("19.0.1.10.in-addr.arpa", 60, "PTR", "long.test.")),
    **_at("long.test", "10.1.0.19"),
    **_named("10.1.0.20", "several.test", "other.test"),
    **_at("several.test", "10.1.0.20"),
    **_at("other.test", "10.1.0.20"),
    **_named("10.1.0.21", "silent.test"),
    "silent.test A": silence,
    "silent.test AAAA": silence,
    **_named("10.1.0.22", "big.test"),
    "big.test A udp": truncated,
    "big.test A tcp": records(("big.test", 60, "A", "10.1.0.22")),
    "big.test AAAA": records(),
    f"{_V6} PTR": records((_V6, 60, "PTR", "six.test.")),
    **_at("six.test", "2001:db8::1", type_="AAAA"),
    f"{_LOOPBACK} PTR": records((_LOOPBACK, 60, "PTR", "loop.test.")),
    **_at("loop.test", "::1", type_="AAAA"),
    **_named("127.0.0.2", "balancer.test"),
    **_at("balancer.test", "127.0.0.2"),
}
