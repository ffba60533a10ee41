"""Variables of the same text, made by mailworker and by nginx's stream module: values, verdicts and bytes agree."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

import pytest

from mailworker.config.load import load
from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.native.regex import Regex
from mailworker.variables import escapes
from mailworker.variables.template import parse
from mailworker.variables.variables import Variables
from tests.oracle.verdicts import our_verdict, without_hint
from tests.support import stream_module
from tests.variables.facts import Session

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(stream_module.MODULE is None, reason="no nginx with a stream module"),
]

KEYS = 10_000

# Bytes that a word in quotes may hold as they are.
_ANY_BYTE = [byte for byte in range(1, 256) if byte not in b'"\\$\x1e']

# Hosts of this test are made of hexadecimal digits, see `answers_to`.
BLOCK = r"""
map $proxy_protocol_addr $host {
    hostnames; default nobody; include more.map; cafe.dad exact; .cafe.fee both; *.ace.cab below; .ace.cab.ad deeper;
    *.ad far; bee.* bee; bee.cafe.* longer; face.ace.cab one; a.b.c.d four; *.b.c.d three; \default word; .ed ed;
    *.c0.ed c0ed; "" empty; ~^(?<part>[a-d]+)\.(\w+)$ "$part of $2${Part}$9"; ~*^FACE\.(a|b)? "<$1>";
    "~^[^.:]{6,}$" "$long!"; ~:0$ "";
}
map $proxy_protocol_addr/$proxy_protocol_addr $long { volatile; default $split; ~^(.)(.*)/f $2$1; }
split_clients $proxy_protocol_addr $split { 0.01% a; .5% b; 33.3% c; 5% d; * e; }
split_clients "$proxy_protocol_addr/" $half { 50% a; 49.99% b; }
geo $proxy_protocol_addr $geo {
    default none; delete 10.9.0.0/16; 10.0.0.0/8 ten; 10.1.0.0/16 sixteen; 10.1.2.0/24 more; 10.1.2.3 one;
    127.0.0.0/9 low; 192.0.2.77/24 doc; 0.0.0.0/1 half;
    255.255.255.255 nowhere; 2001:db8::/32 six; 2001:db8:1::/48 seven;
    ::1 loop; 10.2.0.0/16 gone; delete 10.2.0.0/16; 10.1.2.0/24 again; ::ffff:0:0/96 mapped;
}
geo $proxy_protocol_addr $range {
    ranges; default none; 10.0.0.0-10.255.255.255 ten; 10.1.0.0-10.1.255.255 part; 10.1.2.0-10.1.2.255 more;
    10.1.2.3-10.1.2.3 one; 192.0.2.0-192.0.2.9 doc; 192.0.2.200-192.0.3.5 across; 192.0.4.0-192.0.4.1 gone;
    delete 192.0.4.0-192.0.4.1; 0.0.0.0-0.0.0.0 first; 254.0.0.0-254.255.255.254 last;
}
"""
TEXT = "$host $long $split $half $geo ${Range}s"


def _word(text: bytes) -> str:
    return '"' + os.fsdecode(text.replace(b"\\", b"\\\\").replace(b'"', b'\\"')) + '"'


def _variables(folder: Path, block: str) -> Variables:
    path = folder / "mailworker.conf"
    text = f"events {{}} mail {{ auth_http 127.0.0.1; {block} server {{ listen 143; }} }}"
    path.write_bytes(text.encode(errors="surrogateescape"))
    (server,) = load(path, protocols=PROTOCOLS, prefix=folder, compile_regex=lru_cache(Regex)).servers
    return server.variables.bind()


def _agree(folder: Path, block: str, names: Iterable[str]) -> list[bytes]:
    """The values of the variables `names`, which nginx has as well."""
    names = list(names)
    variables = _variables(folder, block)
    ours = [variables.bind(parse(f"${{{name}}}".encode()))(Session()) for name in names]
    assert ours == stream_module.answers(folder, block, [f"${{{name}}}" for name in names])
    return ours


def _blocks(keys: Iterable[bytes], kind: Callable[[str, int], str]) -> str:
    return "\n".join(kind(_word(key), number) for number, key in enumerate(keys))


def _client(chance: random.Random) -> bytes:
    """What looks like a host near the keys of the maps, or like an address near the networks, or not quite."""
    labels = ["ace", "cab", "cafe", "face", "fee", "dad", "bee", "ad", "ed", "c0", "a", "b", "c", "d", "FACE", "Ad"]
    labels += ["0:0", ""]
    if chance.random() < 0.5:
        return ".".join(chance.choice(labels) for _ in range(chance.randint(0, 5))).encode()
    octets = [chance.choice((0, 1, 2, 3, 9, 10, 77, 127, 192, 254, 255, 256)) for _ in range(4)]
    four = ".".join(map(str, octets))
    forms = [four, four, four, four, f"10.1.2.{octets[0]}", f"192.0.{octets[1]}.{octets[2]}", f"::ffff:{four}"]
    others = [f"2001:db8:{octets[0]}::{octets[1]:x}", "::1", "1.2.3", "1..2.3", f"{four}:25", "::", "1:2"]
    return chance.choice(forms + others).encode()


def _bytes(chance: random.Random, longest: int) -> bytes:
    return bytes(chance.choices(_ANY_BYTE, k=chance.randint(0, longest)))


def test_map_geo_and_split_clients_answer_random_keys_as_nginx_does(tmp_path: Path) -> None:
    chance = random.Random(16)
    (tmp_path / "more.map").write_text("".join(f"{index:x}.cab.dad {index};" for index in range(40)))
    clients = [_client(chance) for _ in range(KEYS)]
    render = _variables(tmp_path, BLOCK).bind(parse(TEXT.encode()))
    ours = [render(Session(proxy_texts=(client, b"", b"", b""))) for client in clients]
    theirs = stream_module.answers_to(tmp_path, BLOCK, TEXT, clients)
    assert list(zip(clients, ours, strict=True)) == list(zip(clients, theirs, strict=True))
    for column in zip(*(answer.split(b" ") for answer in ours if answer.count(b" ") == TEXT.count(" ")), strict=True):
        assert len(set(column)) > 1
    assert len(set(ours)) > 500


def test_map_and_split_clients_take_any_bytes_as_nginx_does(tmp_path: Path) -> None:
    chance = random.Random(17)
    table = [_bytes(chance, 3) for _ in range(60)]
    entries = dict.fromkeys(_word(b"=" + text.lower()) for text in table)
    values = "".join(f"{word} v{index};\n" for index, word in enumerate(entries))
    regex = 'default $twin; "~*=[\\x80-\\xff](?<rest>.*)" [$rest]; *.b .b;'
    (tmp_path / "bytes.map").write_bytes(os.fsencode(values + regex))
    keys = [b"=" + (chance.choice(table) if chance.random() < 0.7 else _bytes(chance, 5)) for _ in range(400)]
    texts = [_bytes(chance, 40) for _ in range(400)]
    block = "map a $twin { default $pair; } map b $pair { b B; }"
    block += _blocks(keys, lambda word, number: f"map {word} $m{number} {{ include bytes.map; }}")
    block += _blocks(texts, lambda word, number: f"split_clients {word} $s{number} {{ 30% a; 20% b; * c; }}")
    names = [f"{kind}{number}" for kind in "ms" for number in range(400)]
    assert len(set(_agree(tmp_path, block, names))) > 50


@pytest.mark.parametrize("escape", escapes.ESCAPES)
def test_values_are_escaped_as_in_a_log_of_nginx(escape: str, tmp_path: Path) -> None:
    chance = random.Random(20)
    texts = [bytes([byte]) for byte in _ANY_BYTE] + [b'"', b"\\"] + [_bytes(chance, 20) for _ in range(300)]
    block = _blocks(texts, lambda word, number: f"map a $e{number} {{ default {word}; }}")
    names = [f"$e{number}" for number in range(len(texts))] + ["$proxy_protocol_addr", "a$e1$e2", "$ssl_protocol"]
    variables = _variables(tmp_path, block)
    form = escapes.ESCAPES[escape]
    ours = [variables.bind(parse(name.encode()), form)(Session()) for name in names]
    assert ours == stream_module.answers(tmp_path, block, names, escape)


REFUSED = [
    "map a b {\n}",
    "map a $ {\n}",
    "map $ $b {\n}",
    "map ${a $b {\n}",
    "map a $remote_addr {\n}",
    "map a $b {\n a;\n}",
    "map a $b {\n a b c;\n}",
    "map a $b {\n a {\n}",
    "map a $b {\n a b;\n A c;\n}",
    "map a $b {\n default b;\n default c;\n}",
    "map a $b {\n hostnames;\n a*b c;\n}",
    "map a $b {\n hostnames;\n *.*.a c;\n}",
    "map a $b {\n hostnames;\n a..b c;\n}",
    "map a $b {\n hostnames;\n *. c;\n}",
    "map a $b {\n hostnames;\n a.b c;\n .a.b d;\n}",
    "map a $b {\n hostnames;\n *.a.b c;\n .a.b d;\n}",
    "map a $b {\n hostnames;\n a.* c;\n A.* d;\n}",
    "map a $b {\n ~(a c;\n}",
    "map a $b {\n ~*a** c;\n}",
    "map a $b {\n a $;\n}",
    'map a $b {\n a "${c";\n}',
    "map a $b {\n include nosuch.map;\n}",
    "map a {\n}",
    "map a $b;",
    "map_hash_max_size x;",
    "geo b {\n}",
    "geo b $c {\n}",
    "geo $b c {\n}",
    "geo $b {\n 1.2.3.4;\n}",
    "geo $b {\n 1.2.3 a;\n}",
    "geo $b {\n 1.2.3.4/33 a;\n}",
    "geo $b {\n delete x;\n}",
    "geo $b {\n 1.2.3.4 a;\n ranges;\n}",
    "geo $b {\n include nosuch.geo;\n}",
    *(
        f"geo $b {{\n ranges;\n {entry} a;\n}}"
        for entry in ("1.2.3.4", "1.2.3.4-1.2.3.3", "::1-::2", "0.0.0.0-255.255.255.255")
    ),
    "geo $b {\n ranges;\n 1.0.0.1-1.0.0.9 a;\n 1.0.0.5-1.0.0.20 b;\n}",
    "geo $b {\n ranges;\n 1.0.0.5-1.0.0.9 a;\n 1.0.0.1-1.0.0.20 b;\n}",
    "split_clients a b {\n}",
    *(
        f"split_clients a $b {{\n {share} x;\n}}"
        for share in ("5", "0%", "%", "1.234%", "-1%", "a%", "include", "1,5%")
    ),
    "split_clients a $b {\n 60% x;\n 50% y;\n}",
    "split_clients a $b {\n * x;\n 1% y;\n}",
    "set $a b;",
    "log_format a;",
    "log_format a escape=xml b;",
    "log_format a b;\nlog_format a c;",
    "log_format a 'x ${pid y';",
    "log_format a 'x $ y';",
    "log_format a 'x $';",
    "log_format a 'x ${';",
    "log_format a 'x ${} y';",
    "log_format a 'x ${-} y';",
    "access_log off a;",
    "log_format a b;\naccess_log a nosuch;",
    *(
        f"log_format a b;\naccess_log a A {parameters};"
        for parameters in (
            *("buffer=0", "buffer=x", "flush=1s", "buffer=4k flush=0", "buffer=4k flush=x", "gzip=0", "gzip=10"),
            *("gzipped", "x=1", "if", "buffer=4k;\naccess_log a a buffer=8k"),
        )
    ),
    "log_format a b;\naccess_log a$pid a buffer=4k;",
    "log_format a b;\naccess_log syslog:server=127.0.0.1 a gzip;",
    "log_format a b;\naccess_log syslog:server=127.0.0.1,tag=a-b a;",
]
WARNED = [
    "geo $b {\n 1.2.3.4/8 a;\n}",
    "geo $b {\n 1.2.3.4 a;\n 1.2.3.4 b;\n}",
    "geo $b {\n default a;\n default b;\n}",
    "geo $b {\n delete 1.2.3.4;\n}",
    "geo $b {\n ranges;\n default a;\n default b;\n}",
    "geo $b {\n ranges;\n 1.0.0.1-1.0.0.2 a;\n 1.0.0.1-1.0.0.2 b;\n}",
    "geo $b {\n ranges;\n 1.0.0.1-1.0.0.9 a;\n delete 1.0.0.1-1.0.0.2;\n}",
    "geo $b {\n ranges;\n 1.0.0.1-1.0.0.9 a;\n 1.0.0.1-1.0.0.2 b;\n 1.0.0.8-1.0.0.9 c;\n 1.0.0.4-1.0.0.5 d;\n}",
]


@pytest.mark.parametrize("block", REFUSED + WARNED)
def test_a_block_gets_nginxs_verdict_with_its_line(block: str, tmp_path: Path) -> None:
    path = tmp_path / "nginx.conf"
    path.write_text(f"events {{}}\nmail {{ auth_http 127.0.0.1;\n{block}\nserver {{ listen 143; }} }}")
    ours = without_hint(list(dict.fromkeys(our_verdict(path))))
    gate = tmp_path / "gate"
    stream = f"events {{}}\nstream {{\n{block}\nserver {{ listen unix:{gate}; return x; }} }}"
    theirs = [text for text in stream_module.verdict(tmp_path, stream) if text.startswith(("[emerg]", "[warn]"))]
    assert ours == theirs
    assert bool(ours) == (block in REFUSED) or block in WARNED
