"""The one user of the demo."""

from __future__ import annotations

USER = b"demo"
PASSWORD = b"demo"


def accepts(user: bytes, password: bytes) -> bool:
    """Whether this pair may log in."""
    return user == USER and password == PASSWORD
