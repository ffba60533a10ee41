from __future__ import annotations

import os
import ssl
import subprocess
import sys
import time
from mmap import mmap
from typing import Any

import pytest

from mailworker.config.session_cache import SessionCache
from mailworker.config.zones import SharedZone
from mailworker.model import VerifyClient
from mailworker.native.tls._native import ffi, lib
from mailworker.native.tls.tls_session_table import TlsSessionTable
from mailworker.shm.tls_sessions import TlsSessions
from mailworker.tls.context import TlsContext
from tests.support.certificates import Certificate, CertificateAuthority
from tests.support.settings import ssl_settings
from tests.tls.conftest import Connect
from tests.tls.peers import Pair, client_context

TLS_1_2, TLS_1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
BUILTIN = SessionCache(builtin=100)
OFF = SessionCache(off=True)
NONE = SessionCache()
SHARED = SessionCache(shared=SharedZone("SSL", 1 << 20, "ssl_session_cache"))


def build(certificate: Certificate, **changes: Any) -> TlsContext:
    return TlsContext.build(ssl_settings(certificate, **changes), b"imap")


def client_of(version: ssl.TLSVersion, certificate: Certificate | None = None) -> ssl.SSLContext:
    client = client_context(certificate=certificate)
    client.minimum_version = client.maximum_version = version
    return client


def session_of(pair: Pair) -> ssl.SSLSession | None:
    """The session that the client may resume; in TLS 1.3 it comes after the handshake."""
    pair.to_client(b"* OK ready\r\n")
    return pair.client.session


def await_seconds(seconds: int) -> None:
    """Let the clock's whole seconds, which OpenSSL counts, go on by that many."""
    end = int(time.time()) + seconds
    while int(time.time()) < end:
        time.sleep(0.05)


class Resume:
    """Connects twice with one client and tells whether the second connection resumed the first one's session."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    def __call__(self, client: ssl.SSLContext, first: TlsContext, second: TlsContext | None = None) -> bool:
        pair = self._connect(first, client).shake_hands()
        again = self._connect(second or first, client, session_of(pair)).shake_hands()
        assert again.server.reused is again.client.session_reused
        return again.server.reused


@pytest.fixture
def resume(connect: Connect) -> Resume:
    return Resume(connect)


@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3])
@pytest.mark.parametrize(
    ("cache", "tickets", "resumed"),
    [
        (OFF, True, True),
        (NONE, True, True),
        (BUILTIN, True, True),
        (SHARED, True, True),
        (OFF, False, False),
        (NONE, False, False),
        (BUILTIN, False, True),
    ],
)
def test_when_sessions_resume(
    resume: Resume, ecdsa: Certificate, cache: SessionCache, tickets: bool, resumed: bool, version: ssl.TLSVersion
) -> None:
    context = build(ecdsa, session_cache=cache, session_tickets=tickets)
    assert resume(client_of(version), context) is resumed


@pytest.mark.parametrize("size", [48, 80])
@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3])
def test_ticket_keys_are_shared_by_contexts(
    resume: Resume, ecdsa: Certificate, size: int, version: ssl.TLSVersion
) -> None:
    key, other = os.urandom(size), os.urandom(size)
    first = build(ecdsa, session_ticket_keys=(key,))
    client = client_of(version)
    assert resume(client, first, build(ecdsa, session_ticket_keys=(key,)))
    assert resume(client, first, build(ecdsa, session_ticket_keys=(other, key)))
    assert not resume(client, first, build(ecdsa, session_ticket_keys=(other,)))
    assert not resume(client, first, build(ecdsa))


def test_keys_of_both_sizes_go_together(resume: Resume, ecdsa: Certificate) -> None:
    old, new = os.urandom(48), os.urandom(80)
    assert resume(
        client_of(TLS_1_2),
        build(ecdsa, session_ticket_keys=(old,)),
        build(ecdsa, session_ticket_keys=(new, old)),
    )


@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3])
def test_ticket_keys_are_followed(resume: Resume, ecdsa: Certificate, version: ssl.TLSVersion) -> None:
    keys = SomeKeys()
    contexts = [build(ecdsa, session_cache=SHARED) for _ in range(2)]
    for context in contexts:
        context.share(Cache().table, keys)
    first, second = contexts
    client = client_of(version)
    assert resume(client, first, second)
    keys.keys = (os.urandom(80), *keys.keys)
    assert resume(client, first, second)


def test_a_ticket_dies_with_its_key(connect: Connect, ecdsa: Certificate) -> None:
    keys = SomeKeys()
    context = build(ecdsa, session_cache=SHARED)
    context.share(Cache().table, keys)
    for version in (TLS_1_2, TLS_1_3):
        client = client_of(version)
        session = session_of(connect(context, client).shake_hands())
        keys.keys = (os.urandom(80), *keys.keys)
        assert connect(context, client, session).shake_hands().server.reused
        keys.keys = (os.urandom(80),)
        assert not connect(context, client, session).shake_hands().server.reused


def test_key_files_come_before_shared_keys(resume: Resume, ecdsa: Certificate) -> None:
    files = (os.urandom(80),)
    shared, alone = (build(ecdsa, session_cache=SHARED, session_ticket_keys=files) for _ in range(2))
    shared.share(Cache().table, SomeKeys())
    assert resume(client_of(TLS_1_3), shared, alone)


CIRCLE = """
import gc
from mailworker.native.tls.context import Context
from mailworker.native.tls.tls_session_table import TlsSessionTable
from mailworker.shm.ticket_keys import TicketKeys
from mailworker.shm.tls_sessions import TlsSessions

