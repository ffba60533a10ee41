"""What CAPABILITY, CAPA, AUTH and EHLO answer, made once for each server block."""

from __future__ import annotations

from dataclasses import dataclass

from mailworker.model import AuthMethod

# The order in which nginx and freenginx advertise mechanisms; APOP and none are never named.
_ADVERTISED = (
    (AuthMethod.PLAIN, b"PLAIN"),
    (AuthMethod.LOGIN, b"LOGIN"),
    (AuthMethod.CRAM_MD5, b"CRAM-MD5"),
    (AuthMethod.EXTERNAL, b"EXTERNAL"),
    (AuthMethod.XOAUTH2, b"XOAUTH2"),
    (AuthMethod.OAUTHBEARER, b"OAUTHBEARER"),
)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The reply in clear, where STARTTLS may be offered or demanded, and where it is not (over TLS, or `off`)."""

    clear: bytes
    secure: bytes


def mechanisms(auth: AuthMethod) -> list[bytes]:
    """The SASL names to advertise."""
    return [name for method, name in _ADVERTISED if method in auth]
