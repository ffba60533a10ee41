"""`ssl_session_cache off | none | [builtin[:SESSIONS]] [shared:NAME:SIZE]`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mailworker.config import values
from mailworker.config.tree import Parser
from mailworker.config.zones import SMALLEST, SharedZone, declare_zone


@dataclass(frozen=True, slots=True)
class SessionCache:
    """`ssl_session_cache`: `off` refuses reuse; `builtin` is a number of sessions, None without that cache."""

    off: bool = False
    builtin: int | None = None
    shared: SharedZone | None = None


DEFAULT_SESSIONS: Final = 20480  # OpenSSL's own default size of a cache


@dataclass(frozen=True, slots=True)
class SessionCacheKind:
    """The part of the directive that is merged apart from the zone; `sessions` is for `builtin`."""

    name: str
    sessions: int | None = None

    def __str__(self) -> str:
        return self.name


OFF: Final = SessionCacheKind("off")
NONE: Final = SessionCacheKind("none")
SHARED_ONLY: Final = SessionCacheKind("shared only")


def read_session_cache(parser: Parser) -> tuple[SessionCacheKind | None, SharedZone | None]:
    """The kind and the zone in the directive, each None if it is not given."""
    kind: SessionCacheKind | None = None
    zone: SharedZone | None = None
    for word in parser.words[1:]:
        name, colon, rest = word.partition(":")
        if name == "shared" and rest:
            zone = _read_zone(parser, word, rest)
        elif name == "builtin" and (rest or not colon):
            kind = _read_builtin(parser, word, rest)
        elif word in ("off", "none"):
            kind = SessionCacheKind(word)
        else:
            raise _invalid(parser, word)
    return kind, zone


def freeze_session_cache(kind: SessionCacheKind, zone: SharedZone | None) -> SessionCache:
    """The cache of a server; `off` and `none` override a zone."""
    if kind == OFF:
        return SessionCache(off=True)
    if kind == NONE:
        return SessionCache()
    return SessionCache(builtin=kind.sessions, shared=zone)


def _read_builtin(parser: Parser, word: str, rest: str) -> SessionCacheKind:
    sessions = values.number(rest) if rest else DEFAULT_SESSIONS
    if sessions is None:
        raise _invalid(parser, word)
    return SessionCacheKind("builtin", sessions)


def _read_zone(parser: Parser, word: str, rest: str) -> SharedZone:
    name, _, size_text = rest.partition(":")
    size = values.size(size_text)
    if not name or size is None:
        raise _invalid(parser, word)
    if size < SMALLEST:
        raise parser.error(f'session cache "{word}" is too small')
    return declare_zone(parser, name, size, "ssl_session_cache")


def _invalid(parser: Parser, word: str) -> Exception:
    return parser.error(f'invalid session cache "{word}"')
