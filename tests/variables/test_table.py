"""What each session knows, by nginx's names."""

from __future__ import annotations

import os
import re
import socket
import time
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest

from mailworker import __version__
from mailworker.mail.end import End
from mailworker.model import AuthMethod, UnixAddress
from mailworker.native.core import line as native
from mailworker.variables.line import Line, MakeLine, Slot, composed
from mailworker.variables.table import (
    SOURCES,
    TABLE,
    _minute,
    address_text,
    builtin,
    common_time,
    iso8601_offset,
    iso8601_second,
)
from tests.variables.facts import Backend, Session

CERTIFICATE = SimpleNamespace(
    subject=b"CN=a",
    issuer=b"CN=ca",
    serial=b"0A",
    fingerprint=b"ab",
    pem=b"-BEGIN-\nx+\n-END-\n",
    not_before=b"Nov 29 07:15:52 2026 GMT",
    not_after=b"Nov 30 07:15:52 2026 GMT",
    seconds_left=2 * 86400 + 5,
)
TLS: Any = SimpleNamespace(
    protocol="TLSv1.3",
    cipher="TLS_AES_256_GCM_SHA384",
    reused=True,
    server_name=b"mail.example.com",
    alpn=b"imap",
    curve=b"X25519",
    signature_scheme=b"ecdsa_secp256r1_sha256",
    session_id=b"00ff",
    verify_result=(0, "ok"),
    peer_certificate=CERTIFICATE,
)
ENVELOPE: Any = SimpleNamespace(mail=b"MAIL FROM:<a>", rcpt=b"RCPT TO:<b>")
FULL = Session(
    proxy_texts=(b"192.0.2.1", b"4711", b"192.0.2.2", b"993"),
    host=b"client.example.org",
    tls=TLS,
    starttls=True,
    auth_user=b"A@b@EXAMPLE.org",
    remote_user=b"a@b@example.org",
    method=AuthMethod.CRAM_MD5,
    attempts=2,
    helo=b"here",
    envelope=ENVELOPE,
    client_id=b'("name" "Mail" "support-url" "https://example.org/" "os" NIL)',
    client_id_fields={b"name": b"Mail", b"support-url": b"https://example.org/"},
    event="end",
    reason=End.CLIENT_RESET,
    received=1000,
    sent=2000,
    seconds=61.25,
    auth_seconds=0.013,
    auth_source="http",
    handshake_seconds=0.5,
    tries=(Backend(),),
    headers={"x_header": b"value"},
)
UNIX = Session(peer=UnixAddress(""), client="unix:", port=None, local=UnixAddress("/run/s"), local_port=None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("remote_addr", b"198.51.100.7"),
        ("remote_port", b"50123"),
        ("binary_remote_addr", b"\xc63d\x07"),
        ("realip_remote_addr", b"192.0.2.9"),
        ("realip_remote_port", b"4242"),
        ("proxy_protocol_addr", b"192.0.2.1"),
        ("proxy_protocol_port", b"4711"),
        ("proxy_protocol_server_addr", b"192.0.2.2"),
        ("proxy_protocol_server_port", b"993"),
        ("server_addr", b"203.0.113.1"),
        ("server_port", b"993"),
        ("server_name", b"mail.example.com"),
        ("protocol", b"imap"),
        ("connection", b"7"),
        ("hostname", socket.gethostname().lower().encode()),
        ("mailworker_version", __version__.encode()),
        ("nginx_version", __version__.encode()),
        ("remote_host", b"client.example.org"),
        ("remote_user", b"a@b@example.org"),
        ("remote_user_local", b"a@b"),
        ("remote_user_domain", b"example.org"),
        ("auth_user", b"A@b@EXAMPLE.org"),
        ("auth_method", b"cram-md5"),
        ("auth_attempts", b"2"),
        ("starttls", b"on"),
        ("smtp_helo", b"here"),
        ("smtp_mail_from", b"MAIL FROM:<a>"),
        ("smtp_rcpt_to", b"RCPT TO:<b>"),
        ("imap_id", FULL.client_id),
        ("imap_id_name", b"Mail"),
        ("imap_id_support_url", b"https://example.org/"),
        ("imap_id_os", None),
        ("session_id", FULL.session_id),
        ("ssl_protocol", b"TLSv1.3"),
        ("ssl_curve", b"X25519"),
        ("ssl_sigalg", b"ecdsa_secp256r1_sha256"),
        ("ssl_session_id", b"00ff"),
        ("ssl_client_v_start", b"Nov 29 07:15:52 2026 GMT"),
        ("ssl_client_v_end", b"Nov 30 07:15:52 2026 GMT"),
        ("ssl_client_v_remain", b"2"),
        ("log_event", b"end"),
        ("status", b"200"),
        ("session_end", b"client_reset"),
        ("session_state", b"CD"),
        ("session_time", b"61.250"),
        ("connection_time", b"61.250"),
        ("bytes_received", b"1000"),
        ("bytes_sent", b"2000"),
        ("tls_handshake_time", b"0.500"),
        ("auth_time", b"0.013"),
        ("auth_source", b"http"),
        ("auth_http_x_header", b"value"),
        ("auth_http_absent", None),
        ("upstream_addr", b"192.0.2.1:143"),
        ("upstream_connect_time", b"0.001"),
        ("upstream_first_byte_time", b"0.002"),
        ("upstream_login_time", b"0.250"),
        ("upstream_session_time", b"61.500"),
        ("upstream_bytes_received", b"2000"),
        ("upstream_bytes_sent", b"100"),
        ("ssl_cipher", b"TLS_AES_256_GCM_SHA384"),
        ("ssl_session_reused", b"r"),
        ("ssl_server_name", b"mail.example.com"),
        ("ssl_alpn_protocol", b"imap"),
        ("ssl_client_verify", b"SUCCESS"),
        ("ssl_client_s_dn", b"CN=a"),
        ("ssl_client_i_dn", b"CN=ca"),
        ("ssl_client_serial", b"0A"),
        ("ssl_client_fingerprint", b"ab"),
        ("ssl_client_cert", b"-BEGIN-\n\tx+\n\t-END-"),
        ("ssl_client_raw_cert", b"-BEGIN-\nx+\n-END-\n"),
        ("ssl_client_escaped_cert", b"-BEGIN-%0Ax%2B%0A-END-%0A"),
    ],
)
def test_a_variable_has_the_sessions_value(name: str, value: bytes | None) -> None:
    function = builtin(name)
    assert function is not None
    assert function(FULL) == value


