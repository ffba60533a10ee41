"""docs/troubleshooting.md explains each line about refused commands, and quotes lines as the program writes them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
SOURCES = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "mailworker").rglob("*.py")))

# What is refused, up to a value: the words in the sources between the values.
_REFUSAL = re.compile(
    r"""(?<!Tls)(?:NoLogin|Refused|_refused|tell_refusal)\((?:self, )?f?"([^"{]*)(?:\{[^}]*\}([^"{]*))?"""
)
REFUSALS = sorted({part.strip() for parts in _REFUSAL.findall(SOURCES) for part in parts if part.strip()})

# What the page quotes and the program writes.
LINES = (
    "bind() to ",
    'no "auth_http" is defined for server',
    " is not served here",
    "client was refused: ",
    "further refusals are not logged",
    "client left without a login",
    ", which needs TLS",
    "invalid response to a challenge",
    " in place of a command",
    "client login failed: ",
    "client was rejected: ",
    "client timed out",
    "SSL handshaking",
    "client SSL certificate verify error",
    "client sent no required SSL certificate",
    " cannot log in: ",
    "its password takes too long to check",
    'no "host" is given, and no "proxy_pass"',
    '"resolver" is needed to look up host',
    "client sent another authorization identity in AUTH PLAIN command",
    "client sent too long command",
    " with too long literal",
    "client sent forbidden bytes in login or password",
    "client sent too long login or password for AUTH",
    "client sent too long login for XCLIENT",
    "client sent too many commands",
    "client sent a command that is not proxied",
    "client came through too many proxies",
    "upstream sent data before SSL handshake",
    "client failed to log in too many times",
    "client sent too many invalid commands",
    "prematurely closed connection",
    "sent invalid response with HTTP status ",
    "did not send status",
    "did not send server or port",
    "did not send password",
    "sent invalid server address:",
    "upstream timed out",
    "accept4() failed",
    "reading response from upstream",
    "upstream prematurely closed connection",
    "upstream does not offer AUTH ",
    "upstream does not offer AUTHENTICATE ",
    "upstream does not offer STARTTLS",
    "upstream offers no login before STARTTLS",
    "upstream sent invalid response: ",
    "SSL handshaking to upstream",
    "upstream SSL certificate verify error",
    "upstream SSL certificate does not match",
    "upstream takes XCLIENT from this proxy, and so from its clients",
    'upstream lists no LOGIN for XCLIENT and "proxy_smtp_auth" is off',
    "broken header: ",
    "reading PROXY protocol",
    "client logged in",
    "proxied session done",
    "worker_connections are not enough",
)


def test_there_are_refusals_to_explain() -> None:
    assert len(REFUSALS) > 20
    assert {"is not known", "login without TLS", "RCPT without MAIL"} <= set(REFUSALS)


@pytest.mark.parametrize("words", REFUSALS)
def test_each_refusal_is_explained(words: str) -> None:
    assert words.replace("APOP is not enabled", "CRAM-MD5 is not enabled") in PAGE  # explained together


@pytest.mark.parametrize("line", LINES)
def test_each_line_is_quoted_as_it_is_written(line: str) -> None:
    assert line in PAGE
    assert line in SOURCES or line in SOURCES.replace('"\n    "', "").replace("\"\n    '", "").replace("'\n    \"", "")
