"""The easiest login of each protocol, for tests of whole sessions."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from tests.support.backend import Script, conversation, echo
from tests.support.peer import Peer

CREDENTIALS = b64encode(b"\0user@example.com\0secret")
AUTH_PLAIN = b"AUTH PLAIN " + CREDENTIALS + b"\r\n"


@dataclass(frozen=True, slots=True)
class Case:
    """A protocol with its easiest login: `talk` leads to it, `login` is it, `backend` hears `commands`.

    `noop` is a command that may come before the login, and its answer.
    """

    protocol: str
    greeting: bytes
    login: bytes
    answer: bytes
    backend: tuple[bytes, ...]
    commands: bytes
    error: bytes
    noop: tuple[bytes, bytes]

    def script(self, then: Script = echo) -> Script:
        return conversation(*self.backend, then=then)


IMAP = Case(
    "imap",
    b"* OK IMAP4 ready\r\n",
    b"a1 LOGIN user@example.com secret\r\n",
    b"a1 OK [CAPABILITY IMAP4rev1] Logged in\r\n",
    (b"* OK backend\r\n", b"+ go\r\n", b"+ go\r\n", b"a1 OK [CAPABILITY IMAP4rev1] Logged in\r\n"),
    b"a1 LOGIN {16}\r\nuser@example.com {6}\r\nsecret\r\n",
    b"* BAD internal server error\r\n",
    (b"a NOOP\r\n", b"a OK completed\r\n"),
)
# IMAP at a backend that takes literals at once. Its three lines of LOGIN come together; only the last one is answered.
LITERAL_PLUS = replace(
    IMAP,
    backend=(b"* OK [CAPABILITY IMAP4rev1 LITERAL+] backend\r\n", b"", b"", IMAP.answer),
    commands=IMAP.commands.replace(b"}", b"+}"),
)
# IMAP at backends that refuse LOGIN, but list PLAIN; the second one takes its response in the line.
LOGINDISABLED = replace(
    IMAP,
    backend=(b"* OK [CAPABILITY IMAP4rev1 LITERAL+ LOGINDISABLED AUTH=PLAIN] backend\r\n", b"+ \r\n", IMAP.answer),
    commands=b"a1 AUTHENTICATE PLAIN\r\n" + CREDENTIALS + b"\r\n",
)
SASL_IR = replace(
    IMAP,
    backend=(LOGINDISABLED.backend[0].replace(b"LITERAL+", b"SASL-IR"), IMAP.answer),
    commands=b"a1 AUTHENTICATE PLAIN " + CREDENTIALS + b"\r\n",
)
POP3 = Case(
    "pop3",
    b"+OK POP3 ready\r\n",
    AUTH_PLAIN,
    b"+OK 2 messages\r\n",
    (b"+OK backend\r\n", b"+OK user\r\n", b"+OK 2 messages\r\n"),
    b"USER user@example.com\r\nPASS secret\r\n",
    b"-ERR internal server error\r\n",
    (b"NOOP\r\n", b"+OK\r\n"),
)
# POP3 at a backend that lists PLAIN, and gets it at once. It is asked when it repeats its greeting.
SASL_PLAIN = replace(POP3, backend=(POP3.backend[0], POP3.answer), commands=AUTH_PLAIN)
CAPABILITIES = b"+OK\r\nUSER\r\nSASL LOGIN PLAIN\r\n.\r\n"


def pop3_server(
    greeting: bytes = POP3.backend[0],
    listed: bytes | None = CAPABILITIES,
    answer: bytes = POP3.answer,
    *,
    user: bytes = b"+OK user\r\n",
    send: Callable[[Peer, bytes], None] = Peer.send,
) -> Script:
    """A server that knows USER, PASS, AUTH and CAPA; it refuses the last one where `listed` is None."""

    def follow(peer: Peer) -> None:
        send(peer, greeting)
        while line := peer.line():
            verb = line.split()[0]
            if verb == b"CAPA":
                send(peer, b"-ERR what\r\n" if listed is None else listed)
            elif line == b"AUTH PLAIN\r\n":
                send(peer, b"+ \r\n")
            elif verb == b"USER":
                send(peer, user)
            else:
                send(peer, answer)
                if answer.startswith(b"+OK"):
                    echo(peer)

    return follow


SMTP = Case(
    "smtp",
    b"220 mail.example.com ESMTP ready\r\n",
    AUTH_PLAIN,
    b"235 2.0.0 OK\r\n",
    (b"220 backend\r\n", b"250-backend\r\n250 XCLIENT NAME ADDR LOGIN\r\n", b"220 again\r\n"),
    b"EHLO mail.example.com\r\nXCLIENT ADDR=127.0.0.1 LOGIN=user@example.com NAME=[UNAVAILABLE]\r\n",
    b"451 4.3.2 Internal server error\r\n",
    (b"NOOP\r\n", b"250 2.0.0 OK\r\n"),
)
SIEVE = Case(
    "sieve",
    b'"IMPLEMENTATION" "mailworker"\r\n"SIEVE" "fileinto"\r\n"SASL" "PLAIN"\r\n"VERSION" "1.0"\r\n'
    b'OK "ManageSieve ready."\r\n',
    b'AUTHENTICATE "PLAIN" "%b"\r\n' % CREDENTIALS,
    b'OK "Logged in."\r\n',
    (b'"IMPLEMENTATION" "backend"\r\n"SASL" "PLAIN"\r\nOK "ready"\r\n', b'OK "Logged in."\r\n'),
    b'AUTHENTICATE "PLAIN" "%b"\r\n' % CREDENTIALS,
    b'BYE (TRYLATER) "Account is temporarily unavailable."\r\n',
    (b"NOOP\r\n", b'OK "Done."\r\n'),
)
# nginx's three. What is the same in ManageSieve is tested by WITH_SIEVE, the rest in the tests of its own.
CASES = [IMAP, POP3, SMTP]
WITH_SIEVE = [*CASES, SIEVE]
all_protocols = pytest.mark.parametrize("case", CASES, ids=lambda case: case.protocol)