def test_each_backend_that_was_tried_has_an_item() -> None:
    session = Session(tries=(Backend(address=b"192.0.2.2:143", connect=None, login=None), Backend()))
    assert TABLE["upstream_addr"](session) == b"192.0.2.2:143, 192.0.2.1:143"
    assert TABLE["upstream_connect_time"](session) == b"-, 0.001"
    assert TABLE["upstream_bytes_sent"](session) == b"100, 100"


FOR_NOW = Session(event="end", refused_for_now=True, reason=End.AUTH_FAILED)


@pytest.mark.parametrize(("event", "status"), [("login", b"200"), ("failure", b"403"), (None, None)])
def test_before_the_end_the_status_is_that_of_what_has_happened(event: str | None, status: bytes | None) -> None:
    assert TABLE["status"](Session(event=event)) == status
    if event != "failure":  # an earlier one
        assert TABLE["status"](Session(event=event, refused_for_now=True)) == status


@pytest.mark.parametrize(
    ("backend", "text"),
    [
        ("192.0.2.1:143", b"192.0.2.1:143"),
        ("2001:db8::1:143", b"[2001:db8::1]:143"),
        ("[2001:db8::1]:143", b"[2001:db8::1]:143"),
        ("unix:/run/a:b", b"unix:/run/a:b"),
        (None, b""),
    ],
)
def test_an_address_of_ipv6_has_its_brackets(backend: str | None, text: bytes) -> None:
    assert address_text(backend) == text


def test_what_is_refused_for_now_has_a_status_of_its_own() -> None:
    assert TABLE["status"](Session(event="failure", refused_for_now=True)) == b"503"
    assert TABLE["status"](Session(event="end", refused_for_now=True, reason=End.QUIT)) == b"200"
    assert TABLE["status"](Session(event="end", refused_for_now=True, reason=End.AUTH_FAILED)) == b"503"
    assert TABLE["status"](Session(event="end", reason=End.AUTH_FAILED)) == b"403"


