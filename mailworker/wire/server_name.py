"""The name in a client's server_name extension (RFC 6066 section 3), as nginx reads it (ngx_http_validate_host)."""

from __future__ import annotations

import re

_FORBIDDEN = re.compile(rb"[\x00-\x20\x7f/]|\.\.")


def requested_host(name: bytes | None) -> bytes | None:
    """The requested host, in lower case and without a port or a final dot; None if it is no valid host."""
    if name is None or _FORBIDDEN.search(name):
        return None
    host = name
    if name.startswith(b"[") and b"]" in name:
        host = name[: name.index(b"]") + 1]
    elif not name.startswith(b"[") and b":" in name:
        host = name[: name.index(b":")]
    if host and name.rfind(b".") == len(host) - 1:
        host = host[:-1]
    return host.lower() or None
