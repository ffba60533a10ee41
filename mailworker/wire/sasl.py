"""SASL mechanisms, and the contents of a client's responses (RFC 4422, 4616, 2195, 4648, 7628)."""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64

from mailworker.errors import Party, ProtocolError
from mailworker.model import METHOD_NAMES, AuthMethod
from mailworker.wire.secret import Secret

# base64 of "Username:" and "Password:", the challenges of AUTH LOGIN and the first one of EXTERNAL.
USERNAME_PROMPT = b"VXNlcm5hbWU6"
PASSWORD_PROMPT = b"UGFzc3dvcmQ6"

# Python 3.11 takes some 850 instructions to find a member in its enum.
_PLAIN = AuthMethod.PLAIN

_BASE64_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_PADDED_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)")
_SHORT = 512
_HEX_MD5_LENGTH = 32

# https://developers.google.com/gmail/imap/xoauth2-protocol: user=NAME ^A auth=Bearer TOKEN ^A ^A. freenginx ignores
# case, and accepts an empty name.
_XOAUTH2_USER = re.compile(rb"user=([^\x01]*)\x01", re.IGNORECASE)
_XOAUTH2_TOKEN = re.compile(rb"auth=Bearer ([^\x01]+)\x01\x01", re.IGNORECASE)

# RFC 7628 section 3.1, RFC 5801 section 4: the flag does not matter, as there is no channel binding. Without a name the
# token itself identifies the user.
_GS2_HEADER = re.compile(rb"[^,\x01]*,(?:a=((?:[^,=\x01]|=2C|=3D)+))?,\x01")
_BEARER = re.compile(rb"(?:[^\x01]+\x01)*?auth=Bearer ([^\x01]+)\x01", re.IGNORECASE)


_MECHANISMS = {names.sasl.encode(): method for method, names in METHOD_NAMES.items() if names.sasl}


def mechanism_named(name: bytes) -> AuthMethod | None:
    """The mechanism of a name, ignoring case; None for an unknown one."""
    return _MECHANISMS.get(name.upper())


FOREIGN = frozenset(
    b"9798-M-DSA-SHA1 ANONYMOUS ATOKEN ATOKEN2 DIGEST-MD5 EAP-AES128 GS2-KRB5 GS2-KRB5-PLUS GSS-SPNEGO GSSAPI "
    b"KERBEROS_V4 KERBEROS_V5 MSN NMAS_LOGIN NTLM OPENID20 OTP PASSDSS-3DES-1 PLAIN-CLIENTTOKEN SAML20 SCRAM-SHA-1 "
    b"SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-256-PLUS SCRAM-SHA-512 SCRAM-SHA-512-PLUS SECURID SKEY SPNEGO SRP "
    b"WETOKEN XOAUTH XYMCOOKIE XYMCOOKIEB64 XYMPKI".split()
)
"""Mechanisms that clients may ask for and that we do not support, from IANA's registry and elsewhere."""


def foreign_mechanism(name: bytes) -> str:
    """A space and the name of a known mechanism that we do not support; empty for any other text."""
    known = name.upper()
    return f" {known.decode()}" if known in FOREIGN else ""


def decode_base64(text: bytes) -> bytes:
    """Decode base64 as nginx does: bytes after the first "=" are ignored, padding may be missing.

    "=" alone is the empty string. Raises ProtocolError for a foreign byte or an impossible length.
    """
    digits = text.partition(b"=")[0]
    if digits.translate(None, _BASE64_ALPHABET) or len(digits) % 4 == 1:
        raise ProtocolError(Party.CLIENT, "client sent invalid base64 encoding")
    return a2b_base64(digits + b"=" * (-len(digits) % 4))


