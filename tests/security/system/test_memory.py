"""What is left of passwords in the memory of all processes, where the interpreter overwrites whatever it frees."""

from __future__ import annotations

import os
import re
import ssl
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final

import psutil
import pytest

from tests.long.clients import Door
from tests.long.peers import HOST
from tests.long.site import Site, running
from tests.security.secrets_of_clients import base64_of
from tests.support.daemon import wait_until
from tests.support.peer import Peer

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root sees the memory of all processes")

MAIL: Final = """
    pop3_auth plain; smtp_auth plain login; sieve_capabilities "SIEVE";
    limit_auth_zone $remote_user zone=user:1m rate=1000r/s;
    limit_auth zone=user burst=1000 nodelay;
"""

# The lines of a client after its greeting, each of which gets a reply; the last one lets the client in.
EHLO: Final = b"EHLO client.example"
WAYS: Final[dict[str, tuple[tuple[bytes, ...], ...]]] = {
    "imap": (
        (b"a LOGIN %(user)b %(secret)b",),
        (b'a LOGIN "%(user)b" "%(secret)b"',),
        (b"a LOGIN %(user)b {14}", b"%(secret)b"),
        (b"a AUTHENTICATE PLAIN", b"%(plain)b"),
        (b"a AUTHENTICATE LOGIN", b"%(name)b", b"%(word)b"),
    ),
    "pop3": (
        (b"USER %(user)b", b"PASS %(secret)b"),
        (b"AUTH PLAIN %(plain)b",),
        (b"AUTH PLAIN", b"%(plain)b"),
        (b"AUTH LOGIN", b"%(name)b", b"%(word)b"),
    ),
    "smtp": (
        (EHLO, b"AUTH PLAIN %(plain)b"),
        (EHLO, b"AUTH PLAIN", b"%(plain)b"),
        (EHLO, b"AUTH LOGIN", b"%(name)b", b"%(word)b"),
    ),
    "sieve": ((b'AUTHENTICATE "PLAIN" "%(plain)b"',),),
}
REPLY: Final = re.compile(rb"(a OK|[+*]( ?OK)?|[0-9]{3}|OK)[ \r].*", re.DOTALL)
NUMBERS: Final = count()


def say(door: Door, way: tuple[bytes, ...]) -> tuple[Peer, bytes]:
    """A client that has said all of its login but the end of the last line, and its secret."""
    secret = b"Kana%05dVogel" % next(NUMBERS)
    words = {b"user": b"bob", b"secret": secret, b"name": base64_of(b"bob"), b"word": base64_of(secret)}
    words[b"plain"] = base64_of(b"\0bob\0" + secret)
    client = Peer.connect((HOST, door.port))
    if door.secure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        client.start_tls(context)
    *lines, last = way
    hear(client)
    for line in lines:
        client.send(line % words + b"\r\n")
        hear(client)
    client.send(last % words)
    return client, secret


def hear(client: Peer) -> None:
    """Read a whole reply."""
    while not REPLY.match(client.until(b"\r\n")):
        pass


def shapes(secret: bytes) -> Iterator[bytes]:
    """The secret, and what is its own of it in base64, wherever it begins."""
    yield secret
    for before in range(3):
        yield b64encode(b"x" * before + secret)[4 * (before > 0) : -4]


def found(site: Site, secrets: set[bytes]) -> set[bytes]:
    """The secrets that are in what the processes can write to."""
    wanted = {shape: secret for secret in secrets for shape in shapes(secret)}
    either = re.compile(b"|".join(map(re.escape, wanted)))
    return {
        wanted[match[0]] for process in [site.master, *site.master.children()] for match in _search(process, either)
    }


def _search(process: psutil.Process, wanted: re.Pattern[bytes]) -> Iterator[re.Match[bytes]]:
    maps = Path(f"/proc/{process.pid}/maps").read_text().splitlines()
    with Path(f"/proc/{process.pid}/mem").open("rb", buffering=0) as memory:
        for start, end in re.findall(r"(?m)^([0-9a-f]+)-([0-9a-f]+) rw", "\n".join(maps)):
            with suppress(OSError):
                memory.seek(int(start, 16))
                yield from wanted.finditer(memory.read(int(end, 16) - int(start, 16)))


def test_no_process_remembers_the_password_of_a_client_that_is_logged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONMALLOC", "debug")
    with running(mail=MAIL, log_level="info", timeout="60s") as site:
        clients = [say(door, way) for door in site.doors for way in WAYS[door.protocol]]
        secrets = {secret for _, secret in clients}
        wait_until(lambda: found(site, secrets) == secrets, "the last lines")
        for client, _ in clients:
            client.send(b"\r\n")
            hear(client)
        later = [
            say(door, WAYS[door.protocol][0])[0] for door in site.doors
        ]  # a loop in Python still has its last data
        assert found(site, secrets) == set()
        for client in (*later, *[client for client, _ in clients]):
            client.close()
