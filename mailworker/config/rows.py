"""Directives as fields of their module's draft.

    @dataclass(slots=True)
    class ProxyDraft:
        proxy_buffer: int = row(BOTH, ONE, size(BUFFER), PAGE)

The directive has the name of the field. `frozen` makes the module's frozen settings from a merged draft.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, Final, Generic, TypeVar, cast

from mailworker.config.command import Arity, Command, Setter
from mailworker.config.drafts import UNSET, Context, Draft, Scope
from mailworker.config.tree import Parser

V = TypeVar("V")
W = TypeVar("W")
D = TypeVar("D", bound=Draft)
S = TypeVar("S")


def _unchanged(_: Parser, value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class Value(Generic[V]):
    """The type of a directive's value.

    `take` reads the parser's words; it gets the value so far, UNSET without one, and returns the new value. `spell`
    writes a default as words. `freeze` converts the draft's value to that of the settings. `take` and `freeze` raise
    ConfigError.
    """

    take: Callable[[Parser, V], V]
    spell: Callable[[V], str] = str
    freeze: Callable[[Parser, V], object] = _unchanged


@dataclass(frozen=True, slots=True)
class _Row:
    contexts: Context
    arity: Arity
    value: Value[Any]
    default: Any
    into: str | None
    spelled: str | None

    @property
    def default_text(self) -> str | None:
        if self.spelled is not None:
            return self.spelled
        return None if self.default in (None, "", ()) else self.value.spell(self.default)


_ROW: Final = "row"
_DEFAULT: Final = "default"
_OWN_NAME: Final = ""


def row(  # noqa: PLR0913 - the columns of a table
    contexts: Context,
    arity: Arity,
    value: Value[V],
    default: W,
    *,
    into: str | None = _OWN_NAME,
    spelled: str | None = None,
) -> V | W:
    """A field of a draft, set by the directive of the same name.

    `into` is the field of the settings, if it has another name than the directive, None for no field. `spelled` is the
    default in the documentation, if it is computed later.
    """
    each = _Row(contexts, arity, value, default, into, spelled)
    return cast("V | W", field(default=UNSET, metadata={_DEFAULT: default, _ROW: each}))


def inherited(default: V) -> V:
    """A field of a draft that has no directive of its own, and is merged like the others."""
    return cast("V", field(default=UNSET, metadata={_DEFAULT: default}))


def commands(kind: type[Draft]) -> tuple[Command, ...]:
    """The directives of a draft."""
    return tuple(
        Command(name, each.contexts, each.arity, _setter(kind, name, each.value), default=each.default_text)
        for name, each in _rows(kind)
    )


def merged(kind: type[D], *scopes: Scope) -> D:
    """The draft with the value of each field in the first of `scopes` that has one, or else its default."""
    drafts = [scope.draft(kind) for scope in scopes if scope.has(kind)]
    defaults: D = _defaults(kind)
    if not drafts:
        return defaults
    return kind(*(_first_set(name, *drafts, defaults) for name in _names(kind)))


def frozen(settings: type[S], draft: Draft, parser: Parser, prefix: str = "", **computed: object) -> S:
    """The frozen settings of a merged draft; raises ConfigError.

    A field has the name of its directive without `prefix`, unless `into` names another. `computed` are the fields that
    are not the value of one directive.
    """
    values = computed.copy()
    for name, each in _rows(type(draft)):
        into = name.removeprefix(prefix) if each.into == _OWN_NAME else each.into
        if into is not None and into not in computed:
            values[into] = each.value.freeze(parser, getattr(draft, name))
    return settings(**values)


@cache
def _rows(kind: type[Draft]) -> tuple[tuple[str, _Row], ...]:
    return tuple((each.name, each.metadata[_ROW]) for each in fields(kind) if _ROW in each.metadata)


def _setter(kind: type[Draft], name: str, value: Value[Any]) -> Setter:
    def set_value(parser: Parser) -> None:
        draft = parser.scope.draft(kind)
        setattr(draft, name, value.take(parser, getattr(draft, name)))

    return set_value


@cache
def _names(kind: type[Draft]) -> tuple[str, ...]:
    return tuple(each.name for each in fields(kind))


@cache
def _defaults(kind: type[Draft]) -> Any:
    return kind(**{each.name: each.metadata[_DEFAULT] for each in fields(kind)})


def _first_set(name: str, *drafts: object) -> object:
    for draft in drafts:
        value = getattr(draft, name)
        if value is not UNSET:
            return value
    raise LookupError(name)
