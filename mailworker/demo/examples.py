"""Command lines to paste, made from the configuration that is being served."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mailworker.config.settings import MailServer
from mailworker.demo.account import PASSWORD, USER
from mailworker.model import InetAddress, Starttls

_LOGIN = f"{USER.decode('ascii')}:{PASSWORD.decode('ascii')}"
_LETTER = r"printf 'Subject: Hello\r\n\r\nIt works.\r\n'"
_ENVELOPE = "--mail-from me@example.com --mail-rcpt demo@example.com -T -"

_CURL = {
    "imap": "curl -k{tls} -u {login} 'imap{s}://{address}/INBOX;MAILINDEX=1'",
    "pop3": "curl -k{tls} -u {login} pop3{s}://{address}/1",
    "smtp": "{letter} | curl -sSk{tls} -u {login} smtp{s}://{address} {envelope} && echo sent",
}
_OPENSSL = "openssl s_client -quiet -crlf{tls} -connect {address}"


def examples(servers: Iterable[MailServer]) -> Iterator[str]:
    """One curl line per server with TLS, and one of openssl per server with STARTTLS."""
    for server in servers:
        for listen in server.listens:
            if not isinstance(listen.address, InetAddress):
                continue
            if listen.ssl:
                yield _curl(server.protocol, str(listen.address), implicit=True)
            elif server.starttls is not Starttls.OFF:
                yield _curl(server.protocol, str(listen.address), implicit=False)
                starttls = f" -starttls {server.protocol}"
                yield _OPENSSL.format(tls=starttls, address=listen.address)


def _curl(protocol: str, address: str, *, implicit: bool) -> str:
    return _CURL[protocol].format(
        tls="" if implicit else " --ssl-reqd",
        s="s" if implicit else "",
        login=_LOGIN,
        address=address,
        letter=_LETTER,
        envelope=_ENVELOPE,
    )
