"""The built-in format `json`: valid for whatever clients say, and bytes can be taken back from it."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from mailworker.log.json_line import json_line
from mailworker.mail.end import End
from mailworker.model import AuthMethod, UnixAddress
from tests.variables.facts import Backend, Session
from tests.variables.test_table import ENVELOPE, TLS

LONG = b'"\\\n\r\t%s\x00\x7f\xff\xe9' * 800  # 8 KB


def write(**fields: Any) -> bytes:
    return json_line(False)(Session(**{"event": "end", "reason": End.CLIENT_CLOSED, **fields}))


def bytes_of(line: bytes, name: str) -> bytes:
    """What the bytes of a string were: from \\u0080 to \\u00FF an escape is a byte that is no UTF-8."""
    text = re.sub(rb"(?<!\\)((?:\\\\)*)\\u00([89A-F][0-9A-F])", rb"\1\\udc\2", line).decode()
    found = json.loads(text)[name]
    assert isinstance(found, str)
    return found.encode("utf-8", "surrogateescape")


@given(st.binary())
def test_any_login_is_one_line_of_json_and_can_be_taken_back(user: bytes) -> None:
    line = write(auth_user=user, remote_user=user + b"x", attempts=1, method=AuthMethod.PLAIN)
    assert line.count(b"\n") == 1
    assert line.endswith(b"}\n")
    json.loads(line)
    assert (bytes_of(line, "auth_user"), bytes_of(line, "remote_user")) == (user, user + b"x")


@given(st.text())
@example("\x9b31m\u202e\u2028\x7f")
def test_no_login_controls_a_terminal_that_shows_the_line(user: str) -> None:
    line = write(auth_user=user.encode("utf-8", "replace"), attempts=1).decode()
    assert re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]", line) is None


# The controls of C1 are bytes for it.
@given(st.text().filter(lambda text: re.search("[\x80-\x9f]", text) is None))
@example("\x07\xa0\u202e")
def test_text_is_what_any_reader_of_json_gets(user: str) -> None:
    encoded = user.encode("utf-8", "replace")
    line = write(auth_user=encoded, remote_user=encoded, attempts=1)
    assert json.loads(line)["auth_user"] == encoded.decode()


def test_a_long_login_of_anything_stays_one_line() -> None:
    line = write(auth_user=LONG, remote_user=LONG, attempts=1)
    assert line.count(b"\n") == 1
    assert bytes_of(line, "auth_user") == LONG


def test_what_is_not_known_is_left_out() -> None:
    found = json.loads(write())
    assert set(found) == {
        *("time_iso8601_ms", "log_event", "session_id", "connection", "pid", "hostname", "protocol", "server_name"),
        *("remote_addr", "remote_port", "server_addr", "server_port", "session_end", "session_state", "status"),
        *("session_time", "bytes_received", "bytes_sent"),
    }
    assert set(json.loads(write(helo=b"here", envelope=ENVELOPE))) == set(found)
    assert not [name for name in json.loads(write(attempts=1, auth_user=b"a")) if name.startswith("smtp_")]
    assert set(json.loads(write(attempts=1, auth_user=b"a", helo=b"here"))) > {"smtp_helo"}
    client_and_server = json.loads(write(client="unix:", port=None, local=UnixAddress("/run/s"), local_port=None))
    assert set(found) - set(client_and_server) == {"remote_port", "server_addr", "server_port"}


def test_before_the_end_there_is_a_status_and_no_end() -> None:
    found = json.loads(write(event="failure", reason=None))
    assert (found["status"], found["log_event"], "session_end" in found) == (403, "failure", False)


def test_numbers_are_those_of_the_last_backend_and_addresses_of_all() -> None:
    tries = [Backend(address=b"192.0.2.1:143", login=None, received=1), Backend(address=b"192.0.2.2:143")]
    found = json.loads(write(tries=tries))
    assert found["upstream_addr"] == "192.0.2.1:143, 192.0.2.2:143"
    assert (found["upstream_bytes_received"], found["upstream_login_time"]) == (2000, 0.25)
    assert "upstream_connect_time" not in json.loads(write(tries=[Backend(connect=None, first_byte=None, login=None)]))


def test_all_that_may_be_known_is_told_by_its_name() -> None:
    found = json.loads(
        write(
            tls=TLS, starttls=True, handshake_seconds=0.5, attempts=2, auth_user=b"a", remote_user=b"b",
            method=AuthMethod.XOAUTH2, helo=b"here", envelope=ENVELOPE, host=b"client.example.org",
            auth_seconds=0.25, auth_source="http", proxy_texts=(b"192.0.2.1", b"1", b"192.0.2.2", b"2"),
        )
    )  # fmt: skip
    expected = {
        "starttls": "on", "tls_handshake_time": 0.5, "ssl_protocol": "TLSv1.3", "ssl_session_reused": "r",
        "ssl_curve": "X25519", "ssl_sigalg": "ecdsa_secp256r1_sha256", "ssl_session_id": "00ff",
        "ssl_client_verify": "SUCCESS", "ssl_client_s_dn": "CN=a", "ssl_client_v_end": "Nov 30 07:15:52 2026 GMT",
        "auth_method": "xoauth2", "auth_attempts": 2, "auth_time": 0.25, "auth_source": "http", "remote_user": "b",
        "smtp_helo": "here", "smtp_mail_from": "MAIL FROM:<a>", "smtp_rcpt_to": "RCPT TO:<b>",
        "remote_host": "client.example.org", "proxy_protocol_port": "1", "realip_remote_port": 4242,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected


def test_a_certificate_that_did_not_pass_is_told_as_such() -> None:
    tls = SimpleNamespace(**{**vars(TLS), "verify_result": (10, "certificate has expired")})
    assert json.loads(write(tls=tls))["ssl_client_verify"] == "FAILED:certificate has expired"
