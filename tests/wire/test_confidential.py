"""What the log may show of bytes that nobody has understood."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.wire.confidential import without_response, without_secrets

SECRET = b"hunter2"
BLANKS = [b" ", b"  ", b"\t", b" \t "]
VERBS = [
    b"LOGIN",
    b"login",
    b"AUTHENTICATE PLAIN",
    b"AUTH PLAIN",
    b"AuTh\tXOAUTH2",
    b"PASS",
    b"USER bob PASS",
    b"APOP bob",
]


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"a LOGIN user secret", b"a LOGIN ..."),
        (b"a  LOGIN user secret", b"a  LOGIN ..."),
        (b"a\tLOGIN\tuser secret", b"a\tLOGIN ..."),
        (b" AUTH PLAIN c2VjcmV0", b" AUTH ..."),
        (b"LOGIN user secret", b"LOGIN ..."),
        (b"a login {4}\r\nuser {6}\r\nsecret", b"a login ..."),
        (b"a AUTHENTICATE PLAIN c2VjcmV0", b"a AUTHENTICATE ..."),
        (b"AUTH PLAIN c2VjcmV0", b"AUTH ..."),
        (b"PASS secret", b"PASS ..."),
        (b"PASS mail secret", b"PASS ..."),
        (b"USER user secret", b"USER ..."),
        (b"APOP user c2VjcmV0", b"APOP ..."),
        (b'LOGIN"user" "secret"', b"LOGIN ..."),
        (b"AUTHsecret", b"..."),
        (b"bob secret", b"..."),
        (b"c2VjcmV0", b"..."),
        (b"secret", b"..."),
        (b"EHLO me\r\nAUTH PLAIN c2VjcmV0\r\nQUIT", b"EHLO me\r\nAUTH ..."),
        (b"EHLO me\r\nc2VjcmV0\r\nQUIT", b"EHLO me\r\n..."),
        (b"EHLO me\rsecret", b"EHLO me\r..."),
        (b"NOOP LOGIN user secret", b"NOOP LOGIN ..."),
        (b"GET /?password=secret HTTP/1.1", b"GET ..."),
        (b"\x16\x03\x01\x02\x00secret", b"\x16\x03\x01..."),
        (b"a NOOP xxx", b"a NOOP xxx"),
        (b"\r\nMAIL FROM:<a@b> AUTH=<>\r\n", b"\r\nMAIL FROM:<a@b> AUTH ..."),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 99999\r\n", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 99999\r\n"),
        (b"", b""),
    ],
)
def test_all_up_to_a_secret_is_shown(data: bytes, shown: bytes) -> None:
    assert without_secrets(data) == shown


@given(
    st.sampled_from([b"", b"a", b"a1.-_", b"\xe9", b"EHLO me\r\na", b"a NOOP\n"]),
    st.sampled_from(BLANKS),
    st.sampled_from(VERBS),
    st.sampled_from([*BLANKS, b'"', b"(", b"\0", b":", b" {7+}\r\n", b" {7}\n"]),
    st.sampled_from([b"", b"\r\n", b"\r\na NOOP\r\n", b"x" * 9000]),
)
def test_no_secret_behind_any_verb_is_shown(tag: bytes, blanks: bytes, verb: bytes, between: bytes, end: bytes) -> None:
    assert SECRET not in without_secrets(tag + blanks + verb + between + SECRET + end)


@given(
    st.binary(max_size=40).filter(lambda line: b"NOOP" not in line.upper()), st.sampled_from([b"\r", b"\n", b"\r\n"])
)
def test_what_is_shown_is_a_beginning(data: bytes, end: bytes) -> None:
    shown = without_secrets(data + end + SECRET)
    assert (data + end + SECRET).startswith(shown.removesuffix(b"...").rstrip(b" "))
    assert SECRET not in shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"user@example.com", b"user@example.com"),
        (b"us\ter", b"us\ter"),
        (b"\0user\0secret", b"..."),
        (b"admin\0user\0secret", b"admin..."),
        (b"user=user\1auth=Bearer secret\1\1", b"user=user..."),
        (b"n,a=user,\1auth=Bearer secret\1\1", b"n,a=user,..."),
        (b"", b""),
    ],
)
def test_a_response_to_another_mechanism_is_no_name(name: bytes, shown: bytes) -> None:
    assert without_response(name) == shown
