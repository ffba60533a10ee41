"""Quoted strings of IMAP and ManageSieve (RFC 9051 section 9, RFC 5804 section 4)."""

from __future__ import annotations

import re

_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)


def quoted(value: bytes) -> bytes:
    """A quoted string; the caller must check that it may contain these bytes."""
    return b'"%b"' % value.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


def unescaped(content: bytes) -> bytes:
    """The value of a quoted string with `content` between its quotes."""
    return _ESCAPED.sub(rb"\1", content) if b"\\" in content else content
