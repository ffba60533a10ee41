"""Words that a target knows, which random bytes would rarely hit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mailworker.config.load import directives
from mailworker.mail.protocols.table import PROTOCOLS

WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "imap": ("LOGIN", "AUTHENTICATE", "PLAIN", "STARTTLS", "CAPABILITY", "NOOP", "LOGOUT", "{1}\r\n", "{1+}\r\n",
             "ID (", "NIL", ")\r\n", "FOO {2+}\r\n", "t/1=#]<> "),
    "pop3": ("USER", "PASS", "APOP", "AUTH", "CAPA", "STLS", "NOOP", "QUIT", "\r\n"),
    "smtp": ("EHLO", "HELO", "AUTH", "MAIL FROM:<", "RCPT TO:<", "STARTTLS", "RSET", "NOOP", "QUIT", "BDAT ", "5",
             " LAST", "\r\n"),
    "sasl": ("AGEAYg==", "n,a=u,\x01auth=Bearer t\x01\x01", "user=u\x01auth=Bearer t\x01\x01"),
    "secrets": ("LOGIN ", "AUTH ", "PASS ", "USER ", "NOOP ", "EHLO ", "PROXY ", "a ", "\t", "\r\n", "\x16\x03\x01"),
    "proxy": ("PROXY ", "TCP4 ", "TCP6 ", "UNKNOWN", "\r\n", "\r\n\r\n\0\r\nQUIT\n", "\x21\x11\0\x0c", "::1"),
    "auth": ("HTTP/1.0 200 OK\r\n", "Auth-Status: ", "OK", "WAIT", "Auth-Wait: ", "Auth-Server: ", "Auth-Port: ",
             "Auth-User: ", "Auth-Pass: ", "Auth-Error-Code: ", "Auth-Error-SASL: ", "\r\n", "127.0.0.1"),
    "backend": ("* OK", "* BYE", "* bye", "+ ", "+\r\n", "a OK", "a Ok", "+OK", "-ERR", "220 ", "250-", "250 ", "\r\n"),
    "login": ("a LOGIN ", "\"", "\\", "{1}", " ", "\r\n", "CAPA\r\n", "USER ", "PASS ", "EHLO ", "AUTH PLAIN",
              "AUTH LOGIN\r\n", "AGEAYg=="),
    "answers": ("HTTP/1.1 200 OK\r\n", "\r\nDate: ", "Sun, 29 Nov 2026 07:15:01 GMT", "\0", "\r\n", "\r\n\r\n",
                "Auth-Status: OK\r\n", "Auth-Server: ", "Auth-Port: ", "Auth-User: ", "Connection: ", "close",
                "127.0.0.1", "Content-Length: 1\r\n", "Transfer-Encoding: ", "Auth-Pass: "),
    "plan": ("\0\0\0", "\1\1\1", "\6\2\2", "\x0d\x0c\3", "\x13\x0f\2"),
    "sieve": ("AUTHENTICATE ", '"PLAIN"', "STARTTLS", "CAPABILITY", "NOOP ", "LOGOUT", "HAVESPACE ", "PUTSCRIPT ", '"',
              '\\"', "{1+}\r\n", "{2}\r\n", "{4294967296+}\r\n", " ", "\r\n"),
    "sieve-reply": ("OK", "NO ", "BYE ", '"SASL" "PLAIN"\r\n', '"STARTTLS"\r\n', "{1}\r\n", "{0}\r\n", "(", ")", '"',
                    '(REFERRAL "sieve://h") ', "(TRYLATER) ", '""\r\n', "\r\n"),
    "sieve-line": ("PUTSCRIPT ", "CHECKSCRIPT ", "SETACTIVE ", "NOOP ", "UNAUTHENTICATE", "STARTTLS", '"x"', '"', "\\",
                   "{1+}\r\n", "{2+}\r\n", "{3}\r\n", "\xc3\xa4", "\xed\xa0", "\r\n", "\n"),
    "dns": ("\xc0\x0c", "\0\1\0\1", "\0\5\0\1", "\0\x0c\0\1", "\0\x1c\0\1", "\0\4"),
    "config": (*(each.name for each in directives(PROTOCOLS)), "{", "}", ";", "on", "off", "127.0.0.1:143", "unix:/a",
               "shared:a:1m", "plain", "TLSv1.2"),
}  # fmt: skip


def write(target: str, path: Path) -> bool:
    """Write a dictionary for libFuzzer; False where there are no words."""
    words = WORDS.get(target, ())
    path.write_text("".join('"' + "".join(f"\\x{ord(byte):02x}" for byte in word) + '"\n' for word in words))
    return bool(words)
