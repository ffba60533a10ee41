"""A client's TLS connection: the check of its certificate, and the data about it for auth services and backends."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Protocol

from mailworker.config.ssl import SslSettings
from mailworker.event.stream import Agreement
from mailworker.mail.end import End, Farewell
from mailworker.mail.session_log import SessionLog
from mailworker.model import VerifyClient
from mailworker.tls.connection import TlsConnection
from mailworker.variables.tls_table import verify_text
from mailworker.wire.auth_request import ClientCertificate, TlsFacts, tls_headers
from mailworker.wire.proxy_protocol import TlsTlvs
from mailworker.wire.server_name import requested_host

# OpenSSL's codes for a chain without a known issuer, which `optional_no_ca` leaves to the auth service:
# self-signed leaf, self-signed in the chain, issuer not found locally, leaf not verifiable, untrusted.
_UNKNOWN_ISSUER = frozenset({18, 19, 20, 21, 27})

# The number of agreements that are cached; each takes at most a thousand bytes.
_MOST_KNOWN: Final = 256


class Answers(Protocol):
    """A protocol's replies to clients with a wrong certificate, and without one."""

    @property
    def certificate_error(self) -> bytes: ...
    @property
    def no_certificate(self) -> bytes: ...


def certificate_refusal(
    tls: TlsConnection, settings: SslSettings, answers: Answers, log: SessionLog
) -> Farewell | None:
    """The farewell to a client without an acceptable certificate, if certificates are checked; None for all others."""
    mode = settings.verify_client
    code, text = tls.verify_result
    if code and not (mode is VerifyClient.OPTIONAL_NO_CA and code in _UNKNOWN_ISSUER):
        log.info(f"client SSL certificate verify error: ({code}:{text})")
        tls.drop_session()
        return Farewell(End.CERT_REFUSED, answers.certificate_error)
    if mode is VerifyClient.ON and tls.peer_certificate is None:
        log.info("client sent no required SSL certificate")
        tls.drop_session()
        return Farewell(End.CERT_MISSING, answers.no_certificate)
    return None


class Agreements:
    """A cache of the Auth-SSL-* values and headers of clients without certificates, by the result of the handshake.

    There are few different results, except for server names that clients invent: so the cache has a limit.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[Agreement, TlsFacts] = {}

    def facts(self, agreement: Agreement) -> TlsFacts:
        known = self._known.get(agreement)
        if known is None:
            protocol, cipher, name = agreement
            facts = TlsFacts(protocol, cipher, server_name=requested_host(name))
            known = replace(facts, headers=tls_headers(facts))
            if len(self._known) < _MOST_KNOWN:
                self._known[agreement] = known
        return known


def tls_facts(tls: TlsConnection, settings: SslSettings, *, pass_certificate: bool) -> TlsFacts:
    """The Auth-SSL-* values; `pass_certificate` adds the whole certificate."""
    protocol, cipher, name = tls.protocol.encode(), tls.cipher.encode(), requested_host(tls.server_name)
    if settings.verify_client is VerifyClient.OFF:
        return TlsFacts(protocol, cipher, server_name=name)
    verify, certificate = verify_text(tls), tls.peer_certificate
    if certificate is None:
        return TlsFacts(protocol, cipher, verify, server_name=name)
    passed = ClientCertificate(
        certificate.subject,
        certificate.issuer,
        certificate.serial,
        certificate.fingerprint,
        certificate.pem if pass_certificate else None,
    )
    return TlsFacts(protocol, cipher, verify, passed, name)


def tls_tlvs(tls: TlsConnection) -> TlsTlvs:
    """The TLS values in the version 2 PROXY header for the backend."""
    own, peer = tls.certificate, tls.peer_certificate
    return TlsTlvs(
        version=tls.protocol.encode(),
        cipher=tls.cipher.encode(),
        signature_algorithm=own.signature_algorithm,
        key_algorithm=own.key_algorithm,
        server_name=tls.server_name,
        alpn=tls.alpn,
        common_name=None if peer is None else peer.common_name,
        verify=tls.verify_result[0],
        resumed=tls.reused,
    )
