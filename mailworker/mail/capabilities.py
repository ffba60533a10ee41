"""What CAPABILITY, CAPA, AUTH and EHLO answer, made once for each server block (nginx's three layouts)."""

from __future__ import annotations

from dataclasses import dataclass

from mailworker.config.settings import MailServer
from mailworker.model import AuthMethod, Starttls

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


def capabilities(settings: MailServer) -> Capabilities:
    """The replies of one server; IMAP's without the tagged line behind."""
    build = {"imap": _imap, "pop3": _pop3, "smtp": _smtp}[settings.protocol]
    return Capabilities(clear=build(settings, settings.starttls), secure=build(settings, Starttls.OFF))


def mechanisms(auth: AuthMethod) -> list[bytes]:
    """The SASL names to advertise."""
    return [name for method, name in _ADVERTISED if method in auth]


def _imap(settings: MailServer, starttls: Starttls) -> bytes:
    # LOGIN is taken wherever STARTTLS is not demanded, whatever the configured list says.
    listed = [word for word in settings.dialogue.capabilities if word.upper() != b"LOGINDISABLED"]
    words = [b"* CAPABILITY", *listed]
    if starttls is Starttls.ONLY:
        words += [b"STARTTLS", b"LOGINDISABLED"]
    else:
        words += [b"AUTH=" + name for name in mechanisms(settings.dialogue.auth)]
        words += [b"STARTTLS"] if starttls is Starttls.ON else []
    return b" ".join(words) + b"\r\n"


def _pop3(settings: MailServer, starttls: Starttls) -> bytes:
    lines = [b"+OK Capability list follows", *settings.dialogue.capabilities]
    if starttls is Starttls.ONLY:
        lines = [line for line in lines if line.upper() != b"USER"]
    else:
        lines.append(b" ".join([b"SASL", *mechanisms(settings.dialogue.auth)]))
    if starttls is not Starttls.OFF:
        lines.append(b"STLS")
    return b"\r\n".join([*lines, b".", b""])


def _smtp(settings: MailServer, starttls: Starttls) -> bytes:
    lines = [settings.server_name, *settings.dialogue.capabilities]
    names = mechanisms(settings.dialogue.auth)
    if names and starttls is not Starttls.ONLY:
        lines.append(b" ".join([b"AUTH", *names]))
    if starttls is not Starttls.OFF:
        lines.append(b"STARTTLS")
    return b"".join(b"250-%s\r\n" % line for line in lines[:-1]) + b"250 %s\r\n" % lines[-1]
