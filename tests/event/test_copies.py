"""Objects that begin as others of their class."""

from __future__ import annotations

import gc
import weakref
from typing import Any, Generic, TypeVar

import pytest

from tests.support.implementations import Implementation

T = TypeVar("T")


class Base(Generic[T]):
    __slots__ = ("__secret", "first")

    first: object

    def hide(self, value: object) -> None:
        self.__secret = value

    def tell(self) -> object:
        return self.__secret


class Derived(Base[int]):
    __slots__ = ("lacking", "second")

    lacking: object
    second: object


class Known(Derived):
    __slots__ = ("__weakref__",)


class Open(Derived):
    __slots__ = ("__dict__",)


def test_fields_are_the_same_objects_and_what_lacks_is_lacking(implementation: Implementation) -> None:
    pattern, members = Derived(), [object() for _ in range(3)]
    pattern.first, pattern.second = members[:2]
    pattern.hide(members[2])
    made = implementation.copies.copied(pattern)
    assert type(made) is Derived
    assert made is not pattern
    assert [made.first, made.second, made.tell()] == members
    assert not hasattr(made, "lacking")


def test_a_copy_is_another_object(implementation: Implementation) -> None:
    pattern = Derived()
    pattern.first = 1
    made = implementation.copies.copied(pattern)
    made.first = 2
    made.lacking = 3
    assert pattern.first == 1
    assert not hasattr(pattern, "lacking")


def test_a_copy_gives_its_fields_back(implementation: Implementation) -> None:
    pattern, field = Derived(), Known()
    pattern.first = field
    made = implementation.copies.copied(pattern)
    made.second = made  # a circle
    alive = weakref.ref(field)
    del pattern, field
    assert alive() is not None
    del made
    gc.collect()
    assert alive() is None


@pytest.mark.parametrize("other", [Open(), Known(), (1,), 5, "text", [1], Derived], ids=lambda it: type(it).__name__)
def test_what_has_more_than_slots_is_not_copied(implementation: Implementation, other: Any) -> None:
    with pytest.raises(TypeError):
        implementation.copies.copied(other)
