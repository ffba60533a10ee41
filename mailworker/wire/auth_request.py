"""Requests of the auth_http protocol: a login as an HTTP request, byte for byte as in nginx."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from mailworker.errors import Party, ProtocolError
from mailworker.model import METHOD_NAMES
from mailworker.variables.escapes import Escape
from mailworker.variables.facts import Facts, Render
from mailworker.variables.line import Line, MakeLine, Slot, composed
from mailworker.variables.source import Kind, Source, asked, at
from mailworker.wire.login import Login
from mailworker.wire.proxy_protocol import ProxyHeader

_NAMES: Final = {method.value: names.auth_http.encode() for method, names in METHOD_NAMES.items()}
_METHODS: Final = tuple(_NAMES.get(number, b"") for number in range(max(_NAMES) + 1))

# nginx: NGX_ESCAPE_MAIL_AUTH; and DEL, which no header may contain (RFC 9110 section 5.5)
_ESCAPED_BYTES = re.compile(rb"[\0-\x20%\x7f]")

_LINE_BREAKERS = re.compile(rb"[\0\r\n]")


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """The client's certificate: RFC 2253 names, serial and SHA-1 fingerprint in hex, and the PEM text.

    `pem` is None unless `auth_http_pass_client_cert` is on.
    """

    subject: bytes
    issuer: bytes
    serial: bytes
    fingerprint: bytes
    pem: bytes | None = None


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """The data about the TLS of the client's connection.

    `server_name` is the host that the client has asked for, in lower case, None if it has asked for none. `verify`
    is "NONE", "SUCCESS" or "FAILED:reason", None with `ssl_verify_client off`. `headers` are the header lines for all
    this if they were made before, else b"".
    """

    protocol: bytes
    cipher: bytes
    verify: bytes | None = None
    certificate: ClientCertificate | None = None
    server_name: bytes | None = None
    headers: bytes = field(default=b"", compare=False)


@dataclass(slots=True)
class AuthRequest:
    """One attempt to log in.

    `attempt` counts from 1. `client_ip` is "unix:" for clients of a unix socket. `client_host` is None if the protocol
    does not send it, `tls` if the connection is not encrypted. `facts` is the session for variables, None without
    variables. `answer` takes the headers of the answer that variables use.
    """

    login: Login
    protocol: str
    attempt: int
    client_ip: bytes
    client_host: bytes | None = None
    proxy_protocol: ProxyHeader | None = None
    tls: TlsFacts | None = None
    facts: Facts | None = None
    answer: Mapping[str, bytes] | None = None


class Places(NamedTuple):
    """The places of a login's data, from the object that a line gets: see `mailworker.variables.source`.

    They are the paths of the login, the protocol, the number of the attempt and the client's address, and the source
    of more headers, after `headers` that are always the same.
    """

    login: str
    protocol: str
    attempt: str
    client_ip: str
    more: Source
    headers: bytes = b""


class AuthHttpTemplate:
    """Builds the requests of one server; the constant parts are joined once.

    `uri`, `host` and `headers` are the fields of AuthHttpSettings, which contain no line ends; a value of `headers`
    with variables is a function. With `keepalive` the request is HTTP/1.1 and asks to keep the connection open. `make`
    makes the line into which values are put.
    """

    __slots__ = ("_head", "_make", "_render_tail", "_tail", "request")

    request: Callable[[AuthRequest], bytes]
    """Returns the whole request.

    Raises ProtocolError(CLIENT) if a text that is sent unescaped would end its header line.
    """

    def __init__(
        self,
        uri: bytes,
        host: bytes,
        headers: tuple[tuple[bytes, bytes | Render], ...],
        *,
        keepalive: bool = False,
        make: MakeLine = Line,
    ) -> None:
        parts = list[bytes | Slot]()
        for name, value in headers:
            parts += (b"%b: " % name, value if isinstance(value, bytes) else Slot(b"", source=asked(value)), b"\r\n")
        literals = [part for part in parts if isinstance(part, bytes)]
        constant = len(literals) == len(parts)
        self._render_tail = None if constant else composed([*parts, b"\r\n"], make)
        self._head = b"GET %b HTTP/1.%d\r\nHost: %b\r\n" % (uri, keepalive, host)
        self._tail = b"".join(literals) + b"\r\n" if constant else b""
        self._make = make
        self.request = self.at(Places("login", "protocol", "attempt", "client_ip", asked(self._rest)))

    def at(self, places: Places) -> Callable[[Any], bytes]:
        """The function that returns the request for an object with the data at such places."""
        return self._make(_slots(self._head, places), self._tail).of

    def _rest(self, request: AuthRequest) -> bytes:
        """The headers that few requests have, and those with variables."""
        headers = _optional_headers(request)
        if self._render_tail is not None:
            assert request.facts is not None
            headers += self._render_tail(request.facts)
        return headers


def _slots(head: bytes, places: Places) -> tuple[Slot, ...]:
    login = places.login
    return (
        Slot(head + b"Auth-Method: ", source=Source(Kind.ITEM, (f"{login}.method",), _METHODS)),
        Slot(b"\r\nAuth-User: ", written=_escape, source=at(f"{login}.name")),
        Slot(b"\r\nAuth-Pass: ", absent=b"", written=_escape, source=at(f"{login}.password.revealed")),
        Slot(b"\r\nAuth-Salt: ", source=at(f"{login}.salt")),
        Slot(b"\r\nAuth-Protocol: ", source=at(places.protocol)),
        Slot(b"\r\nAuth-Login-Attempt: ", source=at(places.attempt)),
        Slot(b"\r\nClient-IP: ", b"\r\n", source=at(places.client_ip)),
        Slot(b"Auth-Authzid: ", b"\r\n", written=_escape, source=at(f"{login}.authzid")),
        Slot(places.headers, absent=b"", source=places.more),
    )


def _optional_headers(request: AuthRequest) -> bytes:
    login = request.login
    headers = b""
    if request.client_host is not None:
        headers += client_host(request.client_host)
    if request.proxy_protocol is not None and request.proxy_protocol.texts is not None:
        headers += (
            b"Proxy-Protocol-Addr: %b\r\nProxy-Protocol-Port: %b\r\n"
            b"Proxy-Protocol-Server-Addr: %b\r\nProxy-Protocol-Server-Port: %b\r\n"
        ) % request.proxy_protocol.texts
    if login.envelope is not None:
        headers += _header(b"Auth-SMTP-Helo", login.helo)
        headers += _header(b"Auth-SMTP-From", login.envelope.mail)
        headers += _header(b"Auth-SMTP-To", login.envelope.rcpt)
    if request.tls is not None:
        headers += request.tls.headers or tls_headers(request.tls)
    return headers


def client_host(name: bytes) -> bytes:
    """The header line with the name of the client's host."""
    return _header(b"Client-Host", name)


