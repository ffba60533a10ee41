from __future__ import annotations

import shutil
import subprocess
from types import SimpleNamespace

import pytest

from mailworker.mail.authentication import passwords
from mailworker.mail.authentication.passwords import LONGEST_FOR_CRYPT, BadPassword, Work, read_password

PASSWORD = b"pass word"
OTHER = b"Pass word"

BY_DOVEADM = """
    PLAIN CLEAR CLEARTEXT PLAIN.HEX PLAIN.B64 PLAIN-MD5 PLAIN-MD5.B64 LDAP-MD5 LDAP-MD5.HEX SMD5 SMD5.HEX SHA SHA1
    SHA.HEX SSHA SSHA.HEX SSHA.B64 SHA256 SHA256.HEX SHA256.B64 SSHA256 SSHA256.HEX SHA512 SHA512.HEX SSHA512
    SSHA512.HEX CRYPT DES-CRYPT MD5 MD5-CRYPT SHA256-CRYPT SHA512-CRYPT BLF-CRYPT PBKDF2
"""
BY_HTPASSWD = {"apr1": "-m", "bcrypt": "-B", "crypt": "-d", "SHA": "-s", "SHA-256": "-2", "SHA-512": "-5"}


def made_by(*command: str) -> bytes:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    return subprocess.run(command, check=True, capture_output=True).stdout.strip()


@pytest.mark.parametrize("scheme", BY_DOVEADM.split())
def test_a_hash_of_doveadm_is_matched_by_its_password_alone(scheme: str) -> None:
    stored = read_password(made_by("doveadm", "pw", "-s", scheme, "-p", PASSWORD.decode()))
    assert stored.matches(PASSWORD)
    assert not any(map(stored.matches, (OTHER, b"", PASSWORD[:-4], b"\0" + PASSWORD)))


@pytest.mark.parametrize("option", BY_HTPASSWD.values(), ids=BY_HTPASSWD)
@pytest.mark.parametrize("password", [PASSWORD, b"x", b"0123456789abcdef", "Übergröße".encode() * 3])
def test_a_hash_of_htpasswd_is_matched_by_its_password_alone(option: str, password: bytes) -> None:
    stored = read_password(made_by("htpasswd", "-nb", option, "user", password.decode()).partition(b":")[2])
    assert stored.matches(password)
    assert not any(map(stored.matches, (OTHER, b"", b"y" + password, b"\0" + password)))


@pytest.mark.parametrize("text", [b"abJnggxhB/yWI[13]", b"5f4dcc3b5aa765d61d8327deb882cf99[34]"])
def test_a_length_in_brackets_names_the_scheme_as_pam_pwdfile_has_it(text: bytes) -> None:
    stored = read_password(text)
    assert stored.matches(b"password")
    assert not stored.matches(b"passw0rd")


@pytest.mark.parametrize("text", [b"", b"{PLAIN}", b"{SSHA}", b"{CRYPT}", b"{plain.b64}"])
def test_nobody_has_a_password_that_is_not_there(text: bytes) -> None:
    stored = read_password(text)
    assert not any(map(stored.matches, (b"", b"\0", text)))
    assert stored.plain is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"{HMAC}x", 'unknown password scheme "HMAC"'),
        (b"{CRAM-MD5}4638c77f1a70c6fda4ddfa6fbe34e6ee", 'unknown password scheme "CRAM-MD5"'),
        (b"secret", "password hash of an unknown form"),
        (b"*", "password hash of an unknown form"),
        (b"!$6$saltsalt$qFmF", "password hash of an unknown form"),
        (b"$6$rounds=10$saltsalt$" + b"a" * 86, "password hash of an unknown form"),
        (b"{PBKDF2}$1$salt$0$" + b"a" * 40, "password hash that is none of PBKDF2"),
        (b"{SHA.HEX}zz", "password hash that is neither hex nor base64"),
        (b"{SHA}QUJD", "password hash of a wrong length"),
        (b"{SSHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=", "password hash of a wrong length"),
        (b"{SHA}cf/RnBHSKmjBHyolnO/N7B8Yxwun95iH", "password hash of a wrong length"),
    ],
)
def test_a_password_of_an_unknown_form_is_refused_and_not_shown(text: bytes, reason: str) -> None:
    with pytest.raises(BadPassword) as caught:
        read_password(text)
    assert str(caught.value) == reason


def test_a_system_without_crypt_has_the_schemes_that_need_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "CRYPT", SimpleNamespace(available=False))
    with pytest.raises(BadPassword, match="which this system does not have"):
        read_password(b"$6$saltsalt$" + b"a" * 86)
    assert read_password(b"$apr1$saltsalt$qYpLAVWkBvXFyDme7.oc1/").matches(b"pass word")


@pytest.mark.parametrize(
    ("text", "work"),
    [
        (b"$6$saltsalt$" + b"a" * 86, ("SHA512-CRYPT", 5000)),
        (b"$6$rounds=656000$saltsalt$" + b"a" * 86, ("SHA512-CRYPT", 656000)),
        (b"$5$saltsalt$" + b"a" * 43, ("SHA256-CRYPT", 5000)),
        (b"$2y$10$" + b"a" * 53, ("BLF-CRYPT", 1024)),
        (b"$2b$31$" + b"a" * 53, ("BLF-CRYPT", 2**31)),
        (b"{PBKDF2}$1$salt$5000$" + b"a" * 40, ("PBKDF2", 5000)),
        (b"$y$j9T$F5Jx5fExrKuPp53xLKQ..1$tnSYvahCwPBHKZUspmcxMfb0.WiB9W.zEaKlOBL35rC", ("yescrypt", 1)),
        (b"{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$oY7i$H1gk", ("Argon2", 1)),
    ],
)
def test_the_work_of_a_check_is_told_by_the_hash(text: bytes, work: tuple[str, int]) -> None:
    found = read_password(text).work
    assert isinstance(found, Work)
    assert found[:2] == work


def test_a_password_that_is_too_long_for_hashes_in_rounds_is_wrong() -> None:
    longest = "x" * LONGEST_FOR_CRYPT
    assert read_password(made_by("doveadm", "pw", "-s", "SHA512-CRYPT", "-p", longest)).matches(longest.encode())
    longer = longest + "x"
    assert not read_password(made_by("doveadm", "pw", "-s", "SHA512-CRYPT", "-p", longer)).matches(longer.encode())


def test_challenges_can_be_answered_where_the_password_itself_is_there() -> None:
    assert read_password(b"{PLAIN}secret").plain == b"secret"
    assert read_password(b"{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=").plain is None
