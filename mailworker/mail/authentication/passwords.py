"""Hashed passwords in files: Dovecot's schemes, Apache's, and those of crypt(3)."""

from __future__ import annotations

import hashlib
import re
from binascii import Error as BinasciiError
from binascii import a2b_base64, a2b_hex
from collections.abc import Callable
from functools import partial
from hmac import compare_digest
from typing import Final, NamedTuple

from mailworker.errors import MailworkerError
from mailworker.mail.authentication.apr1 import apr1
from mailworker.native.crypt import CRYPT

LONGEST_FOR_CRYPT: Final = 128
"""Most bytes of a password that is hashed in rounds, as the time grows with its length; a longer one is wrong."""

_NAMED = re.compile(rb"\{([a-z0-9-]+)(?:\.(hex|b64|base64))?\}(.*)", re.IGNORECASE | re.DOTALL)

# pam_pwdfile's notation of a scheme: the length of the hash, in brackets behind it.
_BRACKETED = re.compile(rb"([^{].*)\[(13|34)\]", re.DOTALL)
_BY_BRACKET: Final = {b"13": b"DES-CRYPT", b"34": b"PLAIN-MD5"}


class BadPassword(MailworkerError):
    """A password in a file has no known form; the text does not show it."""


class Work(NamedTuple):
    """The cost of a check: `amount` times the unit of a `family`; `name` is for people."""

    family: str
    amount: int
    name: str


class Stored(NamedTuple):
    """A password of a file: the function that checks another one against it, and its work, None if that is little.

    `plain` is the password itself if the file contains it in clear, else None.
    """

    matches: Callable[[bytes], bool]
    work: Work | None = None
    plain: bytes | None = None


NO_PASSWORD: Final = Stored(lambda password: False)
"""A password that no client can send."""


def read_password(text: bytes) -> Stored:
    """Parse a file's password: "{SCHEME}hash", "hash" for crypt(3), or "hash[length]"; raises BadPassword."""
    scheme, encoding, value = _split(text)
    if not value:
        return NO_PASSWORD
    read = _SCHEMES.get(scheme)
    if read is None:
        raise BadPassword(f'unknown password scheme "{scheme.decode()}"')
    return read(value, encoding)


def _split(text: bytes) -> tuple[bytes, bytes, bytes]:
    """The scheme in capitals, the encoding that its suffix names, if any, and the rest."""
    bracketed = _BRACKETED.fullmatch(text)
    if bracketed is not None:
        return _BY_BRACKET[bracketed[2]], b"", bracketed[1]
    named = _NAMED.fullmatch(text)
    if named is None:
        return b"CRYPT", b"", text
    return named[1].upper(), (named[2] or b"").lower(), named[3]


def _plain(value: bytes, encoding: bytes) -> Stored:
    known = _decode(value, encoding) if encoding else value
    return Stored(partial(compare_digest, known), plain=known)


# Digests


def _digest(name: str, value: bytes, encoding: bytes, *, salted: bool) -> Stored:
    size = hashlib.new(name, usedforsecurity=False).digest_size
    if not encoding:
        encoding = b"hex" if not salted and len(value) == 2 * size else b"b64"
    data = _decode(value, encoding)
    digest, salt = data[:size], data[size:]
    if len(digest) < size or bool(salt) is not salted:
        raise BadPassword("password hash of a wrong length")
    return Stored(
        lambda password: compare_digest(hashlib.new(name, password + salt, usedforsecurity=False).digest(), digest)
    )


def _decode(value: bytes, encoding: bytes) -> bytes:
    try:
        decoded = a2b_hex(value) if encoding == b"hex" else a2b_base64(value)
    except BinasciiError:
        decoded = b""
    if not decoded:  # also for text without any digit of base64
        raise BadPassword("password hash that is neither hex nor base64")
    return decoded


# Hashes in rounds


_PBKDF2 = re.compile(rb"\$1\$([^$]*)\$([1-9][0-9]{0,8})\$([0-9a-fA-F]{40})")


def _pbkdf2(value: bytes, _encoding: bytes) -> Stored:
    match = _PBKDF2.fullmatch(value)
    if match is None:
        raise BadPassword("password hash that is none of PBKDF2")
    salt, rounds, digest = match[1], int(match[2]), a2b_hex(match[3])
    return _in_rounds(
        lambda password: hashlib.pbkdf2_hmac("sha1", password, salt, rounds),
        digest,
        Work("PBKDF2", rounds, f"PBKDF2 with {rounds} rounds"),
    )


