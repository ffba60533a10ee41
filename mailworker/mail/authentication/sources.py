"""The login sources that there are: a new one is a row."""

from __future__ import annotations

from collections.abc import Callable

from mailworker.config.settings import MailServer
from mailworker.mail.authentication.auth_http import AuthHttp
from mailworker.mail.authentication.source import LoginSource


def _auth_http(settings: MailServer) -> LoginSource:
    nameless = settings.proxy.backend is not None
    return AuthHttp(
        settings.auth_http, settings.variables.bind(), names=bool(settings.resolver.servers), nameless=nameless
    )


LOGIN_SOURCES: tuple[Callable[[MailServer], LoginSource | None], ...] = (_auth_http,)
"""Each makes the source of a server, or gives None where its settings ask for another; the first made counts."""


def login_source(settings: MailServer) -> LoginSource:
    """Who decides about the logins of a server."""
    return next(source for make in LOGIN_SOURCES if (source := make(settings)) is not None)
