"""What is said in each protocol, before and at the login."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass

from tests.support.backend import Script, echo
from tests.support.peer import Peer

USER, PASSWORD = b"user@example.com", b"canary-in-clear"
_LITERAL = re.compile(rb"\{([0-9]+)(\+?)\}\r\n\Z")
LISTS_LITERALS = b"* OK [CAPABILITY IMAP4rev1 LITERAL+] backend\r\n"
LISTS_PLAIN = b"* OK [CAPABILITY IMAP4rev1 LOGINDISABLED SASL-IR AUTH=PLAIN] backend\r\n"


def base64(value: bytes) -> bytes:
    """What a client sends for `value`; "=" for nothing, as RFC 4954 wants it."""
    return b64encode(value) or b"="


PLAIN = base64(b"\0%b\0%b" % (USER, PASSWORD))
# A log that holds one of these holds a password.
CANARIES = (PASSWORD, PLAIN[-16:])


@dataclass(frozen=True, slots=True)
class Speech:
    """One protocol: what a client says and hears. `auth` begins a SASL exchange, `no` the answer of a failed login."""

    name: str
    greeting: bytes
    login: bytes
    welcome: bytes
    auth: bytes
    starttls: bytes
    go_ahead: bytes
    noop: bytes
    done: bytes
    invalid: bytes
    internal: bytes
    no: bytes

    def plain(self, credentials: bytes) -> bytes:
        """AUTH PLAIN with these credentials, as they are before base64."""
        return b"%b PLAIN %b\r\n" % (self.auth, base64(credentials))

    def rejection(self, text: bytes) -> bytes:
        """What a client hears whom the auth service refuses."""
        return b"%b%b\r\n" % (self.no, text)

    def backend(self, peer: Peer, then: Script = echo) -> None:
        """A healthy server: lets everybody in, then does `then`; by default it gives each line back."""
        _BACKENDS[self.name](peer, then)


IMAP = Speech(
    name="imap",
    greeting=b"* OK IMAP4 ready\r\n",
    login=b"a LOGIN %b %b\r\n" % (USER, PASSWORD),
    welcome=b"a OK welcome\r\n",
    auth=b"a AUTHENTICATE",
    starttls=b"a STARTTLS\r\n",
    go_ahead=b"a OK completed\r\n",
    noop=b"a NOOP\r\n",
    done=b"a OK completed\r\n",
    invalid=b"a BAD invalid command\r\n",
    internal=b"* BAD internal server error\r\n",
    no=b"a NO ",
)
POP3 = Speech(
    name="pop3",
    greeting=b"+OK POP3 ready\r\n",
    login=b"AUTH PLAIN %b\r\n" % PLAIN,
    welcome=b"+OK welcome\r\n",
    auth=b"AUTH",
    starttls=b"STLS\r\n",
    go_ahead=b"+OK\r\n",
    noop=b"NOOP\r\n",
    done=b"+OK\r\n",
    invalid=b"-ERR invalid command\r\n",
    internal=b"-ERR internal server error\r\n",
    no=b"-ERR ",
)
SMTP = Speech(
    name="smtp",
    greeting=b"220 mail.example ESMTP ready\r\n",
    login=b"AUTH PLAIN %b\r\n" % PLAIN,
    welcome=b"235 2.0.0 OK\r\n",
    auth=b"AUTH",
    starttls=b"STARTTLS\r\n",
    go_ahead=b"220 2.0.0 Start TLS\r\n",
    noop=b"NOOP\r\n",
    done=b"250 2.0.0 OK\r\n",
    invalid=b"500 5.5.1 Invalid command\r\n",
    internal=b"451 4.3.2 Internal server error\r\n",
    no=b"535 5.7.0 ",
)
SPEECHES = (IMAP, POP3, SMTP)


def literal_plus(peer: Peer) -> None:
    """A healthy IMAP server that takes LOGIN at once."""
    _imap(peer, echo, LISTS_LITERALS)


def without_login(peer: Peer) -> None:
    """A healthy IMAP server that takes AUTHENTICATE PLAIN with its response, and no LOGIN."""
    _imap(peer, echo, LISTS_PLAIN)


def _imap(peer: Peer, then: Script, greeting: bytes = b"* OK backend\r\n") -> None:
    peer.send(greeting)
    line = peer.line()
    tag = line.split(b" ")[0]
    while length := _LITERAL.search(line):
        peer.send(b"" if length[2] else b"+ go on\r\n")
        peer.skip(int(length[1]))
        line = peer.line()
    if line.endswith(b"AUTHENTICATE PLAIN\r\n"):
        peer.send(b"+ go on\r\n")
        line = peer.line()
    if line:
        peer.send(tag + b" OK welcome\r\n")
        then(peer)


def _pop3(peer: Peer, then: Script) -> None:
    peer.send(b"+OK backend\r\n")
    while (line := peer.line()) == b"CAPA\r\n":
        peer.send(b"-ERR\r\n")
    peer.send(b"+ go on\r\n" if line == b"AUTH PLAIN\r\n" else b"+OK\r\n")
    if line and peer.line():
        peer.send(b"+OK welcome\r\n")
        then(peer)


def _smtp(peer: Peer, then: Script) -> None:
    """For `then` a client says no EHLO, so XCLIENT is the proxy's last command."""
    peer.send(b"220 backend\r\n")
    while line := peer.line():
        peer.send(_REPLIES.get(line[:4], line))
        if line.startswith(b"XCLIENT ") and then is not echo:
            then(peer)
            return


_REPLIES = {
    b"EHLO": b"250-ok\r\n250 XCLIENT NAME ADDR LOGIN\r\n",
    b"XCLI": b"220 ok\r\n",
    b"AUTH": b"235 ok\r\n",
} | dict.fromkeys((b"HELO", b"MAIL", b"RCPT"), b"250 ok\r\n")
_BACKENDS = {"imap": _imap, "pop3": _pop3, "smtp": _smtp}
