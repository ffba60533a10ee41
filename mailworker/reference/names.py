"""The manual's entries with facts from the program itself, such as a directive's contexts and default value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mailworker.config.command import Command
from mailworker.config.drafts import Context
from mailworker.config.load import directives
from mailworker.mail.end import End
from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.reference.entries import ENDS, VARIABLES, Entry, Page
from mailworker.variables.table import TABLE

FAMILIES: Final = ("$proxy_protocol_tlv_NAME", "$imap_id_NAME", "$auth_http_NAME")
"""Families of variables, each with one entry: NAME stands for any name."""

# Blocks with directives whose names have another meaning elsewhere.
_APART: Final = {Context.STATUS: "status", Context.CONTROL: "control"}


@dataclass(frozen=True, slots=True)
class Described:
    """An entry, its page, and facts about its name as pairs of title and text."""

    entry: Entry
    page: Page
    facts: tuple[tuple[str, str], ...]


def describe(pages: Iterable[Page]) -> Iterator[Described]:
    """All entries with their facts, in order. Raises LookupError for an entry whose name does not exist."""
    commands = directives(PROTOCOLS)
    ends = {end.word: end for end in End}
    for page in pages:
        for entry in page.entries:
            if page.name == ENDS:
                facts = _facts_of_end(ends[entry.name])
            elif page.name == VARIABLES:
                facts = (("Since", entry.since),)
            else:
                facts = _facts_of_directive(entry, rows_of(entry, page.entries, commands))
            yield Described(entry, page, facts)


def rows_of(entry: Entry, entries: Iterable[Entry], commands: Iterable[Command]) -> Sequence[Command]:
    """The directives that an entry describes: those of its block, or those that no entry with a block describes.

    Raises LookupError if there are none.
    """
    named = [command for command in commands if command.name == entry.name]
    if entry.context:
        rows = [row for row in named if row.contexts == Context[entry.context.upper()]]
    else:
        others = {Context[each.context.upper()] for each in entries if each.name == entry.name and each.context}
        rows = [row for row in named if row.contexts not in others | _apart(row)]
    if not rows:
        raise LookupError(f"there is no directive {entry.name} for the entry of this name")
    return rows


def _apart(row: Command) -> set[Context]:
    """The contexts of a directive of `status` or `control` alone: elsewhere its name means something else."""
    return {row.contexts} if row.contexts in _APART else set()


def all_names() -> list[str]:
    """All names that need an entry: directives, those in blocks of _APART separately, variables, and ends."""
    rows = directives(PROTOCOLS)
    names = {row.name for row in rows if row.contexts not in _APART}
    names |= {f"{row.name} ({_APART[row.contexts]})" for row in rows if row.contexts in _APART}
    return sorted([*names, *(f"${name}" for name in TABLE), *FAMILIES, *(end.word for end in End)])


def _facts_of_directive(entry: Entry, rows: Sequence[Command]) -> tuple[tuple[str, str], ...]:
    blocks = Context(0)
    for row in rows:
        blocks |= row.contexts
    defaults = [f"{row.name} {row.default};" for row in rows if row.default]
    return (
        *(("Syntax", syntax) for syntax in entry.syntax),
        ("Default", defaults[0] if defaults else "none"),
        ("Context", _blocks(blocks)),
        ("Since", entry.since),
    )


def _blocks(blocks: Context) -> str:
    if blocks == Context.ANY:
        return "any block"
    return ", ".join(name.lower() for name, block in Context.__members__.items() if block & blocks and name != "ANY")


def _facts_of_end(end: End) -> tuple[tuple[str, str], ...]:
    return ("Status", str(end.status)), ("Letters", end.pair)
