"""The cases; a new one is one entry of the module that it belongs to."""

from __future__ import annotations

from tests.oracle.case import Case
from tests.oracle.cases import auth_http, backend, imap, pop3, proxy_protocol, sasl, smtp, strictness, tls

CASES: tuple[Case, ...] = (
    *imap.CASES,
    *pop3.CASES,
    *smtp.CASES,
    *sasl.CASES,
    *auth_http.CASES,
    *backend.CASES,
    *tls.CASES,
    *proxy_protocol.CASES,
    *strictness.CASES,
)
