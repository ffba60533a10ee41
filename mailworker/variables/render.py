"""Functions that render a text from literals and from functions that give values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from mailworker.variables.facts import Facts

Evaluate = Callable[[Facts], bytes | None]
"""Gives the value of a variable, None if the session has none."""

Render = Callable[[Facts], bytes]
"""Renders the text of a template. Raises ProtocolError if a regular expression takes too long."""


def joined(parts: Sequence[bytes | Render]) -> Render:
    """The function that joins literals and the values of functions.

    It is compiled from the text of one expression, as `collections.namedtuple` makes its methods: a loop over functions
    takes the interpreter several times as long. Nothing in that text comes from the configuration.
    """
    if len(parts) == 1 and not isinstance(parts[0], bytes):
        return parts[0]
    names = {f"part{number}": part for number, part in enumerate(parts)}
    values = (name if isinstance(part, bytes) else f"{name}(facts)" for name, part in names.items())
    return cast("Render", eval(f"lambda facts: join(({''.join(f'{value}, ' for value in values)}))", names | _JOIN))


_JOIN = {"join": b"".join}
