"""Binding of variables: a template becomes a function of a session."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Protocol

from mailworker.errors import ConfigError
from mailworker.variables.escapes import NONE, Escape
from mailworker.variables.facts import Evaluate, Render
from mailworker.variables.line import Line, MakeLine, Slot, composed
from mailworker.variables.nearest import did_you_mean
from mailworker.variables.source import asked
from mailworker.variables.table import SOURCES, TABLE, builtin
from mailworker.variables.template import Template


class Definition(Protocol):
    """A variable that the configuration defines by `map`, `geo` or `split_clients`."""

    def bind(self, variables: Variables) -> Evaluate:
        """The function that evaluates the variable. Raises ConfigError."""

    def outcomes(self) -> Iterable[bytes | Template]:
        """All possible values of the variable."""


class Variables:
    """The variables of one `server`: those of `set`, the definitions of `mail`, and the built-in ones.

    A `set` has the values of the `set` directives before it, so a variable may be set again from its earlier value.
    Values are not cached, as a session may try to log in as one user and then as another.

    `elsewhere` are names that other servers set; here they have no value, as in nginx. `used` collects the built-in
    variables that the variables found so far depend on. Functions in `replaced` replace built-in ones.
    """

    def __init__(
        self,
        definitions: Mapping[str, Definition],
        sets: tuple[tuple[str, Template], ...] = (),
        elsewhere: frozenset[str] = frozenset(),
        used: set[str] | None = None,
        replaced: Mapping[str, Evaluate] = MappingProxyType({}),
    ) -> None:
        self._definitions = definitions
        self._sets = sets
        self._elsewhere = elsewhere
        self._replaced = replaced
        self._found: dict[str, Evaluate | None] = {}  # None while a function is being made
        self._used: set[str] = set() if used is None else used

    def replacing(self, functions: Mapping[str, Evaluate]) -> Variables:
        """The same variables, in which some built-in ones have other functions."""
        return Variables(self._definitions, self._sets, self._elsewhere, self._used, functions)

    def knows(self, name: str) -> bool:
        """Whether there is a variable of that name."""
        return (
            name in self._definitions
            or builtin(name) is not None
            or any(name == set_ for set_, _ in self._sets)
            or name in self._elsewhere
        )

    def find(self, name: str, where: str | None = None) -> Evaluate:
        """The function of a variable. Raises ConfigError if it is unknown, or depends on itself."""
        if name not in self._found:
            self._found[name] = None
            self._found[name] = self._make(name, where)
        found = self._found[name]
        if found is None:
            raise ConfigError(f'cycle while evaluating variable "{name}"', where)
        return found

    def check(self, template: Template) -> None:
        """Check the names in a text. Raises ConfigError as `find` does."""
        for name in template.names:
            self.find(name, template.where)

    def used_by(self, *templates: Template) -> frozenset[str]:
        """The built-in variables in texts, directly or through other variables. Raises ConfigError as `find` does."""
        fresh = Variables(self._definitions, self._sets, self._elsewhere)
        for template in templates:
            fresh.check(template)
        return frozenset(fresh._used)

    def bind(self, template: Template, escape: Escape = NONE, make: MakeLine = Line) -> Render:
        """The function that renders the text, with a line made by `make`. Raises ConfigError as `find` does."""
        constant = template.constant
        if constant is not None:
            return lambda facts: constant
        if escape is NONE and template.only is not None:
            evaluate = self.find(template.only, template.where)
            return lambda facts: evaluate(facts) or b""
        parts = (
            part if isinstance(part, bytes) else self._slot(part.name, template.where, escape)
            for part in template.parts
        )
        return composed(parts, make)

    def _slot(self, name: str, where: str | None, escape: Escape) -> Slot:
        function = self.find(name, where)
        source = SOURCES.get(name) if function is builtin(name) else None
        return Slot(b"", b"", escape.absent, None if escape is NONE else escape.value, source or asked(function))

    def chosen_by_client(self, template: Template) -> str | None:
        """The first variable of a template whose value may contain text of clients, None without one.

        These are the built-in variables, and captures of regular expressions.
        """
        for name in template.names:
            view, outcomes = self._outcomes(name)
            if outcomes is None or any(view.chosen_by_client(each) for each in outcomes if isinstance(each, Template)):
                return name
        return None

    def possible(self, name: str) -> set[bytes]:
        """The constant texts among the possible values of a variable of the configuration."""
        view, outcomes = self._outcomes(name)
        texts: set[bytes] = set()
        for each in outcomes or ():
            if isinstance(each, bytes):
                texts.add(each)
            elif each.only is not None:
                texts |= view.possible(each.only)
        return texts

    def _outcomes(self, name: str) -> tuple[Variables, Iterable[bytes | Template] | None]:
        """The possible values of a variable, None for a built-in one; and the variables for names in these values."""
        earlier = self._setting(name)
        if earlier is not None:
            view, template = earlier
            constant = template.constant
            return view, [template if constant is None else constant]
        definition = self._definitions.get(name)
        return self, None if definition is None else definition.outcomes()

    def _setting(self, name: str) -> tuple[Variables, Template] | None:
        """The last `set` of a variable, and the variables as they are before it."""
        for index in reversed(range(len(self._sets))):
            if self._sets[index][0] == name:
                sets = self._sets[:index]
                earlier = Variables(self._definitions, sets, self._elsewhere, self._used, self._replaced)
                return earlier, self._sets[index][1]
        return None

    def _make(self, name: str, where: str | None) -> Evaluate:
        setting = self._setting(name)
        if setting is not None:
            view, template = setting
            return view.bind(template)
        definition = self._definitions.get(name)
        if definition is not None:
            return definition.bind(self)
        function = self._replaced.get(name) or builtin(name)
        if function is not None:
            self._used.add(name)
            return function
        if name in self._elsewhere:
            return lambda facts: None
        known = (*TABLE, *self._definitions, *(name for name, _ in self._sets))
        raise ConfigError(f'unknown "{name}" variable', where, did_you_mean(name, known))
