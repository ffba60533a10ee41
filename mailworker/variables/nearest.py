"""Suggestions for unknown names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

# The least similarity of two names, as difflib measures it: one letter of five may be wrong, or two of ten.
_ALIKE: Final = 0.75


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The text to append to a message; empty if no known name is similar."""
    from difflib import get_close_matches  # noqa: PLC0415 - who makes no mistake needs no memory for it

    names = {each.lower(): each for each in known}
    near = get_close_matches(name.lower(), names, n=1, cutoff=_ALIKE)
    return f', did you mean "{names[near[0]]}"?' if near else ""