def tls_headers(tls: TlsFacts) -> bytes:
    """The header lines about the TLS of the connection.

    Raises ProtocolError(CLIENT) if a text of a certificate would end its line.
    """
    headers = b"Auth-SSL: on\r\nAuth-SSL-Protocol: %b\r\nAuth-SSL-Cipher: %b\r\n" % (tls.protocol, tls.cipher)
    if tls.server_name is not None:
        headers += _header(b"Auth-SSL-Server-Name", _escape(tls.server_name))
    if tls.verify is not None:
        headers += _header(b"Auth-SSL-Verify", tls.verify)
    certificate = tls.certificate
    if certificate is not None:
        headers += _header(b"Auth-SSL-Subject", certificate.subject)
        headers += _header(b"Auth-SSL-Issuer", certificate.issuer)
        headers += _header(b"Auth-SSL-Serial", certificate.serial)
        headers += _header(b"Auth-SSL-Fingerprint", certificate.fingerprint)
        if certificate.pem is not None:
            headers += _header(b"Auth-SSL-Cert", _escape(certificate.pem))
    return headers


def _header(name: bytes, value: bytes) -> bytes:
    if _LINE_BREAKERS.search(value):
        raise ProtocolError(Party.CLIENT, f"client sent CR, LF or NUL in the value of {name.decode()}")
    return b"%b: %b\r\n" % (name, value)


def _escape(value: bytes) -> bytes:
    if _ESCAPED_BYTES.search(value) is None:
        return value
    return _ESCAPED_BYTES.sub(lambda match: b"%%%02X" % ord(match[0]), value)


HEADER_VALUE: Final = Escape(_escape, b"")
"""The escaping of a variable's value in `auth_http_header`, the same as for Auth-User."""
