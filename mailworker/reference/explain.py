"""`mailworker --explain NAME`: the manual's entries for a directive, a variable, or the end of a session."""

from __future__ import annotations

import re
from textwrap import TextWrapper, indent

from mailworker.reference.entries import VARIABLES, read_pages
from mailworker.reference.names import Described, describe
from mailworker.variables.nearest import did_you_mean

_LINK = re.compile(r"\[([^]]+)\]\([^)]+\)")
_WIDTH = 78


class UnknownName(Exception):
    """There is no entry for the name; the message may suggest a similar one."""


def names_of_all() -> list[str]:
    """All names that have an entry, in alphabetical order."""
    return sorted({entry.name for page in read_pages() for entry in page.entries})


def explain(name: str) -> str:
    """The entries of a name as text; a variable may be given without its `$`. Raises UnknownName."""
    described = list(describe(read_pages()))
    found = [each for each in described if each.entry.name == name] or [
        each for each in described if each.page.name == VARIABLES and _is_called(each.entry.name, name)
    ]
    if not found:
        kind = "variable" if name.startswith("$") else "directive"
        known = [each.entry.name for each in described]
        raise UnknownName(f'unknown {kind} "{name}"{did_you_mean(name, known)}')
    return "\n".join(map(_text, found))


def _is_called(variable: str, name: str) -> bool:
    """Whether `name` means the variable of an entry, which may be a family such as `$imap_id_NAME`."""
    called = "$" + name.removeprefix("$")
    family = variable.removesuffix("NAME")
    return called == variable or (family != variable and called.startswith(family) and called != family)


def _text(described: Described) -> str:
    entry = described.entry
    title = f"{entry.name} ({entry.context})" if entry.context else entry.name
    facts = [*described.facts, *([("nginx", entry.nginx)] if entry.nginx else [])]
    parts = [title, "\n".join(_fact(name, value) for name, value in facts)]
    parts += [_paragraph(each) for each in re.split(r"\n\n+", _LINK.sub(r"\1", entry.meaning))]
    if entry.example:
        parts += ["  Example:", indent(entry.example.rstrip("\n"), "    ")]
    return "\n\n".join(parts) + "\n"


def _fact(name: str, value: str) -> str:
    indentation = " " * 12
    return f"  {f'{name}:':<10}{_fill(value, indentation).lstrip()}"


def _paragraph(text: str) -> str:
    if text.startswith("|"):  # a table
        return "\n".join(_row(line) for line in text.splitlines() if not re.fullmatch(r"[|: -]+", line))
    return _fill(text, "  ")


def _fill(text: str, indentation: str) -> str:
    """Wrap a text for a terminal. Long words are not broken, so that addresses can be copied."""
    return TextWrapper(
        _WIDTH,
        initial_indent=indentation,
        subsequent_indent=indentation,
        break_on_hyphens=False,
        break_long_words=False,
    ).fill(text)


def _row(line: str) -> str:
    first, *rest = (cell.strip() for cell in line.strip("|").split("|"))
    return f"    {first:<20}{' '.join(rest)}"
