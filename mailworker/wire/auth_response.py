"""Responses of the auth_http protocol: the verdict on a login is in the response headers.

They are read as in nginx (ngx_mail_auth_http_module.c), except where nginx would accept a login without a clear yes:
OK needs an HTTP status of 2xx, and Auth-Status must be present. A refusal is valid with any HTTP status.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from typing import ClassVar, Literal

from mailworker.errors import Party, ProtocolError, escape
from mailworker.model import (
    METHOD_NAMES,
    Address,
    AuthMethod,
    BackendName,
    InetAddress,
    UnixAddress,
    host_name,
    ipv4_octets,
)
from mailworker.wire.response_body import Body, framed, rest
from mailworker.wire.secret import Secret

RESPONSE_HEADER_LIMIT = 32768
"""The most bytes of status line and headers. nginx has 1024, which a long error text or a token can exceed."""

DEFAULT_ERROR_CODE = b"535 5.7.0"
"""The code for SMTP clients if the service sent no usable Auth-Error-Code (nginx)."""

WAIT_WITHOUT_TIME = 1
"""Seconds until a retry if WAIT came without a positive Auth-Wait; nginx retries at once and for ever."""

# RFC 9112 section 4, any version number
_STATUS_LINE = re.compile(rb"HTTP/([0-9.]+) +([1-5][0-9][0-9])(?: [^\r\0]*)?")

# nginx: a name without a colon is a header with an empty value; no value contains CR or NUL
_NAME = re.compile(rb"[a-z0-9][a-z0-9-]*")
_CR, _NUL = 0x0D, 0x00

KNOWN_HEADERS = frozenset(
    (
        b"auth-status",
        b"auth-server",
        b"auth-port",
        b"auth-user",
        b"auth-pass",
        b"auth-wait",
        b"auth-error-code",
        b"auth-method",
        b"auth-backend-mech",
        b"auth-master-user",
        b"auth-error-sasl",
        b"connection",
        b"content-length",
        b"transfer-encoding",
    )
)
"""The headers that are used; their names need no check."""

_MECHANISMS = {
    METHOD_NAMES[method].directive.encode(): method
    for method in (AuthMethod.PLAIN, AuthMethod.LOGIN, AuthMethod.XOAUTH2, AuthMethod.OAUTHBEARER)
}

# Headers that decide whether a connection can be used again; if repeated, they form a list (RFC 9110 section 5.3).
_FRAMING = (b"connection", b"content-length", b"transfer-encoding")

_PORT = re.compile(rb"0*([1-9][0-9]{0,4})")

# A number of more than nine digits is no waiting time but an error of the service.
_WAIT = re.compile(rb"0*([0-9]{1,9})")

# Seconds. No client waits longer, and a client that just stays connected must not do so for years.
_LONGEST_WAIT = 3600

# RFC 5321 section 4.2: a negative reply's code, then what may follow it on the line
_NEGATIVE_CODE = re.compile(rb"[45][0-9]{2}(?: [\x20-\x7e]*)?")

_NOTHING: Mapping[str, bytes] = {}

_CONTROL_TO_SPACE = bytes(0x20 if byte < 0x20 or byte == 0x7F else byte for byte in range(256))


@dataclass(frozen=True, slots=True)
class Accepted:
    """The client may log in to the backend at `address`, None for the one that `proxy_pass` names.

    None leaves login or password as the client sent it. `passed_on`: the backend decides whether they are right, so it
    gets them unchanged, by the client's own mechanism if that has no password. `mechanism` and `master` are those of
    `Login`. `only_renames`: nothing is said but the address and the name, so a login by PLAIN keeps all but its name.
    """

    accepted: ClassVar[Literal[True]] = True

    address: Address | BackendName | None
    login: bytes | None = None
    password: Secret | None = None
    passed_on: bool = False
    mechanism: AuthMethod | None = None
    master: bytes | None = None
    only_renames: bool = field(init=False, compare=False)

    def __post_init__(self) -> None:
        more = self.passed_on or self.password is not None or self.mechanism is not None or self.master is not None
        object.__setattr__(self, "only_renames", not more)


@dataclass(frozen=True, slots=True)
class Rejected:
    """The client may not log in.

    `text` is one line for the client, without tag or code; SMTP clients see `code` before it. `wait` is the delay of
    the reply in seconds, after which the session goes on; 0 sends it now and closes. `login` is for the log. `sasl` is
    the last challenge of XOAUTH2 and OAUTHBEARER, in base64 (freenginx's Auth-Error-SASL); None for no challenge.
    `final` is False if the session goes on without a delay, too. `for_now`: a backend's refusal is temporary.
    """

    accepted: ClassVar[Literal[False]] = False
    only_renames: ClassVar[Literal[False]] = False

    text: bytes
    wait: int = 0
    code: bytes = DEFAULT_ERROR_CODE
    login: bytes | None = None
    sasl: bytes | None = None
    final: bool = True
    for_now: bool = False

    @property
    def temporary(self) -> bool:
        """Whether the refusal is temporary, and not about the password; our own have SMTP codes in all protocols."""
        return self.for_now or self.code.startswith(b"4")


@dataclass(frozen=True, slots=True)
class Wait:
    """The source must be asked again after `seconds`, at least 1, with `login` and `password` unless they are None."""

    accepted: ClassVar[Literal[False]] = False

    seconds: int
    login: bytes | None = None
    password: Secret | None = None


Verdict = Accepted | Rejected | Wait


class InvalidResponse(ProtocolError):
    """The error in a response; its text continues "auth http server ADDRESS ".

    `login` is the Auth-User that came before the error, for the log.
    """

    def __init__(self, message: str, login: bytes | None = None) -> None:
        super().__init__(Party.AUTH_SERVICE, message)
        self.login = login


class AuthResponseParser:
    """Reads one response up to its blank line; a body is never read.

    `names` tells whether Auth-Server may be a host name, which is an invalid address for nginx; `nameless` whether
    Auth-Server and Auth-Port may both be absent.
    """

    __slots__ = (
        "_buffer", "_code", "_fields", "_length", "_nameless", "_names", "_persistent", "_statuses", "_verdict",
    )  # fmt: skip

    def __init__(self, *, names: bool = False, nameless: bool = False) -> None:
        self._names = names
        self._nameless = nameless
        self._buffer = b""
        self._length = 0  # of the lines read so far
        self._fields: dict[bytes, bytes] | None = None
        self._persistent = False
        self._code = b""
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
            if self._buffer and self._verdict is None:
                self._read()
        except InvalidResponse as error:
            raise InvalidResponse(str(error), (self._fields or {}).get(b"auth-user")) from None
        return self._verdict

    @property
    def left(self) -> int:
        """After the verdict: the number of bytes received after the header."""
        return len(self._buffer)

    def headers(self, names: Collection[str]) -> Mapping[str, bytes]:
        """After the verdict: the headers with one of `names`, in lower case with "_" for "-"."""
        if not names or self._fields is None:
            return _NOTHING
        told = ((name.decode().replace("-", "_"), value) for name, value in self._fields.items())
        return {name: value for name, value in told if name in names}

    def missing(self) -> Body | None:
        """After the verdict: what must still be read of the body before the connection can be used again.

        None if it cannot be: the service closes it, has sent too much, or does not tell where its response ends.
        """
        fields = self._fields
        if not fields or not self._persistent:
            return None
        options = fields.get(b"connection", b"").lower()
        if options and b"close" in [option.strip() for option in options.split(b",")]:
            return None
        return rest(framed(self._code, fields), self._buffer)

    def _read(self) -> None:
        """Read whole lines, up to the blank one."""
        received = len(self._buffer)
        *lines, self._buffer = self._buffer.split(b"\n")
        for number, ended in enumerate(lines, 1):
            line = ended.removesuffix(b"\r")
            if self._fields is None:
                self._code, self._persistent = _http_status(line)
                self._fields = {}
            elif line:
                self._take_header(line, self._fields)
            else:
                self._verdict = self._judge(self._fields)
                self._buffer = b"\n".join([*lines[number:], self._buffer])
                break
        self._length += received - len(self._buffer)
        body_follows = self._verdict is not None
        if self._length + (0 if body_follows else len(self._buffer)) > RESPONSE_HEADER_LIMIT:
            raise InvalidResponse("sent too large response header")

    def _judge(self, fields: dict[bytes, bytes]) -> Verdict:
        """The verdict of a complete header. Without a 2xx status it can only be a refusal, or WAIT."""
        if self._code[:1] != b"2" and not _refuses(self._statuses):
            raise InvalidResponse(f"sent invalid response with HTTP status {self._code.decode()}")
        return self._decide(self._statuses, fields)

    def _decide(self, statuses: list[bytes], fields: dict[bytes, bytes]) -> Verdict:
        """The verdict in nginx's order: a refusal overrides WAIT, WAIT overrides OK, in any order of the headers."""
        if statuses == [b"OK"]:
            return self._accept(fields)
        refusals = [status for status in statuses if status not in (b"OK", b"WAIT")]
        if not statuses or refusals[-1:] == [b""]:
            raise InvalidResponse("did not send status")
        if refusals:
            return _rejected(refusals[-1], fields)
        if b"WAIT" in statuses:
            return Wait(_wait(fields) or WAIT_WITHOUT_TIME, fields.get(b"auth-user"), _password(fields))
        return self._accept(fields)

    def _accept(self, fields: dict[bytes, bytes]) -> Accepted:
        silent = self._nameless and b"auth-server" not in fields and b"auth-port" not in fields
        address = None if silent else _address(fields, self._names)
        accepted = Accepted(address, fields.get(b"auth-user"), _password(fields))
        if b"auth-method" in fields or b"auth-backend-mech" in fields or b"auth-master-user" in fields:
            mechanism, master = _way_in(fields)
            return replace(accepted, mechanism=mechanism, master=master)
        return accepted

    def _take_header(self, line: bytes, fields: dict[bytes, bytes]) -> None:
        name, _, value = line.partition(b":")
        name = name.lower()
        if _CR in value or _NUL in value or not (name in KNOWN_HEADERS or _NAME.fullmatch(name)):
            raise InvalidResponse("sent invalid header in response")
        value = value.strip(b" ")
        if name == b"auth-status":
            self._statuses.append(value)
        elif name in fields and name in _FRAMING:
            fields[name] += b"," + value
        else:
            fields[name] = value


@lru_cache(maxsize=64)  # a service has few status lines
def _http_status(line: bytes) -> tuple[bytes, bool]:
    """The code of a status line, which is given without its end, and whether the connection may stay open.

    Raises InvalidResponse.
    """
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise InvalidResponse("sent invalid response")
    version, code = match.groups()
    return code, version == b"1.1" and code[:1] != b"1"


def _refuses(statuses: list[bytes]) -> bool:
    """Whether Auth-Status has another value than OK; an empty one is ignored."""
    return any(status not in (b"OK", b"") for status in statuses)


def _way_in(fields: dict[bytes, bytes]) -> tuple[AuthMethod | None, bytes | None]:
    """How to log in to the backend: the mechanism, and the user that acts for the login.

    Auth-Method is also a header of the request, and a service may repeat it: only `none` has a meaning here.
    """
    if fields.get(b"auth-method", b"").lower() == b"none":
        return AuthMethod.NONE, None
    name, master = fields.get(b"auth-backend-mech", b""), fields.get(b"auth-master-user") or None
    mechanism = _MECHANISMS.get(name.lower()) if name else None
    if name and mechanism is None:
        raise InvalidResponse(f'sent invalid backend mechanism:"{escape(name)}"')
    if master is None:
        return mechanism, None
    if mechanism not in (None, AuthMethod.PLAIN):
        raise InvalidResponse(f'sent master user for backend mechanism:"{escape(name)}"')
    return AuthMethod.PLAIN, master


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


def _address(fields: dict[bytes, bytes], names: bool) -> Address | BackendName:
    server, port = fields.get(b"auth-server", b""), fields.get(b"auth-port", b"")
    if server[:6] == b"unix:/":
        return UnixAddress(server[len(b"unix:") :].decode(errors="surrogateescape"))
    if not server or not port:
        raise InvalidResponse("did not send server or port")
    return host_and_port(server, port, names)


@lru_cache(maxsize=4096)  # there are few backends and many logins
def host_and_port(server: bytes, port: bytes, names: bool) -> InetAddress | BackendName:
    """The backend of Auth-Server and Auth-Port. Raises InvalidResponse for a wrong address."""
    host = _ipv4(server) or _ipv6(server)
    name = host_name(server) if host is None and names else None
    known = host or name
    if known is None:
        raise InvalidResponse(f'sent invalid server address:"{escape(server)}"')
    number = _PORT.fullmatch(port)
    if number is None or int(number[1]) > 65535:
        raise InvalidResponse(f'sent invalid server port:"{escape(port)}"')
    return (BackendName if host is None else InetAddress)(known, int(number[1]))


def _ipv4(text: bytes) -> str | None:
    octets = ipv4_octets(text)
    return None if octets is None else ".".join(map(str, octets))


def _ipv6(text: bytes) -> str | None:
    if not text.isascii() or b"%" in text:
        return None
    try:
        IPv6Address(text.decode("ascii"))
    except AddressValueError:
        return None
    return text.decode("ascii")
