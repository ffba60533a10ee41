"""`allow` and `deny` beside nginx's stream module: the same rules let the same clients in, and -t says the same."""

from __future__ import annotations

import random
from ipaddress import ip_address
from pathlib import Path

import pytest

from mailworker.config.load import load
from mailworker.mail.client.access import Access
from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.model import InetAddress
from tests.oracle.verdicts import our_verdict
from tests.support import stream_module

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(stream_module.MODULE is None, reason="no nginx with a stream module"),
]

OCTETS = (0, 1, 10, 127, 128, 255)
WORDS = (0, 1, 0xDB8, 0x2001, 0x8000, 0xFFFF)


def _ipv4(chance: random.Random) -> str:
    return ".".join(str(chance.choice(OCTETS)) for _ in range(4))


def _ipv6(chance: random.Random) -> str:
    if chance.random() < 0.3:
        return f"::ffff:{_ipv4(chance)}"
    return ":".join(f"{chance.choice(WORDS):x}" for _ in range(8))


def _rule(chance: random.Random) -> str:
    allow = chance.choice(("allow", "deny"))
    kind = chance.random()
    if kind < 0.05:
        return f"{allow} {chance.choice(('all', 'unix:'))};"
    address, bits = (_ipv4(chance), 32) if kind < 0.6 else (_ipv6(chance), 128)
    length = (
        chance.choice((0, 1, bits // 4, bits // 2, bits - 32, bits - 1, bits))
        if bits == 128
        else chance.choice((0, 1, 8, 16, 24, 31, 32))
    )
    return f"{allow} {address};" if chance.random() < 0.3 else f"{allow} {address}/{length};"


def _ours(folder: Path, rules: str) -> Access:
    path = folder / "mailworker.conf"
    path.write_text(f"events {{}} mail {{ auth_http 127.0.0.1; {rules} server {{ listen 143; }} }}")
    (server,) = load(path, protocols=PROTOCOLS, prefix=folder).servers
    return Access(server.access)


@pytest.mark.parametrize("seed", range(6))
def test_random_rules_let_the_same_clients_in(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    rules = " ".join(_rule(chance) for _ in range(chance.choice((1, 3, 6, 12)))).replace("255.255.255.255", "10.1.1.1")
    clients = [_ipv4(chance) if chance.random() < 0.5 else _ipv6(chance) for _ in range(150)]
    ours = _ours(tmp_path, rules)
    found = [b"in" if ours.allows(InetAddress(client, 1)) else b"" for client in clients]
    texts = [str(ip_address(client)).encode() for client in clients]
    told = stream_module.answers_to(tmp_path, f"set_real_ip_from unix:; {rules}", "in", texts)
    assert dict(zip(texts, found, strict=True)) == dict(zip(texts, told, strict=True))


@pytest.mark.parametrize(
    "directive",
    [
        *("deny 10.0.0.1/8;", "allow ::1/0;", "deny all;", "deny unix:;", "allow 10.0.0.1;"),
        *("deny ALL;", "deny unix;", "deny 10.0.0.1/33;", "deny 1::/129;", "allow localhost;", "deny 255.255.255.255;"),
        *("deny 255.255.255.255/8;", "deny 10.1;", "deny 10.0.0.1/;", "deny 010.0.0.1;", 'deny "";', "deny;"),
        *("deny 1.1.1.1 2.2.2.2;", "allow 10.0.0.1/255.0.0.0;", "deny ::ffff:10.0.0.1;", "deny 256.0.0.1;"),
    ],
)
def test_a_check_says_the_same(tmp_path: Path, directive: str) -> None:
    theirs = stream_module.verdict(
        tmp_path, f"events {{}}\nstream {{ server {{ listen 143; {directive} return x; }} }}"
    )
    path = tmp_path / "nginx.conf"
    path.write_text(f"events {{}}\nmail {{ auth_http 127.0.0.1; server {{ listen 143; {directive} }} }}")
    assert our_verdict(path) == [line for line in theirs if line.startswith(("[emerg]", "[warn]"))]
