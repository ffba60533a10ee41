"""The login source of a server: `auth_http`, as in nginx, `auth_user_file` or `auth_upstream`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mailworker.config import auth_http
from mailworker.config.auth_http import AuthHttpDraft, AuthHttpSettings
from mailworker.config.command import ONE
from mailworker.config.drafts import BOTH, UNSET, Scope
from mailworker.config.proxy_pass import ProxyPass
from mailworker.config.rows import Value, commands, merged, row
from mailworker.config.slots import FLAG, once
from mailworker.config.tree import Parser
from mailworker.errors import ConfigError
from mailworker.model import METHOD_NAMES, AuthMethod
from mailworker.variables.variables import Variables


@dataclass(frozen=True, slots=True)
class UserFileSettings:
    """`auth_user_file`; `path` is absolute."""

    path: str


@dataclass(frozen=True, slots=True)
class ByBackendSettings:
    """`auth_upstream on`."""


LoginSource = AuthHttpSettings | UserFileSettings | ByBackendSettings


def _take_path(parser: Parser) -> str:
    path = parser.beside_configuration(parser.words[1])
    parser.declare_secret("user file", path)
    return path


@dataclass(slots=True)
class SourceDraft:
    """`auth_user_file` is None if no block has one."""

    auth_user_file: str | None = row(BOTH, ONE, Value(once(_take_path)), None, into=None)
    auth_upstream: bool = row(BOTH, ONE, FLAG, False, into=None)


COMMANDS: Final = commands(SourceDraft)

_PASSWORDS: Final = AuthMethod.PLAIN | AuthMethod.LOGIN

# The methods that a source can verify: a file has passwords, and a backend gets what the client has sent.
_KNOWN: Final[dict[type[object], tuple[str, AuthMethod]]] = {
    UserFileSettings: ("auth_user_file", _PASSWORDS | AuthMethod.CRAM_MD5 | AuthMethod.APOP),
    ByBackendSettings: ("auth_upstream", _PASSWORDS | AuthMethod.XOAUTH2 | AuthMethod.OAUTHBEARER),
}


def freeze(parser: Parser, server: Scope, mail: Scope, variables: Variables, backend: ProxyPass | None) -> LoginSource:
    """The server's own source, or else the inherited one; raises ConfigError without one, and for two in a block.

    `variables` are those of the server, `backend` is that of `proxy_pass`.
    """
    draft = merged(SourceDraft, server, mail)
    for scope in (server, mail):
        given = _given(scope, by_backend=draft.auth_upstream)
        if len(given) > 1:
            raise ConfigError(f'"{given[0]}" and "{given[1]}" exclude each other', scope.opened_at)
        if given == ["auth_user_file"]:
            return UserFileSettings(draft.auth_user_file or "")
        if given == ["auth_upstream"]:
            if backend is None:
                raise ConfigError('"auth_upstream" needs "proxy_pass"', server.opened_at)
            return ByBackendSettings()
        if given:
            break
    settings = auth_http.freeze(parser, server, mail, variables)
    if settings is None:
        hint = ', "proxy_pass" alone does not decide about logins: is "auth_upstream on" missing?' if backend else ""
        raise ConfigError('no "auth_http" is defined for server', server.opened_at, hint)
    return settings


def check_methods(source: LoginSource, protocol: str, methods: AuthMethod, where: str) -> None:
    """Raises ConfigError for a login method that `source` cannot verify."""
    if type(source) not in _KNOWN:
        return
    name, known = _KNOWN[type(source)]
    beyond = [each for each in AuthMethod if each in methods & ~known]
    if beyond:
        raise ConfigError(
            f'"{protocol}_auth {METHOD_NAMES[beyond[0]].directive}" needs "auth_http", not "{name}"', where
        )


def _given(scope: Scope, *, by_backend: bool) -> list[str]:
    """The sources in a block; `by_backend` is the value of `auth_upstream` that applies to the server."""
    draft = scope.draft(SourceDraft)
    sources = {
        "auth_http": scope.draft(AuthHttpDraft).auth_http is not UNSET,
        "auth_user_file": draft.auth_user_file is not UNSET,
        "auth_upstream": by_backend and draft.auth_upstream is True,
    }
    return [name for name, given in sources.items() if given]
