"""Functions that give a text, made of literals and of other such functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mailworker.variables.facts import Facts

Render = Callable[[Facts], bytes]
"""The text that a template comes to. Raises ProtocolError where a regular expression takes too long."""


def joined(parts: Sequence[bytes | Render]) -> Render:
    """The function that gives what literals and functions come to, side by side."""
    if len(parts) == 1 and not isinstance(parts[0], bytes):
        return parts[0]
    form = b"".join(part.replace(b"%", b"%%") if isinstance(part, bytes) else b"%b" for part in parts)
    functions = tuple(part for part in parts if not isinstance(part, bytes))
    if len(functions) == 1:
        (only,) = functions
        return lambda facts: form % only(facts)
    return lambda facts: form % tuple([function(facts) for function in functions])
