"""`map`: a variable whose value depends on a text (ngx_stream_map_module, ngx_map_find)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain

from mailworker.variables.facts import Evaluate, Facts
from mailworker.variables.host_table import HostTable
from mailworker.variables.regex import Captures, Regex
from mailworker.variables.template import Name, Template
from mailworker.variables.variables import Variables

Value = bytes | Template
"""A text, or a Template if it contains variables."""

_Captured = Callable[[Facts, Captures], bytes]


@dataclass(frozen=True, slots=True)
class Map:
    """A `map` block. The keys of `table` are in lower case, and texts are converted to lower case for the lookup.

    With `hostnames`, a dot at the end of a text is ignored. Work for each entry is done once, as thousands of servers
    may bind a long `map`.
    """

    source: Template
    default: Value = b""
    hostnames: bool = False
    table: HostTable[Value] = field(default_factory=HostTable)
    regexes: tuple[tuple[Regex, Value], ...] = ()
    _values: tuple[Value, ...] = field(init=False, repr=False)  # those of `table`, each once
    _templates: tuple[Template, ...] = field(init=False, repr=False)  # those of `_values` that are templates

    def __post_init__(self) -> None:
        values = dict.fromkeys(self.table.values())
        object.__setattr__(self, "_values", tuple(values))
        object.__setattr__(self, "_templates", tuple(value for value in values if isinstance(value, Template)))

    def outcomes(self) -> Iterable[Value]:
        """See `Definition.outcomes`."""
        return chain((self.default,), self._values, (value for _, value in self.regexes))

    def bind(self, variables: Variables) -> Evaluate:
        """See `Definition.bind`."""
        source, names, hostnames = variables.bind(self.source), self.table.names, self.hostnames
        renders = {template: variables.bind(template) for template in self._templates}
        otherwise = self._otherwise(variables)
        if isinstance(self.default, Template):
            renders[self.default] = variables.bind(self.default)

        def evaluate(facts: Facts) -> bytes:
            text = source(facts)
            if hostnames and text.endswith(b"."):
                text = text[:-1]
            found = names.get(text.lower().decode("latin-1"))
            if found is None:
                found = otherwise(text, facts)
            return found if isinstance(found, bytes) else renders[found](facts)

        return evaluate

    def _otherwise(self, variables: Variables) -> Callable[[bytes, Facts], Value]:
        """The lookup of a text that is none of the names: masks, then regular expressions, then the default."""
        find_mask, default = self.table.find_mask, self.default
        regexes = [(regex, _captured(value, regex, variables)) for regex, value in self.regexes]
        if not (self.table.has_masks or regexes):
            return lambda text, facts: default

        def decide(text: bytes, facts: Facts) -> Value:
            found = find_mask(text.lower())
            if found is not None:
                return found
            if text:
                for regex, render in regexes:
                    captures = regex.search(text)
                    if captures is not None:
                        return render(facts, captures)
            return default

        return decide


def _captured(value: Value, regex: Regex, variables: Variables) -> _Captured:
    """The value for a regular expression, which may contain its captures: they are valid only during the lookup."""
    if isinstance(value, bytes):
        return lambda facts, captures: value
    groups = {str(number): number for number in range(1, 10)} | regex.groups
    pieces = [_piece(part, groups, variables, value.where) for part in value.parts]
    return lambda facts, captures: b"".join([piece(facts, captures) for piece in pieces])


def _piece(part: bytes | Name, groups: Mapping[str, int], variables: Variables, where: str | None) -> _Captured:
    if isinstance(part, bytes):
        return lambda facts, captures: part
    if part.name in groups:
        number = groups[part.name]  # as in nginx, a group that the expression does not have is empty
        return lambda facts, captures: (captures[number] or b"") if number < len(captures) else b""
    render = variables.bind(Template((part,), where))
    return lambda facts, captures: render(facts)
