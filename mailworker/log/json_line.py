"""The built-in format `json`: one object for a session, whose members have the names of variables.

Unknown values are left out. If several backends were tried, only the address lists all of them; the other members
describe the last one, so that numbers are always numbers.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable
from typing import Final

from mailworker.model import InetAddress
from mailworker.native.core.line import Line, Slot
from mailworker.variables.escapes import valid_json
from mailworker.variables.facts import Certificate, Facts, Render, Tls
from mailworker.variables.source import Kind, Source, asked, at
from mailworker.variables.table import SOURCES, address_text, iso8601_offset, iso8601_second
from mailworker.variables.tls_table import verify_text

_UNAVAILABLE: Final = b"[UNAVAILABLE]"


def _string(name: str, source: Source) -> Slot:
    return Slot(b'"%b":"' % name.encode(), b'",', None, valid_json, source)


def _number(name: str, source: Source) -> Slot:
    return Slot(b'"%b":' % name.encode(), b",", None, None, source)


def _members(function: Callable[[Facts], bytes | None], when: str) -> Slot:
    """Members that few sessions have: those whose attribute `when` is set."""
    return Slot(b"", b",", source=asked(function, when=when))


def _strings(*names: str) -> Iterable[Slot]:
    return (_string(name, SOURCES[name]) for name in names)


def _numbers(*names: str) -> Iterable[Slot]:
    return (_number(name, SOURCES[name]) for name in names)


def _of_only_backend(name: str, kind: Kind, *paths: str) -> Slot:
    """A member for the usual case: one backend was tried, and the session is logged in there."""
    return _number(name, Source(kind, paths, None, "logged_in", "rare.tries"))


def _local_host(facts: Facts) -> str | None:
    local = facts.local
    return local.host if isinstance(local, InetAddress) else None


_last_backend: Final = Line(
    (
        *(_number("upstream_bytes_received", at("received")), _number("upstream_bytes_sent", at("sent"))),
        *(_number("upstream_session_time", at("session")), _number("upstream_connect_time", at("connect"))),
        *(_number("upstream_first_byte_time", at("first_byte")), _number("upstream_login_time", at("login"))),
    ),
    b"",
).of


def _constant(facts: Facts) -> bytes:
    return b'"pid":%d,"hostname":"%b","protocol":"%b","server_name":"%b"' % (
        os.getpid(),
        valid_json(socket.gethostname().lower().encode()),
        facts.protocol.encode(),
        valid_json(facts.server_name),
    )


def _of_client(facts: Facts) -> bytes | None:
    """The members that few clients have: a PROXY header, a host name."""
    parts: list[bytes] = []
    if facts.proxy_texts is not None:
        _add_proxy_header(parts, facts, facts.proxy_texts)
    if facts.host != _UNAVAILABLE:
        parts.append(b'"remote_host":"%b"' % valid_json(facts.host))
    return b",".join(parts) or None


def _add_proxy_header(parts: list[bytes], facts: Facts, texts: tuple[bytes, bytes, bytes, bytes]) -> None:
    parts.append(
        b'"proxy_protocol_addr":"%b","proxy_protocol_port":"%b",'
        b'"proxy_protocol_server_addr":"%b","proxy_protocol_server_port":"%b"' % texts
    )
    peer = facts.peer
    if isinstance(peer, InetAddress):
        parts.append(b'"realip_remote_addr":"%b","realip_remote_port":%d' % (peer.host.encode(), peer.port))


def _of_tls(facts: Facts) -> bytes:
    """The members about the client's TLS."""
    parts, tls = list[bytes](), facts.client_bytes.tls
    if facts.starttls:
        parts.append(b'"starttls":"on"')
    if facts.handshake_seconds is not None:
        parts.append(b'"tls_handshake_time":%.3f' % facts.handshake_seconds)
    parts.append(
        b'"ssl_protocol":"%b","ssl_cipher":"%b","ssl_session_reused":"%b"'
        % (tls.protocol.encode(), tls.cipher.encode(), b"r" if tls.reused else b".")
    )
    _add_texts(
        parts, ssl_curve=tls.curve, ssl_sigalg=tls.signature_scheme, ssl_session_id=tls.session_id,
        ssl_server_name=tls.server_name, ssl_alpn_protocol=tls.alpn,
    )  # fmt: skip
    certificate = tls.peer_certificate
    if certificate is not None:
        _add_certificate(parts, tls, certificate)
    return b",".join(parts)


