"""What a regular expression is to those who use one; `mailworker.native.regex` is the engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

Captures = Sequence[bytes | None]
"""What the groups of a regular expression took; the first is the whole match, None is a group that took no part."""


class Regex(Protocol):
    """Compiled. `groups` has the numbers of those groups that have names."""

    @property
    def groups(self) -> dict[str, int]: ...

    def search(self, subject: bytes) -> Captures | None:
        """The first match, None without one. Raises ProtocolError where the subject would take too long."""


class BadRegex(ValueError):
    """The text is no regular expression, or there is no engine; the message is nginx's."""


CompileRegex = Callable[[bytes, bool], Regex]
"""A pattern, and whether the case of letters counts for nothing -> what it compiles to; raises BadRegex."""


def no_engine(pattern: bytes, _caseless: bool) -> Regex:
    """Refuse every pattern, in nginx's words, where there is no engine."""
    raise BadRegex(f'using regex "{pattern.decode(errors="surrogateescape")}" requires PCRE library')
