"""What OpenSSL calls back into Python for may fail: a handshake then is a full one, or none, but never a false one."""

from __future__ import annotations

import os
import ssl
import sys

import pytest

from mailworker.errors import TlsError
from tests.support.certificates import Certificate
from tests.tls.conftest import Connect
from tests.tls.test_sessions import SHARED, TLS_1_2, TLS_1_3, Cache, SomeKeys, build, client_of, session_of


class Failure(Exception):
    """What a test raises."""


class RaisingKeys(SomeKeys):
    """`raising` says whether they can be read from now on."""

    raising = False

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
def test_ticket_keys_that_cannot_be_read_are_those_of_before(
    connect: Connect, ecdsa: Certificate, raised: list[type[BaseException]], version: ssl.TLSVersion
) -> None:
    keys = RaisingKeys()
    context = build(ecdsa, session_cache=SHARED)
    context.share(Cache().table, keys)
    client = client_of(version)
    session = session_of(connect(context, client).shake_hands())
    keys.raising = True
    keys.keys = (os.urandom(80),)  # what says that they are others
    assert connect(context, client, session).shake_hands().server.reused
    assert set(raised) == {Failure}
    keys.raising, keys.keys = False, (os.urandom(80),)
    assert not connect(context, client, session).shake_hands().server.reused


@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3])
def test_without_any_ticket_key_there_is_no_handshake(
    connect: Connect, ecdsa: Certificate, version: ssl.TLSVersion
) -> None:
    keys = SomeKeys()
    keys.keys = ()
    context = build(ecdsa, session_cache=SHARED)
    context.share(Cache().table, keys)
    with pytest.raises((TlsError, ssl.SSLError)):
        connect(context, client_of(version)).shake_hands()
