"""`server` inherits from `mail`, value by value; what neither sets takes the default."""

from __future__ import annotations

from dataclasses import fields
from typing import TypeVar

from mailworker.config.drafts import UNSET, Draft, Scope

D = TypeVar("D", bound=Draft)


def merged(defaults: D, *scopes: Scope) -> D:
    """A draft whose every field is the first set one of `scopes`, innermost first, or else that of `defaults`."""
    kind = type(defaults)
    drafts = [scope.draft(kind) for scope in scopes if scope.has(kind)]
    if not drafts:
        return defaults
    return kind(**{field.name: _first_set(field.name, *drafts, defaults) for field in fields(kind)})


def _first_set(name: str, *drafts: object) -> object:
    return next((value for draft in drafts if (value := getattr(draft, name)) is not UNSET), UNSET)
