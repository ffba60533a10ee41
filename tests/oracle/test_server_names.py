"""Which server a name leads to: nginx's http module and mailworker agree, on names and questions at random."""

from __future__ import annotations

import random
import socket
from collections.abc import Sequence
from pathlib import Path

import pytest

from mailworker.config.load import load
from mailworker.config.server_name import NameTable
from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.native.regex import Regex
from mailworker.wire.server_name import requested_host
from tests.support import http_module
from tests.support.daemon import ServerUnavailable
from tests.support.patience import PATIENCE
from tests.support.ports import Ports

pytestmark = pytest.mark.oracle

NAMES = 1000
SERVERS = 100
QUESTIONS = 4000

_LABELS = ("a", "b", "mail", "www", "x1", "_c", "long-label", "example", "org", "net")


def _name(chance: random.Random) -> str:
    return ".".join(chance.choice(_LABELS) for _ in range(chance.randint(1, 4)))


def _word(chance: random.Random) -> str:
    """A word of `server_name`."""
    name = _name(chance)
    kind = chance.randrange(12)
    if kind == 0:
        return f"*.{name}"
    if kind == 1:
        return f".{name}"
    if kind == 2:
        return f"{name}.*"
    if kind == 3:
        return f"~^{chance.choice(_LABELS)}[0-9]*\\.{chance.choice(_LABELS)}"
    if kind == 4:
        return name.upper()
    return name


def _question(chance: random.Random) -> str:
    name = _name(chance)
    kind = chance.randrange(20)
    if kind == 0:
        return name.upper()
    if kind == 1:
        return f"{name}."
    if kind == 2:
        return f"{name}:993"
    if kind == 3:
        return f".{name}"
    if kind == 4:
        return chance.choice((f"{name}..a", f"{name}/", "*", "*.a", "[::1]", "192.0.2.1", f"{name}\x7f", "\u00e4.a"))
    return f"{chance.choice(_LABELS)}.{name}" if kind < 8 else name


@pytest.mark.parametrize("seed", range(3))
def test_a_name_leads_where_nginxs_http_module_leads_it(seed: int, tmp_path: Path, ports: Ports) -> None:
    chance = random.Random(seed)
    words = [[_word(chance) for _ in range(NAMES // SERVERS)] for _ in range(SERVERS)]
    questions = [_question(chance) for _ in range(QUESTIONS)]
    address = f"127.0.0.1:{ports['http']}"
    blocks = [
        f"listen {address}{' default_server' if number == SERVERS // 2 else ''}; server_name {' '.join(names)};"
        for number, names in enumerate(words)
    ]
    http = "server_names_hash_max_size 65536; server_names_hash_bucket_size 256;" + "\n".join(
        f"server {{ {block} return 200 {number}; }}" for number, block in enumerate(blocks)
    )
    try:
        theirs = http_module.verdict(tmp_path, http)
        with http_module.serving(tmp_path, http, ports["http"]):
            answers = _ask(ports["http"], questions)
    except ServerUnavailable as error:
        pytest.skip(str(error))
    path = tmp_path / "mailworker.conf"
    pair = "ssl_certificate a; ssl_certificate_key a;"  # without TLS no client names a server
    mail = "".join(f"server {{ protocol imap; {block} }}" for block in blocks)
    path.write_text(f"events {{}} mail {{ auth_http 127.0.0.1; starttls on; {pair} {mail} }}")
    settings = load(path, prefix=tmp_path, protocols=PROTOCOLS, compile_regex=Regex)
    ours = list(dict.fromkeys(f"[warn] {text}" for _, text in settings.warnings))
    assert ours == [line for line in theirs if line.startswith("[warn]")]
    table: NameTable[int] = NameTable()
    for number, server in enumerate(settings.servers):
        for name in server.names:
            table.add(name, number)
    for question, answer in zip(questions, answers, strict=True):
        host = requested_host(question.encode())
        if answer is None:  # nginx refuses such a Host; in a handshake it is none
            assert host is None, question
        else:
            found = None if host is None else table.find(host)
            assert (SERVERS // 2 if found is None else found) == answer, question


def _ask(port: int, hosts: Sequence[str]) -> list[int | None]:
    """The server that each name leads to, None where it is refused."""
    found: list[int | None] = []
    for host in hosts:
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % host.encode())
            with client.makefile("rb") as stream:
                answer = stream.read()
        head, _, body = answer.partition(b"\r\n\r\n")
        found.append(int(body) if head.startswith(b"HTTP/1.1 200") else None)
    return found