zone = TlsSessions("SSL", 1 << 16)
gc.collect()  # a zone is older than the contexts that share it after a reload
context, keys = Context(b""), TicketKeys("SSL")
keys.rotate(1.0, 300.0)
context.use_tls_session_table(TlsSessionTable(zone.memory, 300))
context.follow_ticket_keys(keys)
circle = [context]
circle.append(circle)
del zone, context, keys, circle
gc.collect()
"""


def test_the_collector_may_find_contexts_with_their_zones() -> None:
    """Python before 3.12 crashes where it finds a memoryview among what it frees."""
    done = subprocess.run([sys.executable, "-c", CIRCLE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


class Cache:
    """A shared cache, and how many sessions are in it."""

    def __init__(self) -> None:
        self._zone = TlsSessions("SSL", 1 << 16)
        self.table = TlsSessionTable(self._zone.memory, 300)

    def __len__(self) -> int:
        """As long as each takes one slot, and none has expired."""
        sets = ffi.from_buffer("struct slot_set[]", self._zone.memory)
        return sum(tag != 0 for slots in sets for tag in slots.tags)


class SomeKeys:
    """Ticket keys that others have too."""

    def __init__(self) -> None:
        self.memory = mmap(-1, 8)
        self.seen = 0
        self._keys: tuple[bytes, ...] = (os.urandom(80),)

    @property
    def keys(self) -> tuple[bytes, ...]:
        return self._keys

    @keys.setter
    def keys(self, keys: tuple[bytes, ...]) -> None:
        self._keys = keys
        self._sequence[0] += 1

    def read(self) -> tuple[bytes, ...]:
        self.seen = self._sequence[0]
        return self._keys

    @property
    def _sequence(self) -> memoryview:
        return memoryview(self.memory)[:8].cast("Q")


def with_cache(certificate: Certificate, cache: Cache, **changes: Any) -> TlsContext:
    context = build(certificate, session_cache=SHARED, **changes)
    context.share(cache.table, SomeKeys())
    return context


@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3])
def test_a_shared_cache_serves_all_contexts(resume: Resume, ecdsa: Certificate, version: ssl.TLSVersion) -> None:
    cache = Cache()
    first = with_cache(ecdsa, cache, session_tickets=False)
    assert resume(client_of(version), first, with_cache(ecdsa, cache, session_tickets=False))
    assert len(cache) == (1 if version == TLS_1_2 else 2)


def test_tls_1_3_sessions_are_not_stored_beside_their_tickets(connect: Connect, ecdsa: Certificate) -> None:
    cache = Cache()
    session_of(connect(with_cache(ecdsa, cache), client_of(TLS_1_3)).shake_hands())
    assert len(cache) == 0
    client = client_of(TLS_1_2)
    client.options |= ssl.OP_NO_TICKET
    session_of(connect(with_cache(ecdsa, cache), client).shake_hands())
    assert len(cache) == 1


def test_a_refused_session_leaves_the_cache(connect: Connect, resume: Resume, ecdsa: Certificate) -> None:
    cache = Cache()
    context = with_cache(ecdsa, cache, session_tickets=False)
    client = client_of(TLS_1_2)
    pair = connect(context, client).shake_hands()
    assert len(cache) == 1
    pair.server.drop_session()
    assert len(cache) == 0
    assert not connect(context, client, session_of(pair)).shake_hands().server.reused


@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3])
def test_a_session_outlives_a_connection_that_ends_without_goodbye(
    connect: Connect, ecdsa: Certificate, version: ssl.TLSVersion
) -> None:
    cache = Cache()
    context = with_cache(ecdsa, cache, session_tickets=False)
    client = client_of(version)
    pair = connect(context, client).shake_hands()
    session = session_of(pair)
    pair.client.close()
    assert pair.server.recv(100) == b""
    pair.server.free()
    assert len(cache) == 1
    assert connect(context, client, session).shake_hands().server.reused


def test_the_shared_cache_keeps_what_the_builtin_cache_has_no_room_for(connect: Connect, ecdsa: Certificate) -> None:
    cache = Cache()
    both = SessionCache(builtin=1, shared=SHARED.shared)
    context = build(ecdsa, session_cache=both, session_tickets=False)
    context.share(cache.table, SomeKeys())
    client = client_of(TLS_1_2)
    pairs = [connect(context, client).shake_hands() for _ in range(3)]
    assert len(cache) == 3
    assert connect(context, client, session_of(pairs[0])).shake_hands().server.reused
    pairs[1].server.drop_session()
    assert len(cache) == 2
    assert not connect(context, client, session_of(pairs[1])).shake_hands().server.reused


def rewritten(text: bytes, tag: int, number: int) -> bytes:
    """A session in DER with another integer behind the context tag `tag`, of as many bytes."""
    start = text.index(bytes((0xA0 | tag,)), 40)
    while text[start + 2] != 2 or text[start + 1] != text[start + 3] + 2:  # [tag] { INTEGER }
        start = text.index(bytes((0xA0 | tag,)), start + 1)
    size = text[start + 3]
    return text[: start + 4] + number.to_bytes(size, "big") + text[start + 4 + size :]


_TIME, _TIMEOUT = 1, 2  # SSL_SESSION_asn1.c


@pytest.mark.parametrize(
    ("tag", "number", "reused"),
    [
        (_TIME, 0, True),
        (_TIME, 3600, False),
        (_TIME, 1 << 28, False),
        (_TIME, -3600, False),
        (_TIMEOUT, 0x7FFF, True),
        (_TIMEOUT, 0, False),
    ],
)
def test_a_stored_session_is_believed_no_further_than_this_server_could_have_stored_it(
    connect: Connect, ecdsa: Certificate, tag: int, number: int, reused: bool
) -> None:
    cache = Cache()
    context = with_cache(ecdsa, cache, session_tickets=False, session_timeout=300)
    client = client_of(TLS_1_2)
    session = session_of(connect(context, client).shake_hands())
    assert session is not None
    stored = cache.table.get(session.id)
    assert stored is not None
    value = number if tag == _TIMEOUT else session.time + number
    cache.table.new(session.id, rewritten(stored, tag, value))
    again = connect(context, client, session).shake_hands()
    assert again.server.reused is reused
    if reused:
        pointer = lib.SSL_get_session(again.server.handle)
        assert lib.SSL_SESSION_get_timeout(pointer) <= 300


@pytest.mark.parametrize("broken", [b"", b"junk", b"\x30\x82\xff\xff", bytes(8192)])
def test_a_broken_entry_is_a_miss(connect: Connect, ecdsa: Certificate, broken: bytes) -> None:
    cache = Cache()
    context = with_cache(ecdsa, cache, session_tickets=False)
    client = client_of(TLS_1_2)
    pair = connect(context, client).shake_hands()
    session = session_of(pair)
    assert session is not None
    assert cache.table.get(session.id)
    cache.table.new(session.id, broken)
    assert not connect(context, client, session_of(pair)).shake_hands().server.reused


@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3])
def test_sessions_stay_with_the_rules_they_were_made_under(
    resume: Resume,
    ecdsa: Certificate,
    rsa: Certificate,
    authority: CertificateAuthority,
    stranger: Certificate,
    client_certificate: Certificate,
    version: ssl.TLSVersion,
) -> None:
    keys = {"session_ticket_keys": (os.urandom(80),)}
    trusting = keys | {"client_certificate": str(authority.path)}
    client = client_of(version, client_certificate)
    plain = build(ecdsa, **keys)
    optional = build(ecdsa, verify_client=VerifyClient.OPTIONAL, **trusting)
    required = build(ecdsa, verify_client=VerifyClient.ON, **trusting)
    others = build(ecdsa, verify_client=VerifyClient.ON, **keys, client_certificate=str(stranger.certificate))
    assert resume(client, plain, build(ecdsa, **keys))
    assert resume(client, required, build(ecdsa, verify_client=VerifyClient.ON, **trusting))
    assert not resume(client, plain, build(rsa, **keys))
    assert not resume(client, plain, required)
    assert not resume(client, optional, required)
    assert not resume(client, others, required)


def test_a_resumed_session_keeps_its_certificate(
    connect: Connect, ecdsa: Certificate, authority: CertificateAuthority, stranger: Certificate
) -> None:
    context = build(ecdsa, verify_client=VerifyClient.ON, client_certificate=str(authority.path))
    for version in (TLS_1_2, TLS_1_3):
        client = client_of(version, stranger)
        session = session_of(connect(context, client).shake_hands())
        again = connect(context, client, session).shake_hands()
        assert again.server.reused
        assert again.server.verify_result == (21, "unable to verify the first certificate")
        assert again.server.peer_certificate is not None
        assert again.server.peer_certificate.pem == stranger.certificate.read_bytes()


def test_resuming_tls_1_3_does_not_prolong_a_session(connect: Connect, ecdsa: Certificate) -> None:
    context = build(ecdsa, session_timeout=100)
    client = client_of(TLS_1_3)
    session = session_of(connect(context, client).shake_hands())
    assert session is not None
    assert 60 < session.ticket_lifetime_hint <= 100  # less where a second ends meanwhile
    await_seconds(2)
    again = session_of(connect(context, client, session).shake_hands())
    assert again is not None
    assert again.ticket_lifetime_hint < session.ticket_lifetime_hint


def test_an_expired_session_does_not_resume(connect: Connect, ecdsa: Certificate) -> None:
    context = build(ecdsa, session_timeout=1)
    clients = [client_of(version) for version in (TLS_1_2, TLS_1_3)]
    sessions = [session_of(connect(context, client).shake_hands()) for client in clients]
    await_seconds(3)
    for client, session in zip(clients, sessions, strict=True):
        assert not connect(context, client, session).shake_hands().server.reused
