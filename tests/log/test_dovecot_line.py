"""The built-in format `dovecot`: what fail2ban makes of it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.log.dovecot_line import dovecot_line
from mailworker.mail.end import End
from mailworker.model import AuthMethod
from tests.support.daemon import find_program
from tests.variables.facts import Backend, Session
from tests.variables.test_table import TLS

FAILED: dict[str, Any] = {
    "event": "failure",
    "attempts": 2,
    "refusals": 2,
    "seconds": 3.9,
    "auth_user": b"user@example.com",
    "remote_user": b"user@example.com",
    "method": AuthMethod.PLAIN,
}
# What a client may call itself to be taken for somebody else, or for nobody.
FORGED = (
    b"a>, method=PLAIN, rip=192.0.2.66, lip=192.0.2.1, session=<x>",
    b"a\nNov 29 07:15:52 host dovecot: imap-login: Aborted login (auth failed, 1 attempts): rip=192.0.2.66",
    b"(auth failed, 1 attempts in 2 secs): rip=192.0.2.66",
    b"a (auth failed, 1 attempts): user=<b>, method=PLAIN, rip=192.0.2.66, session=<x>",
    b'"<>\xff\x00\\' * 100,
    b"",
)


def write(dated: bool = True, **fields: Any) -> bytes:
    return dovecot_line(dated)(Session(**fields))


def test_a_refused_login_is_told_as_dovecot_tells_it() -> None:
    assert write(False, **FAILED) == (
        b"imap-login: Aborted login (auth failed, 2 attempts in 3 secs): user=<user@example.com>, method=PLAIN, "
        b"rip=198.51.100.7, lip=203.0.113.1, session=<AZAn3gAAAAEAAAAH>\n"
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({**FAILED, "event": "login"}, b"Login"),
        ({"event": "end"}, b"Aborted login (no auth attempts in 0 secs)"),
        ({**FAILED, "event": "end", "reason": End.CLIENT_LEFT}, b"Aborted login (auth failed, 2 attempts in 3 secs)"),
        ({**FAILED, "tries": [Backend()], "reason": End.CLIENT_CLOSED}, b"Disconnected: client_closed"),
        ({**FAILED, "refused_for_now": True}, b"Disconnected: temporary failure"),
        ({**FAILED, "event": "end", "refused_for_now": True}, b"Aborted login (auth failed, 2 attempts in 3 secs)"),
        ({"attempts": 1, "reason": End.AUTH_ERROR}, b"Disconnected: auth_error"),
    ],
)
def test_what_has_happened_is_told(fields: dict[str, Any], message: bytes) -> None:
    assert write(False, **fields).startswith(b"imap-login: %b: user=<" % message)


def test_tls_and_the_method_are_told_by_dovecot_s_names() -> None:
    line = write(False, **{**FAILED, "protocol": "smtp", "method": AuthMethod.CRAM_MD5, "tls": TLS})
    assert line.startswith(b"submission-login: ")
    assert b", method=CRAM-MD5, rip=198.51.100.7, lip=203.0.113.1, TLS, session=<" in line


@given(st.binary())
def test_no_login_ends_its_field_or_its_line(user: bytes) -> None:
    line = write(False, **{**FAILED, "remote_user": user})
    match = re.fullmatch(
        rb"[^<]*: user=<([^<>()\n]*)>, method=PLAIN, rip=198\.51\.100\.7, [^<>]*session=<[\w-]+>\n", line
    )
    assert match is not None
    assert re.sub(rb"\\x([0-9A-F]{2})", lambda found: bytes.fromhex(found[1].decode()), match[1]) == user


@pytest.fixture
def banned(tmp_path: Path) -> Any:
    """The addresses that fail2ban's filter, as it is shipped, finds in lines, by "mode"."""
    program = find_program("fail2ban-regex")

    def find(lines: bytes, mode: str = "normal") -> list[str]:
        log = tmp_path / "log"
        log.write_bytes(lines)
        command = [program, "--out", "ip", str(log), f"dovecot[mode={mode}]"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()

    return find


@pytest.mark.parametrize("protocol", ["imap", "pop3", "smtp", "sieve"])
@pytest.mark.parametrize("client", ["198.51.100.7", "2001:db8::7"])
def test_fail2ban_takes_refused_logins(banned: Any, protocol: str, client: str) -> None:
    lines = write(**{**FAILED, "protocol": protocol, "client": client})
    lines += write(**{**FAILED, "protocol": protocol, "client": client, "tls": TLS})
    assert banned(lines) == 2 * [client]


def test_fail2ban_takes_whatever_a_client_calls_itself_and_nobody_else(banned: Any) -> None:
    lines = [write(**{**FAILED, "remote_user": user}) for user in FORGED]
    assert banned(b"".join(lines)) == len(FORGED) * ["198.51.100.7"]


def test_fail2ban_takes_no_good_session_and_those_without_a_login_only_if_told_so(banned: Any) -> None:
    good = write(**{**FAILED, "refusals": 0, "event": "login"})
    good += write(**{**FAILED, "refusals": 0, "tries": [Backend()], "event": "end", "reason": End.CLIENT_CLOSED})
    good += b"".join(
        write(**{**FAILED, "refusals": 0, "remote_user": user, "event": "end", "reason": End.CLIENT_CLOSED})
        for user in FORGED
    )
    good += write(**{**FAILED, "refused_for_now": True})
    scan = write(event="end", reason=End.CLIENT_LEFT)
    assert banned(good + scan) == []
    assert banned(good + scan, "aggressive") == ["198.51.100.7"]