def plain_words(text: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Authorization identity, login and password of a short PLAIN response in base64 with its padding.

    None if `decode_plain` has to read it. native/wire/smtp_words.c implements it in C, as each login takes this time.
    """
    if len(text) > _SHORT or not _PADDED_BASE64.fullmatch(text):
        return None
    authzid, *rest = a2b_base64(text).split(b"\0")
    return (authzid, rest[0], rest[1]) if len(rest) == 2 and rest[0] else None


def decode_plain(text: bytes) -> tuple[bytes, bytes, Secret]:
    """Authorization identity, may be empty, login and password of a PLAIN response.

    It is stricter than nginx, after RFC 4616: the login must not be empty and the password must not contain NUL, but
    may be empty. Raises ProtocolError.
    """
    fields = decode(text, _PLAIN).split(b"\0")
    if len(fields) < 2 or not fields[1]:
        raise _invalid("login", AuthMethod.PLAIN)
    if len(fields) != 3:
        raise _invalid("password", AuthMethod.PLAIN)
    authzid, login, password = fields
    return authzid, login, Secret(password)


def decode_cram_md5(text: bytes) -> tuple[bytes, Secret]:
    """Login and digest of a CRAM-MD5 response, split at the first space; see `check_digest`. Raises ProtocolError.

    Without a space there is no login, as in nginx: the text may be the response to another mechanism.
    """
    login, space, digest = decode(text, AuthMethod.CRAM_MD5).partition(b" ")
    return login if space else b"", Secret(digest)


def check_digest(digest: Secret) -> None:
    """Raises ProtocolError unless `digest` has 32 bytes, of any kind.

    It is separate from `decode_cram_md5`, so that the log can name the login with the wrong digest.
    """
    if len(digest.revealed) != _HEX_MD5_LENGTH:
        raise _invalid("CRAM-MD5 hash", AuthMethod.CRAM_MD5)


def decode_xoauth2(text: bytes) -> tuple[bytes, Secret]:
    """Login, may be empty, and token of an XOAUTH2 response. Raises ProtocolError."""
    response = decode(text, AuthMethod.XOAUTH2)
    user = _XOAUTH2_USER.match(response)
    if user is None:
        raise _invalid("login", AuthMethod.XOAUTH2)
    token = _XOAUTH2_TOKEN.fullmatch(response, user.end())
    if token is None:
        raise _invalid("token", AuthMethod.XOAUTH2)
    return user[1], Secret(token[1])


def decode_oauthbearer(text: bytes) -> tuple[bytes, Secret]:
    """Login, may be empty, and token of an OAUTHBEARER response; its host and port are ignored.

    Raises ProtocolError.
    """
    response = decode(text, AuthMethod.OAUTHBEARER)
    header = _GS2_HEADER.match(response)
    if header is None:
        raise _invalid("login", AuthMethod.OAUTHBEARER)
    token = _BEARER.match(response, header.end())
    if token is None:
        raise _invalid("token", AuthMethod.OAUTHBEARER)
    return (header[1] or b"").replace(b"=2C", b",").replace(b"=3D", b"="), Secret(token[1])


def encode_token(method: AuthMethod, login: bytes, token: bytes) -> bytes:
    """An XOAUTH2 or OAUTHBEARER response, in base64. Raises ProtocolError for a byte that would end a field."""
    if b"\1" in login or b"\0" in login:
        raise _invalid("login", method)
    if method is AuthMethod.XOAUTH2:
        response = b"user=%b\1auth=Bearer %b\1\1" % (login, token)
    else:
        name = login.replace(b"=", b"=3D").replace(b",", b"=2C")
        response = b"n,%b,\1auth=Bearer %b\1\1" % (b"a=" + name if name else b"", token)
    return b2a_base64(response, newline=False)


def decode(text: bytes, method: AuthMethod) -> bytes:
    """A response of `method`, may be empty: the login of EXTERNAL, the login or password of LOGIN, or all of another.

    Raises ProtocolError.
    """
    try:
        return decode_base64(text)
    except ProtocolError:
        raise _invalid("base64 encoding", method) from None


def _invalid(what: str, method: AuthMethod) -> ProtocolError:
    return ProtocolError(Party.CLIENT, f"client sent invalid {what} in AUTH {METHOD_NAMES[method].sasl} command")
