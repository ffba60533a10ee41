"""`log_format NAME [escape=...] STRING...` (ngx_http_log_set_format, ngx_http_log_compile_format)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain
from typing import Final

from mailworker.config.command import Arity, Command
from mailworker.config.drafts import Context, Scope
from mailworker.config.tree import Parser
from mailworker.config.values import same_word
from mailworker.variables.escapes import DEFAULT, ESCAPES, Escape
from mailworker.variables.template import Name, Template, merged, parse


@dataclass(frozen=True, slots=True)
class TextFormat:
    """A text with variables, and the escaping of their values."""

    template: Template
    escape: Escape


class SpecialFormat(Enum):
    """Formats that are made by code, as a template cannot leave out keys or choose words."""

    JSON = "json"
    DOVECOT = "dovecot"


LogFormat = TextFormat | SpecialFormat

COMBINED: Final = TextFormat(
    parse(
        b'$remote_addr:$remote_port [$time_local] $protocol $server_port "$remote_user" $auth_method $status '
        b"$session_end $upstream_addr $upstream_login_time $session_time $bytes_received $bytes_sent "
        b"$ssl_protocol$ssl_session_reused $session_id"
    ),
    DEFAULT,
)

BUILT_IN: Final[dict[str, LogFormat]] = {
    "combined": COMBINED,
    "json": SpecialFormat.JSON,
    "dovecot": SpecialFormat.DOVECOT,
}
"""The formats that exist without a `log_format`; one of the same name replaces them."""


@dataclass(slots=True)
class LogFormatsDraft:
    """In the `mail` block, the formats that it defines, by their names."""

    formats: dict[str, TextFormat] = field(default_factory=dict)


def find_format(mail: Scope, name: str) -> LogFormat | None:
    """The format of this name, ignoring case; None if there is none so far."""
    known: Iterable[tuple[str, LogFormat]] = chain(mail.draft(LogFormatsDraft).formats.items(), BUILT_IN.items())
    return next((each for own, each in known if same_word(own, name)), None)


def _set(parser: Parser) -> None:
    _, name, *words = parser.words
    formats = parser.scope.draft(LogFormatsDraft).formats
    if name in formats:
        raise parser.error(f'duplicate "log_format" name "{name}"')
    escape = DEFAULT
    if words[0].startswith("escape="):
        word = words.pop(0).removeprefix("escape=")
        if word not in ESCAPES:
            raise parser.error(f'unknown log format escaping "{word}"')
        escape = ESCAPES[word]
    parts = (part for word in words for part in _parts(parser, os.fsencode(word)))
    formats[name] = TextFormat(Template(tuple(merged(parts)), parser.where), escape)


_VARIABLE = re.compile(rb"\$(?:(\{)([A-Za-z0-9_]*)(\}?)|([A-Za-z0-9_]*))")


def _parts(parser: Parser, word: bytes) -> Iterator[bytes | Name]:
    """Split a word into literals and variables, by the rules of ngx_http_log_compile_format.

    Unlike in other directives, names may begin with a digit, and errors quote the rest of the word.
    """
    position = 0
    for match in _VARIABLE.finditer(word):
        bracket, inner, closed, plain = match.groups()
        name = inner if bracket else plain
        if bracket and not closed and match.end() > match.start() + 2:
            raise parser.error(f'the closing bracket in "{name.decode()}" variable is missing')
        if bracket and not closed and match.end() < len(word):
            raise parser.error('the closing bracket in "" variable is missing')
        if not name:
            raise parser.error(f'invalid parameter "{os.fsdecode(word[match.start() :])}"')
        yield word[position : match.start()]
        yield Name(name.decode().lower(), match[0])
        position = match.end()
    yield word[position:]


COMMANDS: Final = (Command("log_format", Context.MAIL, Arity(2, None), _set),)
