"""The auth_http protocol: a login goes out as an HTTP request, the verdict comes back in response headers.

The request is nginx's byte for byte. The response is read as nginx reads it (ngx_mail_auth_http_module.c) except
where nginx would let somebody in without a clear yes: the status must be 2xx, Auth-Status must be there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mailworker.config.settings import Address, AuthMethod, Protocol, UnixAddress
from mailworker.errors import Party, ProtocolError
from mailworker.wire.auth_server import read_server
from mailworker.wire.proxy_protocol import ProxyHeader
from mailworker.wire.secret import Secret

RESPONSE_HEADER_LIMIT = 8192
"""Bytes of status line and headers together. nginx has 1024, which a long error text can exceed."""

DEFAULT_ERROR_CODE = b"535 5.7.0"
"""What SMTP clients see where the service sent no usable Auth-Error-Code (nginx)."""

WAIT_WITHOUT_TIME = 1
"""Seconds to a retry where WAIT came without a positive Auth-Wait; nginx retries at once and for ever."""

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

_PROTOCOL_NAMES = {protocol: protocol.value.encode() for protocol in Protocol}

# nginx: NGX_ESCAPE_MAIL_AUTH; and DEL, which no header may hold (RFC 9110 section 5.5)
_ESCAPED_BYTES = re.compile(rb"[\0-\x20%\x7f]")

_LINE_BREAKERS = re.compile(rb"[\0\r\n]")

# RFC 9112 section 4, any version number
_SUCCESS = re.compile(rb"HTTP/[0-9.]+ +2[0-9][0-9](?: [^\r\0]*)?")

# nginx: a name without a colon is a header with an empty value
_HEADER = re.compile(rb"([A-Za-z0-9][A-Za-z0-9-]*)(?::([^\r\0\n]*))?\r?\n")
_HEADERS = re.compile(rb"(?:%b)*" % _HEADER.pattern)
_BLANK = re.compile(rb"\r?\n")

# Headers that decide whether a connection can be used again: one that is repeated is a list, RFC 9110 section 5.3.
_FRAMING = (b"connection", b"content-length", b"transfer-encoding")
_LENGTH = re.compile(rb"[0-9]{1,5}")

# More than nine digits are no waiting time but a mistake of the service.
_WAIT = re.compile(rb"0*([0-9]{1,9})")

# Seconds. No client waits for longer, and whoever only stays connected should not for years.
_LONGEST_WAIT = 3600

# RFC 5321 section 4.2: a negative reply's code, then what may follow it on the line
_NEGATIVE_CODE = re.compile(rb"[45][0-9]{2}(?: [\x20-\x7e]*)?")

_CONTROL_TO_SPACE = bytes(0x20 if byte < 0x20 or byte == 0x7F else byte for byte in range(256))


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
    `tls` where the connection is plain.
    """

    method: AuthMethod
    login: bytes
    password: Secret | None
    protocol: Protocol
    attempt: int
    client_ip: bytes
    salt: bytes | None = None
    client_host: bytes | None = None
    proxy_protocol: ProxyHeader | None = None
    smtp: SmtpEnvelope | None = None
    tls: TlsFacts | None = None


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
            _PROTOCOL_NAMES[request.protocol],
            request.attempt,
            request.client_ip,
            _optional_headers(request),
            self._tail,
        )


def _optional_headers(request: AuthRequest) -> bytes:
    headers = b""
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
    return _ESCAPED_BYTES.sub(lambda match: b"%%%02X" % ord(match[0]), value)


