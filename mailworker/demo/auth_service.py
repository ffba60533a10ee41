"""The demo's auth service: answers `auth_http` requests for the one demo user.

The protocol is nginx's: https://nginx.org/en/docs/mail/ngx_mail_auth_http_module.html#protocol
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from twisted.web.http import Request
from twisted.web.resource import Resource

from mailworker.demo.account import PASSWORD, USER

# After this many failed logins the proxy is not told to wait and ask again, so it closes the connection.
_MAX_ATTEMPTS = 3


class AuthService(Resource):
    """`backends` maps Auth-Protocol to the numeric address and the port of its backend."""

    isLeaf = True

    def __init__(self, backends: Mapping[bytes, tuple[str, int]]) -> None:
        super().__init__()
        self._backends = backends

    def render_GET(self, request: Request) -> bytes:
        for name, value in self._verdict(request).items():
            request.setHeader(name, value)
        return b""

    def _verdict(self, request: Request) -> dict[bytes, bytes]:
        backend = self._backends.get(_header(request, b"Auth-Protocol"))
        if backend is None:
            return {b"Auth-Status": b"Unknown protocol"}
        if not _verified(request):
            return _refusal(_header(request, b"Auth-Login-Attempt"))
        host, port = backend
        return {
            b"Auth-Status": b"OK",
            b"Auth-Server": host.encode("ascii"),
            b"Auth-Port": b"%d" % port,
            # With APOP and CRAM-MD5 the proxy has seen a digest only, but logs in at the backend with the password.
            b"Auth-Pass": PASSWORD,
        }


def _verified(request: Request) -> bool:
    user = unquote_to_bytes(_header(request, b"Auth-User"))
    given = unquote_to_bytes(_header(request, b"Auth-Pass"))
    salt = _header(request, b"Auth-Salt")
    method = _header(request, b"Auth-Method")
    if method == b"plain":
        expected = PASSWORD
    elif method == b"apop":
        expected = hashlib.md5(salt + PASSWORD).hexdigest().encode("ascii")
    elif method == b"cram-md5":
        expected = hmac.new(PASSWORD, salt, "md5").hexdigest().encode("ascii")
    else:
        return False
    return user == USER and hmac.compare_digest(given, expected)


def _refusal(attempt: bytes) -> dict[bytes, bytes]:
    """The answer to a failed login; each failure makes the client wait a second longer."""
    refusal = {b"Auth-Status": b"Invalid login or password"}
    if attempt.isdigit() and int(attempt) <= _MAX_ATTEMPTS:
        refusal[b"Auth-Wait"] = b"%d" % max(int(attempt), 1)
    return refusal


def _header(request: Request, name: bytes) -> bytes:
    return request.getHeader(name) or b""
