"""The table of login sources: a new source is a new row."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from mailworker.config.auth_http import AuthHttpSettings
from mailworker.config.settings import MailServer
from mailworker.config.source import ByBackendSettings
from mailworker.mail.authentication.auth_http import READING, AuthHttp
from mailworker.mail.authentication.by_backend import ByBackend
from mailworker.mail.authentication.policed import Policed
from mailworker.mail.authentication.refusals import Refusals
from mailworker.mail.authentication.source import LoginSource
from mailworker.mail.authentication.user_file import UserFile, Users
from mailworker.variables.table import HEADER_PREFIX
from mailworker.wire.auth_answers import Answers


class Means(NamedTuple):
    """The objects that a source may need in addition to the settings of its server.

    `refusals` and `ports` are the protocol's; `users` is None if no file is named. `answers` makes the parser of an
    auth service's answers; servers that read them in the same way share it. `host` is the client's host name in plain
    requests, None if they have none. `services` makes an AuthHttp without variables and idle connections; servers that
    ask in the same words share it.
    """

    refusals: Refusals
    ports: tuple[int, ...]
    users: Users | None = None
    answers: Callable[..., Answers] = Answers
    host: bytes | None = None
    services: Callable[..., AuthHttp] = AuthHttp


def _auth_http(settings: MailServer, means: Means) -> LoginSource | None:
    if not isinstance(settings.source, AuthHttpSettings):
        return None
    nameless = settings.proxy.backend is not None
    answers = means.answers(names=bool(settings.resolver.servers), nameless=nameless, reading=READING)
    used = settings.access_log.used.union(*(limit.used for limit in settings.limit_conn.limits))
    headers = frozenset(name.removeprefix(HEADER_PREFIX) for name in used if name.startswith(HEADER_PREFIX))
    if settings.source.has_variables or settings.source.keepalive:
        return AuthHttp(settings.source, answers, settings.variables.bind(), headers, means.host)
    return means.services(settings.source, answers, None, headers, means.host)


def _user_file(settings: MailServer, means: Means) -> LoginSource | None:
    return None if means.users is None else UserFile(means.users, settings, means.refusals, means.ports)


def _by_backend(settings: MailServer, _means: Means) -> LoginSource | None:
    return ByBackend(settings.only_judge) if isinstance(settings.source, ByBackendSettings) else None


LOGIN_SOURCES: tuple[Callable[[MailServer, Means], LoginSource | None], ...] = (_auth_http, _user_file, _by_backend)
"""Each makes the source of a server, or gives None if the settings name another; the first one made is used."""


def login_source(settings: MailServer, means: Means) -> LoginSource:
    """The login source of a server; if the server has a policy service, that is asked before."""
    source = next(found for make in LOGIN_SOURCES if (found := make(settings, means)) is not None)
    policy = settings.policy
    return source if policy is None else Policed(source, policy, settings.variables.bind(), means.refusals)
