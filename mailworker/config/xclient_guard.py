"""`proxy_smtp_xclient_guard`."""

from __future__ import annotations

from enum import Enum


class XclientGuard(Enum):
    """Whose sessions end where they could claim a login at the backend by an XCLIENT of their own."""

    OFF = "off"
    ANONYMOUS = "anonymous"
    ALL = "all"
