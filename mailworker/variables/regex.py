"""The interface of regular expressions; `mailworker.native.regex` is the engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

Captures = Sequence[bytes | None]
"""The captures of a regular expression: the first is the whole match, None is a group that did not match."""


class Regex(Protocol):
    """A compiled regular expression. `groups` maps the names of groups to their numbers."""

    @property
    def groups(self) -> dict[str, int]: ...

    def search(self, subject: bytes) -> Captures | None:
        """The first match, None without one. Raises ProtocolError if the subject takes too long."""


class BadRegex(ValueError):
    """The text is not a valid regular expression, or there is no engine; the message is nginx's."""


CompileRegex = Callable[[bytes, bool], Regex]
"""Compiles a pattern; the second argument is whether to ignore case. Raises BadRegex."""


def no_engine(pattern: bytes, _caseless: bool) -> Regex:
    """Refuse the pattern with nginx's message of a build without PCRE."""
    raise BadRegex(f'using regex "{pattern.decode(errors="surrogateescape")}" requires PCRE library')
