"""Words of a configuration with variables."""

from __future__ import annotations

import os

from mailworker.config.tree import Parser
from mailworker.variables.table import builtin
from mailworker.variables.template import BadTemplate, Template, parse


def read_template(parser: Parser, word: str) -> Template:
    """Parse a word. Raises ConfigError; unknown names are found later, at the end of the `mail` block."""
    try:
        return parse(os.fsencode(word), parser.where)
    except BadTemplate as reason:
        raise parser.error(str(reason)) from reason


def read_key(parser: Parser, word: str) -> Template:
    """The template of what a `map`, `split_clients` or zone tells clients apart by. Raises ConfigError.

    Warns of the name of a variable without its dollar: that is one text, the same for all clients.
    """
    if builtin(word) is not None:
        parser.warn(f'"{word}" is the same text for all clients, did you mean "${word}"?')
    return read_template(parser, word)


def read_value(parser: Parser, word: str) -> bytes | Template:
    """The text of a word without variables, which is usual, or else its template. Raises ConfigError."""
    return read_template(parser, word) if "$" in word else os.fsencode(word)


def variable_name(parser: Parser, word: str) -> str:
    """The name, in lower case, in a word that must be "$name". Raises ConfigError."""
    if word[:1] != "$" or word == "$":
        raise parser.error(f'invalid variable name "{word}"')
    return word[1:].lower()


def new_variable(parser: Parser, word: str) -> str:
    """The name of a variable that the configuration defines. Raises ConfigError for the name of a built-in one."""
    name = variable_name(parser, word)
    if builtin(name) is not None:
        raise parser.error(f'the duplicate "{name}" variable')
    return name
