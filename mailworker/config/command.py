"""Directives as rows: name, contexts, number of arguments, and setter (ngx_conf_handler)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from mailworker.config.drafts import Context, Scope
from mailworker.config.lexer import Ending, Statement
from mailworker.config.tree import Parser
from mailworker.variables.nearest import did_you_mean

Setter = Callable[[Parser], None]
"""Handles the parser's present directive; raises ConfigError."""


@dataclass(frozen=True, slots=True)
class Arity:
    """How many arguments a directive takes; `most` None means no limit."""

    least: int
    most: int | None

    def allows(self, arguments: int) -> bool:
        return self.least <= arguments and (self.most is None or arguments <= self.most)


NONE: Final = Arity(0, 0)
ONE: Final = Arity(1, 1)
TWO: Final = Arity(2, 2)
ONE_OR_TWO: Final = Arity(1, 2)
TWO_OR_THREE: Final = Arity(2, 3)
ONE_OR_MORE: Final = Arity(1, None)


@dataclass(frozen=True, slots=True)
class Command:
    """A row. If `block` is true, the setter parses the block. `default` is the default value as it would be written."""

    name: str
    contexts: Context
    arity: Arity
    set: Setter
    block: bool = False
    default: str | None = None


def only_block(context: Context, read: Callable[[Parser, Scope], None] = Parser.parse_block) -> Command:
    """The row of a block that has the name of its `context`, and may be given once; see `Parser.blocks`."""
    name = str(context.name).lower()

    def open_block(parser: Parser) -> None:
        if context in parser.blocks:
            raise parser.error(f'"{name}" directive is duplicate')
        scope = parser.blocks[context] = Scope(context, parser.scope, parser.where or "")
        read(parser, scope)

    return Command(name, Context.MAIN, NONE, open_block, block=True)


def served_block(parser: Parser, context: Context, *, master: bool) -> Scope | None:
    """The scope of a block that the status process serves; None without such a block.

    Without a `master` there is no status process, so the block is ignored with a warning.
    """
    scope = parser.blocks.get(context)
    if scope is not None and not master:
        parser.warn(f'"{str(context.name).lower()}" is ignored, as "master_process" is off', scope.opened_at)
        return None
    return scope


class CommandTable:
    """All rows, and the checks that apply to each of them."""

    def __init__(self, commands: Iterable[Command]) -> None:
        self._commands: dict[str, list[Command]] = {}
        for command in commands:
            self._commands.setdefault(command.name, []).append(command)

    def handle(self, parser: Parser, statement: Statement) -> None:
        """Find the row of a statement, check it and run its setter; raises ConfigError."""
        parser.words = statement.words
        self._row(parser, statement).set(parser)

    def _row(self, parser: Parser, statement: Statement) -> Command:
        name = statement.words[0]
        rows = self._commands.get(name)
        if rows is None:
            raise parser.error(f'unknown directive "{name}"', self._hint(parser.scope.context, name))
        row = next((row for row in rows if parser.scope.context in row.contexts), None)
        if row is None:
            raise parser.error(f'"{name}" directive is not allowed here')
        if row.block and statement.ending is not Ending.BLOCK_START:
            raise parser.error(f'directive "{name}" has no opening "{{"')
        if not row.block and statement.ending is Ending.BLOCK_START:
            raise parser.error(f'directive "{name}" is not terminated by ";"')
        if not row.arity.allows(len(statement.words) - 1):
            raise parser.error(f'invalid number of arguments in "{name}" directive')
        return row

    def _hint(self, context: Context, name: str) -> str:
        """A suggestion of a similar name, preferably of a directive that is allowed here."""
        here = [known for known, rows in self._commands.items() if any(context in row.contexts for row in rows)]
        return did_you_mean(name, here) or did_you_mean(name, self._commands)
