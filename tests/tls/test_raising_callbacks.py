"""What OpenSSL calls back into Python for may fail: a handshake then is a full one, or none, but never a false one."""

from __future__ import annotations

import os
import ssl
import sys
from dataclasses import dataclass, field

import pytest

from mailworker.config.settings import VerifyClient
from mailworker.errors import TlsError
from tests.support.certificates import Certificate, CertificateAuthority
from tests.tls.conftest import Connect
from tests.tls.test_sessions import SHARED, TLS_1_2, TLS_1_3, DictStore, SomeKeys, build, client_of, session_of


class Failure(Exception):
    """What a test raises."""


@dataclass
class RaisingStore(DictStore):
    """`raising` names the methods that raise from now on."""

    raising: set[str] = field(default_factory=set)

    def new(self, session_id: bytes, session: bytes) -> None:
        self._fail_in("new")
        super().new(session_id, session)

    def get(self, session_id: bytes) -> bytes | None:
        self._fail_in("get")
        return super().get(session_id)

    def remove(self, session_id: bytes) -> None:
        self._fail_in("remove")
        super().remove(session_id)

    def _fail_in(self, method: str) -> None:
        if method in self.raising:
            raise Failure(method)


@dataclass
class RaisingKeys(SomeKeys):
    raising: bool = False

    def read(self) -> tuple[bytes, ...]:
        if self.raising:
            raise Failure
        return super().read()


@pytest.fixture
def raised(monkeypatch: pytest.MonkeyPatch) -> list[type[BaseException]]:
    """What nobody could catch."""
    seen: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: seen.append(unraisable.exc_type))
    return seen


@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3])
@pytest.mark.parametrize("method", ["new", "get", "remove"])
def test_a_store_that_raises_costs_the_resumption(
    connect: Connect,
    ecdsa: Certificate,
    authority: CertificateAuthority,
    raised: list[type[BaseException]],
    version: ssl.TLSVersion,
    method: str,
) -> None:
    store = RaisingStore()
    context = build(
        ecdsa,
        session_cache=SHARED,
        session_tickets=False,
        verify_client=VerifyClient.ON,
        client_certificate=str(authority.path),
    )
    context.share(store, SomeKeys())
    client = client_of(version)
    session = session_of(connect(context, client).shake_hands())
    store.raising.add(method)
    again = connect(context, client, session).shake_hands()
    assert again.server.verify_result is not None
    assert again.server.peer_certificate is None  # whatever failed, nobody has become trusted
    assert again.server.reused is (method != "get" and session is not None)
    again.server.drop_session()
    assert set(raised) <= {Failure}
    store.raising.clear()
    assert connect(context, client, session_of(connect(context, client).shake_hands())).shake_hands().server.reused


@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3])
def test_ticket_keys_that_cannot_be_read_are_those_of_before(
    connect: Connect, ecdsa: Certificate, raised: list[type[BaseException]], version: ssl.TLSVersion
) -> None:
    keys = RaisingKeys()
    context = build(ecdsa, session_cache=SHARED)
    context.share(DictStore(), keys)
    client = client_of(version)
    session = session_of(connect(context, client).shake_hands())
    keys.raising = True
    assert connect(context, client, session).shake_hands().server.reused
    assert set(raised) == {Failure}
    keys.raising, keys.keys = False, (os.urandom(80),)
    assert not connect(context, client, session).shake_hands().server.reused


@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3])
def test_without_any_ticket_key_there_is_no_handshake(
    connect: Connect, ecdsa: Certificate, version: ssl.TLSVersion
) -> None:
    keys = SomeKeys(())
    context = build(ecdsa, session_cache=SHARED)
    context.share(DictStore(), keys)
    with pytest.raises((TlsError, ssl.SSLError)):
        connect(context, client_of(version)).shake_hands()
