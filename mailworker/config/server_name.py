"""`server_name` (ngx_http_core_server_name), and the lookup of a server by name."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, Generic, TypeVar

from mailworker.config.drafts import UNSET, Context
from mailworker.config.tree import Parser
from mailworker.variables.host_table import HostTable, is_host, mask
from mailworker.variables.regex import Regex

V = TypeVar("V")

_CAPITAL: Final = re.compile(r"[A-Z]")


@dataclass(frozen=True, slots=True)
class ServerName:
    """A word of `server_name`: a name or a mask, in lower case, or a `regex` and its pattern."""

    text: bytes
    regex: Regex | None = None

    def __str__(self) -> str:
        return os.fsdecode(self.text)


@dataclass(slots=True)
class NamesDraft:
    """The names of a `server` block; `plain` is the first that is not a mask, as it is written."""

    names: list[ServerName] = field(default_factory=list)
    plain: str = ""


def take_server_name(parser: Parser, earlier: str) -> str:
    """Read the name for greetings: the only word in `mail`; in a `server`, which may have many names, the plain one.

    Raises ConfigError.
    """
    words = parser.words[1:]
    if parser.scope.context is Context.MAIL:
        if len(words) != 1:
            raise parser.error('invalid number of arguments in "server_name" directive')
        if earlier is not UNSET:
            raise parser.error('"server_name" directive is duplicate')
        return words[0]
    draft = parser.scope.draft(NamesDraft)
    for word in words:
        draft.names.append(_read(parser, word))
        if not draft.plain and not word.startswith("~") and mask(os.fsencode(word)) is None:
            draft.plain = _hostname() if word.lower() == "$hostname" else word
    return draft.plain or (UNSET if any(words) else "")


def _read(parser: Parser, word: str) -> ServerName:
    if (word.startswith("*") and (len(word) < 3 or word[1] != ".")) or word == ".":
        raise parser.error(f'server name "{word}" is invalid')
    if "/" in word:
        parser.warn(f'server name "{word}" has suspicious symbols')
    if not word.startswith("~"):
        return ServerName(os.fsencode(_hostname() if word.lower() == "$hostname" else word).lower())
    pattern = word[1:]
    if not pattern:
        raise parser.error(f'empty regex in server name "{word}"')
    regex = parser.regex(pattern, caseless=_CAPITAL.search(pattern) is not None)
    return ServerName(os.fsencode(pattern), regex)


def _hostname() -> str:
    return socket.gethostname().lower()


class Added(Enum):
    """The result of adding a name. CONFLICT: the name, or an equivalent mask, exists already."""

    DONE = auto()
    CONFLICT = auto()
    INVALID = auto()


class NameTable(Generic[V]):
    """A table of names, masks and regular expressions; the latter are tried last, in order."""

    __slots__ = ("_hosts", "_regexes")

    def __init__(self) -> None:
        self._hosts: HostTable[V] = HostTable()
        self._regexes: list[tuple[Regex, V]] = []

    def add(self, name: ServerName, value: V) -> Added:
        """Map a name to `value`."""
        if name.regex is not None:
            self._regexes.append((name.regex, value))
            return Added.DONE
        if not is_host(name.text):
            return Added.INVALID
        return Added.DONE if self._hosts.add(name.text, value) else Added.CONFLICT

    def find(self, name: bytes) -> V | None:
        """The value for a name in lower case, None for none.

        Raises ProtocolError if matching a regular expression takes too long.
        """
        found = self._hosts.find(name)
        if found is not None:
            return found
        return next((value for regex, value in self._regexes if regex.search(name) is not None), None)