def _add_certificate(parts: list[bytes], tls: Tls, certificate: Certificate) -> None:
    _add_texts(
        parts, ssl_client_verify=verify_text(tls),
        ssl_client_s_dn=certificate.subject, ssl_client_i_dn=certificate.issuer, ssl_client_serial=certificate.serial,
        ssl_client_fingerprint=certificate.fingerprint,
        ssl_client_v_start=certificate.not_before, ssl_client_v_end=certificate.not_after,
    )  # fmt: skip


def _of_login(facts: Facts) -> bytes | None:
    """The members that most logins lack: what SMTP clients have said."""
    parts: list[bytes] = []
    if facts.attempts and facts.helo:
        parts.append(b'"smtp_helo":"%b"' % valid_json(facts.helo))
    if facts.attempts and facts.envelope is not None:
        _add_texts(parts, smtp_mail_from=facts.envelope.mail, smtp_rcpt_to=facts.envelope.rcpt)
    return b",".join(parts) or None


def _of_backends(facts: Facts) -> bytes | None:
    """The members about the backends that were tried."""
    tries = facts.tries
    if not tries:
        return None
    addresses = b", ".join([each.address for each in tries])
    return b'"upstream_addr":"%b",' % valid_json(addresses) + _last_backend(tries[-1])


def _add_texts(parts: list[bytes], **texts: bytes | None) -> None:
    for name, text in texts.items():
        if text is not None:
            parts.append(b'"%b":"%b"' % (name.encode(), valid_json(text)))


_FORM: Final = (
    Slot(b'{"time_iso8601_ms":"', source=Source(Kind.SECOND, (), iso8601_second)),
    Slot(b".", source=Source(Kind.MILLISECOND)),
    Slot(b"", b'",', source=Source(Kind.SECOND, (), iso8601_offset)),
    *(*_strings("log_event", "session_id"), *_numbers("connection")),
    Slot(b"", b",", source=Source(Kind.ONCE, (), _constant)),
    *(*_strings("remote_addr"), _number("remote_port", at("port"))),
    _string("server_addr", at("entrance.host", _local_host, when="entrance.port")),
    _number("server_port", at("entrance.port")),
    *(_members(_of_client, "who"), _members(_of_tls, "client_bytes.tls")),
    *(*_strings("auth_user", "remote_user"), _number("auth_attempts", at("attempts", when="attempts"))),
    *(*_strings("auth_method", "auth_source"), *_numbers("auth_time")),
    _members(_of_login, "rare"),
    _string("upstream_addr", Source(Kind.SPELLED, ("backend",), address_text, "logged_in", "rare.tries")),
    _of_only_backend("upstream_bytes_received", Kind.AT, "backend_bytes.received"),
    _of_only_backend("upstream_bytes_sent", Kind.AT, "backend_bytes.sent"),
    _of_only_backend("upstream_session_time", Kind.DIFFERENCE, "entrance.sessions.loop.now", "logged_in", "login_ms"),
    _of_only_backend("upstream_connect_time", Kind.AT, "rare.connect"),
    _of_only_backend("upstream_first_byte_time", Kind.AT, "rare.first_byte"),
    _of_only_backend("upstream_login_time", Kind.THOUSANDTH, "login_ms"),
    Slot(b"", source=Source(Kind.ASKED, (), _of_backends, "rare.tries")),
    Slot(b"", source=Source(Kind.ASKED, (), _of_backends, "started", "rare.tries")),
    *_strings("session_end", "session_state"),
    *_numbers("status", "session_time", "bytes_received"),
    Slot(b'"bytes_sent":', source=SOURCES["bytes_sent"]),
)


def json_line(_dated: bool) -> Render:
    """The function that renders the lines of a server, each with its LF."""
    return Line(_FORM, b"}\n").of
