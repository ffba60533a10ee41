from __future__ import annotations

from ipaddress import ip_network

import pytest

from mailworker.wire.passwd_file import LOCAL, BrokenLine, PasswdRow, parse_line


@pytest.mark.parametrize("line", [b"", b"\r", b"# a comment: with a colon", b":no:name"])
def test_what_has_no_user_is_left_out(line: bytes) -> None:
    assert parse_line(line) is None


@pytest.mark.parametrize(
    ("line", "row"),
    [
        (b"anna:", PasswdRow(b"anna", b"")),
        (b"anna:{PLAIN}secret", PasswdRow(b"anna", b"{PLAIN}secret")),
        (b"anna:$apr1$salt$hash\r", PasswdRow(b"anna", b"$apr1$salt$hash")),
        (b"anna@example.com:x:1000:1000:Anna:/home/anna:/bin/sh", PasswdRow(b"anna@example.com", b"x")),
        (b"proxy:x:13:13:proxy:/bin:/usr/sbin/nologin", PasswdRow(b"proxy", b"x")),
        (b"anna:x:1000:1000:likes a=b:/home/a=b:", PasswdRow(b"anna", b"x")),
        (b"anna:x::::::host=192.0.2.1 port=1143", PasswdRow(b"anna", b"x", host="192.0.2.1", port=1143)),
        (b"anna:x::::::host=2001:db8::1", PasswdRow(b"anna", b"x", host="2001:db8::1")),
        (b"anna:x::::::host=Mail.Example.com", PasswdRow(b"anna", b"x", host="mail.example.com")),
        (b"anna:x::::::host=mail.example.com.", PasswdRow(b"anna", b"x", host="mail.example.com")),
        (b"anna:x::::::user=a pass=b=c", PasswdRow(b"anna", b"x", user=b"a", backend_password=b"b=c")),
        (b"anna:x::::::destuser=a", PasswdRow(b"anna", b"x", user=b"a")),
        (b"anna:x::::::master=m pass=b", PasswdRow(b"anna", b"x", master=b"m", backend_password=b"b")),
        (b"anna:x::::::ssl=any-cert starttls", PasswdRow(b"anna", b"x", ssl=b"any-cert", starttls=b"")),
        (b"anna:::::::nopassword", PasswdRow(b"anna", b"", nopassword=True)),
        (b"anna:x::::::proxy=no nodelay=y", PasswdRow(b"anna", b"x", proxy=True)),
        (b"anna:x::::::nologin reason=moved", PasswdRow(b"anna", b"x", nologin=True, reason=b"moved")),
        (b"anna:x::::::userdb_quota=5G event_a=b", PasswdRow(b"anna", b"x")),
        (
            b"anna:x::::::allow_nets=192.0.2.0/24,2001:db8::/32,10.1.2.3,local",
            PasswdRow(
                b"anna",
                b"x",
                allow_nets=(ip_network("192.0.2.0/24"), ip_network("2001:db8::/32"), ip_network("10.1.2.3/32"), LOCAL),
            ),
        ),
    ],
)
def test_a_line_is_read_as_dovecot_and_apache_do(line: bytes, row: PasswdRow) -> None:
    assert parse_line(line) == row


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        (b"host=", 'invalid host ""'),
        (b"host=192.0.2.1.", 'invalid host "192.0.2.1."'),
        (b"host=fe80::1%eth0", 'invalid host "fe80::1%eth0"'),
        (b'host=a"b', r'invalid host "a\x22b"'),
        (b"port=0", 'invalid port "0"'),
        (b"port=65536", 'invalid port "65536"'),
        (b"port=+143", 'invalid port "+143"'),
        (b"user=", "empty user"),
        (b"allow_nets=", 'invalid network "" in allow_nets'),
        (b"allow_nets=192.0.2.1,here", 'invalid network "here" in allow_nets'),
        (b"fail", 'extra field "fail" is not supported'),
        (b"allow_real_nets=192.0.2.1", 'extra field "allow_real_nets" is not supported'),
        (b"hostip=192.0.2.1", 'extra field "hostip" is not supported'),
        (b"master=", "empty user"),
        (b"host:default=192.0.2.1", 'extra field "host:default" is not supported'),
        (b"no_login", "unknown word among the extra fields"),
        (b"port=143", '"port" without "host"'),
        (b"nopassword", 'both a password and "nopassword"'),
    ],
)
def test_a_line_that_cannot_be_followed_is_broken(extra: bytes, reason: str) -> None:
    with pytest.raises(BrokenLine) as caught:
        parse_line(b"anna:{PLAIN}secret::::::" + extra)
    assert str(caught.value) == reason


def test_of_a_line_without_a_colon_nothing_is_told_as_it_may_be_a_piece_of_a_hash() -> None:
    with pytest.raises(BrokenLine) as caught:
        parse_line(b"hidden")
    assert str(caught.value) == 'no ":" behind the name'


@pytest.mark.parametrize("colons", range(1, 6))
@pytest.mark.parametrize(
    ("extra", "key"),
    [
        (b"host=192.0.2.1 port=143", "host"),
        (b"nologin reason=moved", "nologin"),
        (b"nopassword host=192.0.2.1", "nopassword"),
        (b"allow_nets=192.0.2.1", "allow_nets"),
        (b"x pass=secret", "pass"),
    ],
)
def test_extra_fields_behind_too_few_colons_are_broken(colons: int, extra: bytes, key: str) -> None:
    with pytest.raises(BrokenLine) as caught:
        parse_line(b"anna:{PLAIN}secret" + colons * b":" + extra)
    assert str(caught.value) == f'"{key}" is before the seventh colon'


def test_a_bare_word_that_nobody_knows_is_not_shown_as_it_may_be_a_part_of_a_password() -> None:
    with pytest.raises(BrokenLine) as caught:
        parse_line(b"anna:x::::::pass=two words")
    assert "words" not in str(caught.value)
