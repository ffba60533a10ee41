"""The variables of nginx's ssl modules: the encryption of a client's connection, and the client's certificate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote_from_bytes

from mailworker.variables.facts import Certificate, Evaluate, Tls


def _of_tls(read: Callable[[Tls], bytes | None]) -> Evaluate:
    return lambda facts: None if facts.tls is None else read(facts.tls)


def _of_certificate(read: Callable[[Certificate], bytes]) -> Evaluate:
    def read_certificate(tls: Tls) -> bytes | None:
        certificate = tls.peer_certificate
        return None if certificate is None else read(certificate)

    return _of_tls(read_certificate)


def verify_text(tls: Tls) -> bytes:
    """The result of verifying the client's certificate, in nginx's words."""
    if tls.peer_certificate is None:
        return b"NONE"
    code, text = tls.verify_result
    return b"FAILED:" + text.encode() if code else b"SUCCESS"


_DAY: Final = 86400


TLS: Final[Mapping[str, Evaluate]] = {
    "ssl_protocol": _of_tls(lambda tls: tls.protocol.encode()),
    "ssl_cipher": _of_tls(lambda tls: tls.cipher.encode()),
    "ssl_curve": _of_tls(lambda tls: tls.curve),
    "ssl_sigalg": _of_tls(lambda tls: tls.signature_scheme),
    "ssl_session_id": _of_tls(lambda tls: tls.session_id),
    "ssl_session_reused": _of_tls(lambda tls: b"r" if tls.reused else b"."),
    "ssl_server_name": _of_tls(lambda tls: tls.server_name),
    "ssl_alpn_protocol": _of_tls(lambda tls: tls.alpn),
    "ssl_client_verify": _of_tls(verify_text),
    "ssl_client_s_dn": _of_certificate(lambda certificate: certificate.subject),
    "ssl_client_i_dn": _of_certificate(lambda certificate: certificate.issuer),
    "ssl_client_serial": _of_certificate(lambda certificate: certificate.serial),
    "ssl_client_fingerprint": _of_certificate(lambda certificate: certificate.fingerprint),
    "ssl_client_v_start": _of_certificate(lambda certificate: certificate.not_before),
    "ssl_client_v_end": _of_certificate(lambda certificate: certificate.not_after),
    "ssl_client_v_remain": _of_certificate(lambda certificate: b"%d" % max(certificate.seconds_left // _DAY, 0)),
    # each line but the first begins with a tab, so that the value can be used in an HTTP header
    "ssl_client_cert": _of_certificate(lambda certificate: certificate.pem[:-1].replace(b"\n", b"\n\t")),
    "ssl_client_raw_cert": _of_certificate(lambda certificate: certificate.pem),
    "ssl_client_escaped_cert": _of_certificate(lambda certificate: quote_from_bytes(certificate.pem, safe="").encode()),
}
