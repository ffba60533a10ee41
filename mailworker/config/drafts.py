"""Drafts: the settings of a module in a block while the configuration is being read. Their fields begin as UNSET.

The types of the fields are those after merging, which leaves no UNSET.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import Field
from enum import Enum, Flag, auto
from typing import Any, ClassVar, Final, Protocol, TypeVar, cast

D = TypeVar("D")


class _Unset(Enum):
    UNSET = "unset"


UNSET: Final[Any] = _Unset.UNSET
"""The value of a directive that was not given. Its type is Any, as it replaces values of all types."""


class Draft(Protocol):
    """Any dataclass whose fields may be UNSET."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


class Context(Flag):
    """The blocks that a directive is allowed in."""

    MAIN = auto()
    EVENTS = auto()
    MAIL = auto()
    SERVER = auto()
    STATUS = auto()
    CONTROL = auto()

    ANY = MAIN | EVENTS | MAIL | SERVER | STATUS | CONTROL


BOTH: Final = Context.MAIL | Context.SERVER
"""The contexts of most directives: a server inherits the values of `mail`."""


class Scope:
    """A block: its drafts, the block around it, and the position of its "{"."""

    __slots__ = ("_drafts", "context", "opened_at", "parent")

    def __init__(self, context: Context, parent: Scope | None = None, opened_at: str = "") -> None:
        self.context = context
        self.parent = parent
        self.opened_at = opened_at
        self._drafts: dict[type[object], object] = {}

    def draft(self, kind: type[D]) -> D:
        """The block's draft of `kind`, which is made by the first call."""
        if kind not in self._drafts:
            self._drafts[kind] = kind()
        return cast("D", self._drafts[kind])

    @property
    def kinds(self) -> Set[type[object]]:
        """The kinds of the drafts that exist."""
        return self._drafts.keys()

    def has(self, kind: type[object]) -> bool:
        """Whether there is a draft of `kind`."""
        return kind in self._drafts

    def clear(self) -> None:
        """Drop all drafts."""
        self._drafts.clear()

    def outer(self, kind: type[D]) -> D:
        """The draft of `kind` of the block around this one."""
        if self.parent is None:
            raise LookupError(f"no block around {self.context}")
        return self.parent.draft(kind)
