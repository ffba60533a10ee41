"""The auth_http protocol, one way: a login goes out as an HTTP request, nginx's byte for byte."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mailworker.errors import Party, ProtocolError
from mailworker.model import AuthMethod
from mailworker.wire.proxy_protocol import ProxyHeader
from mailworker.wire.secret import Secret

_METHOD_NAMES = {
    AuthMethod.PLAIN: b"plain",
    AuthMethod.LOGIN: b"plain",
    AuthMethod.APOP: b"apop",
    AuthMethod.CRAM_MD5: b"cram-md5",
    AuthMethod.EXTERNAL: b"external",
    AuthMethod.XOAUTH2: b"xoauth2",
    AuthMethod.OAUTHBEARER: b"oauthbearer",
    AuthMethod.NONE: b"none",
}

# nginx: NGX_ESCAPE_MAIL_AUTH; and DEL, which no header may hold (RFC 9110 section 5.5)
_ESCAPED_BYTES = re.compile(rb"[\0-\x20%\x7f]")

_LINE_BREAKERS = re.compile(rb"[\0\r\n]")


@dataclass(frozen=True, slots=True)
class SmtpEnvelope:
    """What the client said before it asked to send without authentication.

    `helo` is the argument, empty where there was none; `mail` and `rcpt` are the command lines without their end.
    """

    helo: bytes
    mail: bytes
    rcpt: bytes


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
    """How the client's connection is encrypted.

    `verify` is "NONE", "SUCCESS" or "FAILED:reason", None with `ssl_verify_client off`.
    """

    protocol: bytes
    cipher: bytes
    verify: bytes | None = None
    certificate: ClientCertificate | None = None


@dataclass(slots=True)
class AuthRequest:
    """One attempt to log in.

    `password` None is sent as an empty one; for CRAM-MD5 and APOP it holds the client's digest, and `salt` is what
    it answers; for XOAUTH2 and OAUTHBEARER it holds the token. `attempt` counts from 1. `client_ip` is "unix:"
    for clients of a unix socket. `client_host` is None unless the protocol is SMTP, `smtp` unless the method is NONE,
    `tls` where the connection is plain. `authzid` is whom the client wants to act for, None for nobody else.
    """

    method: AuthMethod
    login: bytes
    password: Secret | None
    protocol: str
    attempt: int
    client_ip: bytes
    salt: bytes | None = None
    client_host: bytes | None = None
    proxy_protocol: ProxyHeader | None = None
    smtp: SmtpEnvelope | None = None
    tls: TlsFacts | None = None
    authzid: bytes | None = None


class AuthHttpTemplate:
    """Builds the requests of one server; what never changes is put together once.

    `uri`, `host` and `headers` are the fields of AuthHttpSettings, which hold no line ends. With `keepalive` the
    service is asked to leave the connection open, by HTTP/1.1.
    """

    __slots__ = ("_head", "_tail")

    def __init__(
        self, uri: bytes, host: bytes, headers: tuple[tuple[bytes, bytes], ...], *, keepalive: bool = False
    ) -> None:
        self._head = b"GET %b HTTP/1.%d\r\nHost: %b\r\n" % (uri, keepalive, host)
        self._tail = b"".join(b"%b: %b\r\n" % header for header in headers) + b"\r\n"

    def request(self, request: AuthRequest) -> bytes:
        """The whole request.

        Raises ProtocolError(CLIENT) where a text that goes out unescaped would end its header line.
        """
        password = request.password
        return (
            b"%bAuth-Method: %b\r\nAuth-User: %b\r\nAuth-Pass: %b\r\n%bAuth-Protocol: %b\r\n"
            b"Auth-Login-Attempt: %d\r\nClient-IP: %b\r\n%b%b"
        ) % (
            self._head,
            _METHOD_NAMES[request.method],
            _escape(request.login),
            b"" if password is None else _escape(password.reveal()),
            b"" if request.salt is None else b"Auth-Salt: %b\r\n" % request.salt,
            request.protocol.encode(),
            request.attempt,
            request.client_ip,
            _optional_headers(request),
            self._tail,
        )


def _optional_headers(request: AuthRequest) -> bytes:
    headers = b"" if request.authzid is None else b"Auth-Authzid: %b\r\n" % _escape(request.authzid)
    if request.client_host is not None:
        headers += _header(b"Client-Host", request.client_host)
    if request.proxy_protocol is not None and request.proxy_protocol.texts is not None:
        headers += (
            b"Proxy-Protocol-Addr: %b\r\nProxy-Protocol-Port: %b\r\n"
            b"Proxy-Protocol-Server-Addr: %b\r\nProxy-Protocol-Server-Port: %b\r\n"
        ) % request.proxy_protocol.texts
    if request.smtp is not None:
        headers += _header(b"Auth-SMTP-Helo", request.smtp.helo)
        headers += _header(b"Auth-SMTP-From", request.smtp.mail)
        headers += _header(b"Auth-SMTP-To", request.smtp.rcpt)
    if request.tls is not None:
        headers += _tls_headers(request.tls)
    return headers


def _tls_headers(tls: TlsFacts) -> bytes:
    headers = b"Auth-SSL: on\r\nAuth-SSL-Protocol: %b\r\nAuth-SSL-Cipher: %b\r\n" % (tls.protocol, tls.cipher)
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
