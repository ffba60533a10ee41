"""Copies of pattern objects, in place of constructors; native/core/copies.c has it in C.

Objects that exist for each session have many fields with the same first values. A copy takes a few instructions, where
a constructor in Python takes some hundred instructions for each field.
"""

from __future__ import annotations

from contextlib import suppress
from types import MemberDescriptorType
from typing import TYPE_CHECKING, TypeVar

from mailworker.native.core import accelerator

__all__ = ["copied"]

ObjectT = TypeVar("ObjectT")


def copied(pattern: ObjectT, /) -> ObjectT:
    """A new object of the same class, whose fields hold the same objects; fields that `pattern` lacks stay unset.

    All fields have to be slots: raises TypeError for another class.
    """
    kind = type(pattern)
    if kind.__dictoffset__ or kind.__weakrefoffset__:
        raise TypeError(f"{kind.__name__} has more than slots")
    made = object.__new__(kind)  # which refuses the types of Python
    for field in (each for base in kind.__mro__ for each in vars(base).values()):
        if isinstance(field, MemberDescriptorType):
            with suppress(AttributeError):
                field.__set__(made, field.__get__(pattern, kind))
    return made


if accelerator is not None and not TYPE_CHECKING:
    copied = accelerator.copied
