"""The built-in format `json`: an object of what is known of a session, by the names of the variables.

What is not known is left out. Of a backend that was tried after others only the address tells of these, so that numbers
are numbers always.
"""

from __future__ import annotations

import os
import socket

from mailworker.model import METHOD_NAMES, InetAddress
from mailworker.variables.escapes import valid_json
from mailworker.variables.facts import Certificate, Facts, Tls, Try
from mailworker.variables.render import Render
from mailworker.variables.table import iso8601_ms, status

_METHODS = {method: names.directive.encode() for method, names in METHOD_NAMES.items()}

_UNAVAILABLE = b"[UNAVAILABLE]"


def json_line(_dated: bool) -> Render:
    """What writes the lines of a server."""
    return _JsonLine()


class _JsonLine:
    """Puts together what is the same in all lines of a worker when the first is written."""

    __slots__ = ("_constant",)

    def __init__(self) -> None:
        self._constant = b""

    def __call__(self, facts: Facts) -> bytes:
        """The line with its LF."""
        constant = self._constant
        if not constant:
            self._constant = constant = _constant(facts)
        local = facts.local
        parts = [
            b'{"time_iso8601_ms":"%b","log_event":"%b","session_id":"%b","connection":%d,%b,"remote_addr":"%b"'
            % (
                iso8601_ms(facts),
                (facts.event or "").encode(),
                facts.session_id,
                facts.number,
                constant,
                facts.client.encode(),
            )
        ]
        if facts.port is not None:
            parts.append(b'"remote_port":%d' % facts.port)
        if isinstance(local, InetAddress):
            parts.append(b'"server_addr":"%b","server_port":%d' % (local.host.encode(), local.port))
        if facts.proxy_texts is not None:
            _add_proxy_header(parts, facts, facts.proxy_texts)
        if facts.host != _UNAVAILABLE:
            parts.append(b'"remote_host":"%b"' % valid_json(facts.host))
        tls = facts.client_bytes.tls
        if tls is not None:
            _add_tls(parts, facts, tls)
        if facts.attempts:
            _add_login(parts, facts)
        if facts.tries:
            _add_tries(parts, facts)
        _add_end(parts, facts)
        return b",".join(parts)


def _constant(facts: Facts) -> bytes:
    return b'"pid":%d,"hostname":"%b","protocol":"%b","server_name":"%b"' % (
        os.getpid(),
        valid_json(socket.gethostname().lower().encode()),
        facts.protocol.encode(),
        valid_json(facts.server_name),
    )


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


def _add_login(parts: list[bytes], facts: Facts) -> None:
    user, name = facts.auth_user, facts.login
    assert user is not None
    written = valid_json(user)
    parts.append(
        b'"auth_user":"%b","remote_user":"%b","auth_attempts":%d'
        % (written, written if name is user else valid_json(name), facts.attempts)
    )
    if facts.method is not None:
        parts.append(b'"auth_method":"%b"' % _METHODS[facts.method])
    if facts.auth_source is not None:
        parts.append(b'"auth_source":"%b"' % facts.auth_source.encode())
    if facts.auth_seconds is not None:
        parts.append(b'"auth_time":%.3f' % facts.auth_seconds)
    if facts.helo:
        parts.append(b'"smtp_helo":"%b"' % valid_json(facts.helo))
    envelope = facts.envelope
    if envelope is not None:
        _add_texts(parts, smtp_mail_from=envelope.mail, smtp_rcpt_to=envelope.rcpt)


def _add_tries(parts: list[bytes], facts: Facts) -> None:
    tries = facts.tries
    last: Try = tries[-1]
    addresses = last.address if len(tries) == 1 else b", ".join(each.address for each in tries)
    parts.append(
        b'"upstream_addr":"%b","upstream_bytes_received":%d,"upstream_bytes_sent":%d,"upstream_session_time":%.3f'
        % (valid_json(addresses), last.received, last.sent, last.session)
    )
    if last.connect is not None:
        parts.append(b'"upstream_connect_time":%.3f' % last.connect)
    if last.first_byte is not None:
        parts.append(b'"upstream_first_byte_time":%.3f' % last.first_byte)
    if last.login is not None:
        parts.append(b'"upstream_login_time":%.3f' % last.login)


def _add_end(parts: list[bytes], facts: Facts) -> None:
    ending, traffic = facts.reason, facts.client_bytes
    if ending is not None:
        parts.append(b'"session_end":"%b","session_state":"%b"' % (ending.word.encode(), ending.pair.encode()))
    parts.append(
        b'"status":%b,"session_time":%.3f,"bytes_received":%d,"bytes_sent":%d}\n'
        % (status(facts) or b"0", facts.seconds, traffic.received, traffic.sent)
    )


def _add_texts(parts: list[bytes], **texts: bytes | None) -> None:
    for name, text in texts.items():
        if text is not None:
            parts.append(b'"%b":"%b"' % (name.encode(), valid_json(text)))
