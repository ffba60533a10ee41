"""The built-in format `json`: an object of what is known of a session, by the names of the variables.

What is not known is left out. Of a backend that was tried after others only the address tells of these, so that numbers
are numbers always.
"""

from __future__ import annotations

import os
import socket
from typing import Final

from mailworker.model import METHOD_NAMES, InetAddress
from mailworker.native.core.line import Line, Slot
from mailworker.variables.escapes import valid_json
from mailworker.variables.facts import Certificate, Facts, Tls
from mailworker.variables.render import Render
from mailworker.variables.table import address_text, iso8601_ms, status

_METHODS: Final = {None: None} | {method: names.directive for method, names in METHOD_NAMES.items()}

_UNAVAILABLE: Final = b"[UNAVAILABLE]"


def _string(name: str) -> Slot:
    return Slot(b'"%b":"' % name.encode(), b'",', None, valid_json)


def _number(name: str) -> Slot:
    return Slot(b'"%b":' % name.encode(), b",")


# Members that are put together elsewhere.
_MEMBERS: Final = Slot(b"", b",")

_text = Line(
    (
        Slot(b'{"time_iso8601_ms":"', b'",'),
        *(_string("log_event"), _string("session_id"), _number("connection"), _MEMBERS, _string("remote_addr")),
        *(_number("remote_port"), _string("server_addr"), _number("server_port"), _MEMBERS),
        *(_string("auth_user"), _string("remote_user"), _number("auth_attempts"), _string("auth_method")),
        *(_string("auth_source"), _number("auth_time"), _MEMBERS, Slot(b"")),
        *(_string("session_end"), _string("session_state"), _number("status"), _number("session_time")),
        *(_number("bytes_received"), Slot(b'"bytes_sent":')),
    ),
    b"}\n",
).text

_backends = Line(
    (
        *(_string("upstream_addr"), _number("upstream_bytes_received"), _number("upstream_bytes_sent")),
        *(_number("upstream_session_time"), _number("upstream_connect_time"), _number("upstream_first_byte_time")),
        _number("upstream_login_time"),
    ),
    b"",
).text


def json_line(_dated: bool) -> Render:
    """What writes the lines of a server, each with its LF."""
    same: list[bytes] = []  # what is the same in all lines of a worker, put together when the first is written

    def render(facts: Facts) -> bytes:
        if not same:
            same.append(_constant(facts))
        entrance, client, ending = facts.entrance, facts.client_bytes, facts.reason
        local, sessions = entrance.local or facts.local, entrance.sessions
        inet = local if isinstance(local, InetAddress) else None
        now = sessions.loop.now
        attempts, auth = facts.attempts, facts.auth_ms
        return _text(
            iso8601_ms(),
            facts.event or "",
            sessions.identify(facts.accepted, facts.number),
            facts.number,
            same[0],
            facts.client,
            facts.port,
            None if inet is None else inet.host,
            None if inet is None else inet.port,
            None if facts.who is None and client.tls is None else _of_client(facts),
            facts.auth_user if attempts else None,
            facts.login if attempts else None,
            attempts or None,
            _METHODS[facts.method],
            entrance.source if attempts else None,
            None if auth is None else auth / 1000,
            None if facts.rare is None else _of_login(facts),
            _of_backends(facts, now),
            None if ending is None else ending.word,
            None if ending is None else ending.pair,
            (status(facts) or b"0") if ending is None else ending.status,
            now - facts.accepted,
            client.received,
            client.sent,
        )

    return render


def _constant(facts: Facts) -> bytes:
    return b'"pid":%d,"hostname":"%b","protocol":"%b","server_name":"%b"' % (
        os.getpid(),
        valid_json(socket.gethostname().lower().encode()),
        facts.protocol.encode(),
        valid_json(facts.server_name),
    )


def _of_client(facts: Facts) -> bytes | None:
    """What the connection with the client has more than others: a PROXY header, a name, TLS."""
    parts: list[bytes] = []
    if facts.proxy_texts is not None:
        _add_proxy_header(parts, facts, facts.proxy_texts)
    if facts.host != _UNAVAILABLE:
        parts.append(b'"remote_host":"%b"' % valid_json(facts.host))
    tls = facts.client_bytes.tls
    if tls is not None:
        _add_tls(parts, facts, tls)
    return b",".join(parts) or None


def _add_proxy_header(parts: list[bytes], facts: Facts, texts: tuple[bytes, bytes, bytes, bytes]) -> None:
    parts.append(
        b'"proxy_protocol_addr":"%b","proxy_protocol_port":"%b",'
        b'"proxy_protocol_server_addr":"%b","proxy_protocol_server_port":"%b"' % texts
    )
    peer = facts.peer
    if isinstance(peer, InetAddress):
        parts.append(b'"realip_remote_addr":"%b","realip_remote_port":%d' % (peer.host.encode(), peer.port))


def _add_tls(parts: list[bytes], facts: Facts, tls: Tls) -> None:
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


def _add_certificate(parts: list[bytes], tls: Tls, certificate: Certificate) -> None:
    code, text = tls.verify_result
    _add_texts(
        parts, ssl_client_verify=f"FAILED:{text}".encode() if code else b"SUCCESS",
        ssl_client_s_dn=certificate.subject, ssl_client_i_dn=certificate.issuer, ssl_client_serial=certificate.serial,
        ssl_client_fingerprint=certificate.fingerprint,
        ssl_client_v_start=certificate.not_before, ssl_client_v_end=certificate.not_after,
    )  # fmt: skip


def _of_login(facts: Facts) -> bytes | None:
    """What the login of most sessions does not have: words of SMTP clients."""
    parts: list[bytes] = []
    if facts.attempts and facts.helo:
        parts.append(b'"smtp_helo":"%b"' % valid_json(facts.helo))
    if facts.attempts and facts.envelope is not None:
        _add_texts(parts, smtp_mail_from=facts.envelope.mail, smtp_rcpt_to=facts.envelope.rcpt)
    return b",".join(parts) or None


def _of_backends(facts: Facts, now: float) -> bytes | None:
    """What is told of those that were tried, which most sessions have one of, where they are logged in."""
    since, login, traffic = facts.logged_in, facts.login_ms, facts.backend_bytes
    if facts.rare is None and since is not None and login is not None and traffic is not None:
        seconds = login / 1000
        lasted = seconds + (now - since)
        return _backends(address_text(facts.backend), traffic.received, traffic.sent, lasted, None, None, seconds)
    tries = facts.tries
    if not tries:
        return None
    last, addresses = tries[-1], b", ".join([each.address for each in tries])
    return _backends(addresses, last.received, last.sent, last.session, last.connect, last.first_byte, last.login)


def _add_texts(parts: list[bytes], **texts: bytes | None) -> None:
    for name, text in texts.items():
        if text is not None:
            parts.append(b'"%b":"%b"' % (name.encode(), valid_json(text)))
