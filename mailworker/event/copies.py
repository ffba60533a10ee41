"""Copies of pattern objects, in place of constructors; native/core/copies.c has it in C.

Objects that exist for each session have many fields with the same first values. A copy takes a few instructions, where
a constructor in Python takes some hundred instructions for each field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from mailworker.native.core import accelerator

__all__ = ["copied"]

ObjectT = TypeVar("ObjectT")


def copied(pattern: ObjectT, /) -> ObjectT:
    """A new object of the same class, whose fields hold the same objects; fields that `pattern` lacks stay unset.

    All fields have to be slots: raises TypeError for another class.
    """
    kind = type(pattern)
    if kind.__dictoffset__ or kind.__weakrefoffset__ or kind.__itemsize__:
        raise TypeError(f"{kind.__name__} has more than slots")
    made = object.__new__(kind)
    for base in kind.__mro__:
        slots = base.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            slot = base.__dict__[_mangled(base, name)]
            try:
                value = slot.__get__(pattern, kind)
            except AttributeError:
                continue
            slot.__set__(made, value)
    return made


def _mangled(base: type, name: str) -> str:
    private = name.startswith("__") and not name.endswith("__")
    return f"_{base.__name__.lstrip('_')}{name}" if private else name


if accelerator is not None and not TYPE_CHECKING:
    copied = accelerator.copied
