"""`map`, `geo`, `split_clients` and `set`: variables that a configuration defines (nginx's stream modules)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from mailworker.config.command import ONE, ONE_OR_TWO, TWO, Command
from mailworker.config.drafts import Context, Scope
from mailworker.config.geo_block import read_geo
from mailworker.config.map_block import read_map
from mailworker.config.rows import commands, row
from mailworker.config.slots import number
from mailworker.config.split_block import read_split_clients
from mailworker.config.templates import new_variable, read_template
from mailworker.config.tree import Parser
from mailworker.config.values import ANY
from mailworker.variables.template import Template
from mailworker.variables.variables import Definition, Variables


@dataclass(frozen=True, slots=True)
class VariablesSettings:
    """The definitions of a `mail` block, and the `set` directives of one server.

    `elsewhere` are the names that any server sets.
    """

    definitions: Mapping[str, Definition] = field(default_factory=dict)
    sets: tuple[tuple[str, Template], ...] = ()
    elsewhere: frozenset[str] = frozenset()

    def bind(self) -> Variables:
        """The server's variables."""
        return Variables(self.definitions, self.sets, self.elsewhere)


@dataclass(slots=True)
class DefinitionsDraft:
    """In the `mail` block, the variables that it defines, and the names that its servers `set`."""

    definitions: dict[str, Definition] = field(default_factory=dict)
    set_names: set[str] = field(default_factory=set)


@dataclass(slots=True)
class MapHashDraft:
    """The sizes of nginx's hash tables, without effect here."""

    map_hash_max_size: int = row(Context.MAIL, ONE, number(ANY), 2048, into=None)
    map_hash_bucket_size: int = row(Context.MAIL, ONE, number(ANY), 64, into=None)


@dataclass(slots=True)
class SetsDraft:
    """In a `server` block, its `set` directives, in order."""

    sets: list[tuple[str, Template]] = field(default_factory=list)


def freeze(server: Scope, mail: Scope) -> VariablesSettings:
    """A server's variables. Raises ConfigError for names that are not defined."""
    made = mail.draft(DefinitionsDraft)
    settings = VariablesSettings(made.definitions, tuple(server.draft(SetsDraft).sets), frozenset(made.set_names))
    variables, unset = settings.bind(), Variables(settings.definitions, elsewhere=settings.elsewhere)
    replaced = {name for name, _ in settings.sets}
    for name in settings.definitions:
        (unset if name in replaced else variables).find(name)
    for _, template in settings.sets:
        variables.check(template)
    return settings


def _define(read: Callable[[Parser], tuple[str, Definition]]) -> Callable[[Parser], None]:
    """The setter of a block that defines a variable; the last definition of a variable applies."""

    def define(parser: Parser) -> None:
        name, definition = read(parser)
        parser.scope.draft(DefinitionsDraft).definitions[name] = definition

    return define


def _set(parser: Parser) -> None:
    name = new_variable(parser, parser.words[1])
    parser.scope.draft(SetsDraft).sets.append((name, read_template(parser, parser.words[2])))
    parser.scope.outer(DefinitionsDraft).set_names.add(name)


COMMANDS: Final = (
    Command("map", Context.MAIL, TWO, _define(read_map), block=True),
    Command("geo", Context.MAIL, ONE_OR_TWO, _define(read_geo), block=True),
    Command("split_clients", Context.MAIL, TWO, _define(read_split_clients), block=True),
    Command("set", Context.SERVER, TWO, _set),
    *commands(MapHashDraft),
)