def _crypt(value: bytes, _encoding: bytes) -> Stored:
    work = _work(value)
    if work.family == "APR1":
        return _in_rounds(lambda password: apr1(password, value), value, work)
    if not CRYPT.available:
        raise BadPassword("password hash for crypt(3), which this system does not have")
    return _in_rounds(lambda password: CRYPT.hash(password, value) or b"", value, work)


def _in_rounds(hash_: Callable[[bytes], bytes], known: bytes, work: Work) -> Stored:
    def matches(password: bytes) -> bool:
        fits = len(password) <= LONGEST_FOR_CRYPT and b"\0" not in password
        # A password that cannot be right must take the same time as one that can.
        return compare_digest(hash_(password if fits else b""), known) and fits

    return Stored(matches, work)


_CHARACTERS = rb"[./0-9A-Za-z]"

# The forms by which crypt(3) recognizes a method: name, pattern, and the group with the amount of work. crypt(3) checks
# no password whose setting it could not hash with.
_METHODS: Final = (
    ("SHA512-CRYPT", re.compile(rb"\$6\$(?:rounds=([1-9][0-9]{3,8})\$)?[^$:\n]{0,16}\$%b{86}" % _CHARACTERS)),
    ("SHA256-CRYPT", re.compile(rb"\$5\$(?:rounds=([1-9][0-9]{3,8})\$)?[^$:\n]{0,16}\$%b{43}" % _CHARACTERS)),
    ("BLF-CRYPT", re.compile(rb"\$2[abxy]\$(0[4-9]|[12][0-9]|3[01])\$%b{53}" % _CHARACTERS)),
    ("MD5-CRYPT", re.compile(rb"\$1\$[^$:\n]{0,8}\$%b{22}" % _CHARACTERS)),
    ("APR1", re.compile(rb"\$apr1\$[^$:\n]{0,8}\$%b{22}" % _CHARACTERS)),
    ("DES-CRYPT", re.compile(rb"%b{13}" % _CHARACTERS)),
    ("SHA1-CRYPT", re.compile(rb"\$sha1\$([1-9][0-9]{0,8})\$%b{1,64}\$%b{28}" % (_CHARACTERS, _CHARACTERS))),
    ("scrypt", re.compile(rb"\$7\$[^:\n]+")),
    ("yescrypt", re.compile(rb"\$g?y\$[^:\n]+")),
)
_DEFAULT_ROUNDS: Final = 5000


def _work(value: bytes) -> Work:
    """Raises BadPassword for a hash of no known method."""
    for family, pattern in _METHODS:
        match = pattern.fullmatch(value)
        if match is not None:
            return _AMOUNTS.get(family, _fixed)(family, match)
    raise BadPassword("password hash of an unknown form")


def _rounds(family: str, match: re.Match[bytes]) -> Work:
    rounds = int(match[1] or _DEFAULT_ROUNDS)
    return Work(family, rounds, f"{family} with {rounds} rounds")


def _doublings(family: str, match: re.Match[bytes]) -> Work:
    return Work(family, 1 << int(match[1]), f"{family} with cost {int(match[1])}")


def _fixed(family: str, _match: re.Match[bytes]) -> Work:
    return Work(family, 1, family)


_AMOUNTS: Final = {"SHA512-CRYPT": _rounds, "SHA256-CRYPT": _rounds, "SHA1-CRYPT": _rounds, "BLF-CRYPT": _doublings}


def _argon2(_value: bytes, _encoding: bytes) -> Stored:
    """A password that cannot be checked here: it takes more time and memory than a worker may use."""
    return NO_PASSWORD._replace(work=Work("Argon2", 1, "Argon2"))


_SCHEMES: Final[dict[bytes, Callable[[bytes, bytes], Stored]]] = {
    **dict.fromkeys((b"PLAIN", b"CLEAR", b"CLEARTEXT"), _plain),
    **{
        scheme: partial(_digest, name, salted=salted)
        for scheme, name, salted in (
            (b"PLAIN-MD5", "md5", False),
            (b"LDAP-MD5", "md5", False),
            (b"SMD5", "md5", True),
            (b"SHA", "sha1", False),
            (b"SHA1", "sha1", False),
            (b"SSHA", "sha1", True),
            (b"SHA256", "sha256", False),
            (b"SSHA256", "sha256", True),
            (b"SHA512", "sha512", False),
            (b"SSHA512", "sha512", True),
        )
    },
    **dict.fromkeys(
        (b"CRYPT", b"DES-CRYPT", b"MD5", b"MD5-CRYPT", b"SHA256-CRYPT", b"SHA512-CRYPT", b"BLF-CRYPT"), _crypt
    ),
    b"PBKDF2": _pbkdf2,
    **dict.fromkeys((b"ARGON2", b"ARGON2I", b"ARGON2ID"), _argon2),
}
