"""What may have been meant by a name that nobody knows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

# How alike two names are, as difflib measures it: one letter of five may be wrong, or two of ten.
_ALIKE: Final = 0.75


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The words to put behind a message; none where no known name is near."""
    from difflib import get_close_matches  # noqa: PLC0415 - who makes no mistake needs no memory for it

    near = get_close_matches(name, known, n=1, cutoff=_ALIKE)
    return f', did you mean "{near[0]}"?' if near else ""