@pytest.mark.parametrize("make", [Line, native.Line], ids=["Python", "here"])
@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize(
    "session", [FULL, Session(), UNIX, Session(event="failure"), Session(tries=2 * (Backend(),)), FOR_NOW]
)
def test_what_lies_at_a_source_is_what_the_function_gives(name: str, session: Session, make: MakeLine) -> None:
    text = composed([Slot(b"", b"", b"-", None, SOURCES[name])], make)(session)
    value = TABLE[name](session)
    assert text == (b"-" if value is None else value)


def test_an_expired_certificate_has_no_day_left() -> None:
    tls = SimpleNamespace(**{**vars(TLS), "peer_certificate": SimpleNamespace(seconds_left=-5)})
    assert TABLE["ssl_client_v_remain"](Session(tls=tls)) == b"0"


@pytest.mark.parametrize("name", ["auth_http_auth_pass", "auth_http_", "auth_http"])
def test_no_header_that_holds_a_password_is_a_variable(name: str) -> None:
    assert builtin(name) is None


def test_nothing_is_known_before_the_login() -> None:
    absent = {name for name, function in TABLE.items() if function(Session()) is None}
    tls = {name for name in TABLE if name.startswith("ssl_")}
    proxy = {name for name in TABLE if name.startswith("proxy_protocol_")}
    login = {"remote_user", "remote_user_local", "remote_user_domain", "auth_user", "auth_method"}
    backend = {name for name in TABLE if name.startswith("upstream_")}
    end = {"log_event", "session_end", "session_state", "status"}
    login |= {
        "auth_time",
        "auth_source",
        "limit_conn_status",
        "tls_handshake_time",
        "smtp_helo",
        "smtp_mail_from",
        "smtp_rcpt_to",
    }
    assert absent == tls | proxy | login | backend | end | {"imap_id", "limit_auth_status", "limit_auth_zone"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("remote_addr", b"unix:"),
        ("remote_port", b""),
        ("binary_remote_addr", b"unix:"),
        ("realip_remote_addr", b"unix:"),
        ("server_addr", b"unix:"),
        ("server_port", b""),
    ],
)
def test_a_unix_socket_has_no_port(name: str, value: bytes) -> None:
    assert TABLE[name](UNIX) == value


def test_an_address_of_ipv6_has_16_bytes() -> None:
    assert TABLE["binary_remote_addr"](Session(client="::1")) == bytes(15) + b"\x01"


@pytest.mark.parametrize(("user", "local", "domain"), [(b"a", b"a", b""), (b"@x", b"", b"x"), (b"a@", b"a", b"")])
def test_a_login_is_cut_at_its_last_at_sign(user: bytes, local: bytes, domain: bytes) -> None:
    session = Session(remote_user=user)
    assert (TABLE["remote_user_local"](session), TABLE["remote_user_domain"](session)) == (local, domain)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("msec", rb"\d{10}\.\d{3}"),
        ("time_local", rb"\d\d/(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}"),
        ("time_iso8601", rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d"),
        ("time_iso8601_ms", rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d"),
    ],
)
def test_the_time_is_told_in_each_form(name: str, form: bytes) -> None:
    assert re.fullmatch(form, TABLE[name](Session()) or b"")


def test_times_are_cut_and_not_rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    last = 1_767_225_599_999_999_999  # of a year; as a float it would be the first of the next one
    monkeypatch.setattr(time, "time_ns", lambda: last)
    assert TABLE["msec"](Session()) == b"1767225599.999"
    assert (TABLE["time_iso8601_ms"](Session()) or b"")[16:23] == b":59.999"
    assert (TABLE["time_iso8601"](Session()) or b"")[16:19] == b":59"
    assert b":59 " in (TABLE["time_local"](Session()) or b"")


def test_the_process_is_the_worker_that_is_asked() -> None:
    assert TABLE["pid"](Session()) == b"%d" % os.getpid()


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/St_Johns", "Europe/Berlin"])
def test_times_are_local_and_tell_their_offset(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    _minute.cache_clear()
    try:
        for second in (0, 1_764_400_552, 1_782_000_000):
            local = datetime.fromtimestamp(second).astimezone()
            assert common_time(second) == local.strftime("%d/%b/%Y:%H:%M:%S %z")
            assert iso8601_second(second) + iso8601_offset(second) == local.isoformat(timespec="seconds")
    finally:
        monkeypatch.undo()
        time.tzset()
        _minute.cache_clear()