@dataclass(slots=True)
class Accepted:
    """The client may log in at `address`; None leaves login or password as the client sent it."""

    address: Address
    login: bytes | None = None
    password: Secret | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The client may not log in.

    `text` is one line for the client, without tag or code; SMTP clients see `code` before it. `wait` is seconds
    to hold the reply back before the session goes on; 0 sends it now and closes. `login` is for the log. `sasl` is
    the last challenge of XOAUTH2 and OAUTHBEARER, in base64 (freenginx's Auth-Error-SASL); None for no challenge.
    """

    text: bytes
    wait: int = 0
    code: bytes = DEFAULT_ERROR_CODE
    login: bytes | None = None
    sasl: bytes | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Ask again after `seconds`, at least 1, with `login` and `password` where they are not None."""

    seconds: int
    login: bytes | None = None
    password: Secret | None = None


Verdict = Accepted | Rejected | Wait


class InvalidResponse(ProtocolError):
    """What a response did wrong; the text continues "auth http server ADDRESS ".

    `login` is the Auth-User that came before that, for the log.
    """

    def __init__(self, message: str, login: bytes | None = None) -> None:
        super().__init__(Party.AUTH_SERVICE, message)
        self.login = login


class AuthResponseParser:
    """Reads one response up to its blank line; what a body says is never looked at."""

    __slots__ = ("_buffer", "_fields", "_length", "_persistent", "_statuses", "_verdict")

    def __init__(self) -> None:
        self._buffer = b""
        self._length = 0  # of the lines that were taken
        self._fields: dict[bytes, bytes] | None = None
        self._persistent = False
        self._statuses: list[bytes] = []
        self._verdict: Verdict | None = None

    def feed(self, data: bytes) -> None:
        """Store what was received."""
        self._buffer += data

    def next(self) -> Verdict | None:
        """The verdict, None while the header is incomplete.

        Raises InvalidResponse as soon as a line is wrong, or when the header ends without a usable verdict.
        """
        try:
            if self._verdict is None:
                self._read()
        except ProtocolError as error:
            raise InvalidResponse(str(error), (self._fields or {}).get(b"auth-user")) from None
        return self._verdict

    @property
    def begun(self) -> bool:
        """Whether anything was received."""
        return bool(self._length or self._buffer)

    def missing(self) -> int | None:
        """After the verdict: bytes of the body that are still to come before the connection can be used again.

        None where it cannot be: the service says so, has sent too much, or does not say where its response ends.
        """
        fields = self._fields
        if not fields or not self._persistent or b"transfer-encoding" in fields:
            return None
        if b"close" in [option.strip() for option in fields.get(b"connection", b"").lower().split(b",")]:
            return None
        if not _LENGTH.fullmatch(fields.get(b"content-length", b"")):
            return None
        left = int(fields[b"content-length"]) - len(self._buffer)
        return left if left >= 0 else None

    def end_of_input(self) -> None:
        """The service closed its connection. Raises InvalidResponse unless the verdict is there."""
        if self.next() is None:
            raise InvalidResponse("prematurely closed connection")

    def _read(self) -> None:
        taken = self._take_lines(self._buffer)
        self._buffer = self._buffer[taken:]
        self._length += taken
        body_follows = self._verdict is not None
        if self._length + (0 if body_follows else len(self._buffer)) > RESPONSE_HEADER_LIMIT:
            raise InvalidResponse("sent too large response header")

    def _take_lines(self, buffer: bytes) -> int:
        """Read the whole lines of `buffer`; gives their length."""
        start = 0
        if self._fields is None:
            start = buffer.find(b"\n") + 1
            if not start:
                return 0
            if not _SUCCESS.fullmatch(buffer[: start - 1].removesuffix(b"\r")):
                raise InvalidResponse("sent invalid response")
            self._fields = {}
            self._persistent = buffer.startswith(b"HTTP/1.1 ") and not buffer.startswith(b"HTTP/1.1 204")
        headers = _HEADERS.match(buffer, start)
        assert headers is not None  # it may be empty
        for name, value in _HEADER.findall(buffer, start, headers.end()):
            self._take_header(name.lower(), value.strip(b" "), self._fields)
        blank = _BLANK.match(buffer, headers.end())
        if blank is not None:
            self._verdict = _verdict(self._statuses, self._fields)
            return blank.end()
        if buffer.find(b"\n", headers.end()) >= 0:
            raise InvalidResponse("sent invalid header in response")
        return headers.end()

    def _take_header(self, name: bytes, value: bytes, fields: dict[bytes, bytes]) -> None:
        if name == b"auth-status":
            self._statuses.append(value)
        elif name in _FRAMING and name in fields:
            fields[name] += b"," + value
        else:
            fields[name] = value


def _verdict(statuses: list[bytes], fields: dict[bytes, bytes]) -> Verdict:
    """In the order of nginx: a refusal outweighs WAIT, WAIT outweighs OK, wherever they stand."""
    refusals = [status for status in statuses if status not in (b"OK", b"WAIT")]
    if not statuses or refusals[-1:] == [b""]:
        raise InvalidResponse("did not send status")
    if refusals:
        return _rejected(refusals[-1], fields)
    login, password = fields.get(b"auth-user"), _password(fields)
    if b"WAIT" in statuses:
        return Wait(_wait(fields) or WAIT_WITHOUT_TIME, login, password)
    return Accepted(_address(fields), login, password)


def _rejected(text: bytes, fields: dict[bytes, bytes]) -> Rejected:
    code = fields.get(b"auth-error-code", b"")
    return Rejected(
        text=text.translate(_CONTROL_TO_SPACE),
        wait=_wait(fields),
        code=code if _NEGATIVE_CODE.fullmatch(code) else DEFAULT_ERROR_CODE,
        login=fields.get(b"auth-user"),
        sasl=fields.get(b"auth-error-sasl", b"").translate(_CONTROL_TO_SPACE) or None,
    )


def _password(fields: dict[bytes, bytes]) -> Secret | None:
    password = fields.get(b"auth-pass")
    return None if password is None else Secret(password)


def _wait(fields: dict[bytes, bytes]) -> int:
    match = _WAIT.fullmatch(fields.get(b"auth-wait", b""))
    return min(int(match[1]), _LONGEST_WAIT) if match else 0


def _address(fields: dict[bytes, bytes]) -> Address:
    server, port = fields.get(b"auth-server", b""), fields.get(b"auth-port", b"")
    if server.startswith(b"unix:/"):
        return UnixAddress(server[len(b"unix:") :].decode(errors="surrogateescape"))
    if not server or not port:
        raise InvalidResponse("did not send server or port")
    return read_server(server, port)
