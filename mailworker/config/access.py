"""`allow` and `deny` (ngx_stream_access_module): the clients that may connect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mailworker.config.command import ONE, Command
from mailworker.config.drafts import BOTH, Context, Scope
from mailworker.config.networks import Network, read_network
from mailworker.config.rows import inherited, merged
from mailworker.config.slots import present
from mailworker.config.tree import Parser

ALL: Final = "all"
"""Stands for every client in a rule."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`allow` or `deny`: `who` is a block of addresses, "unix:", or ALL."""

    allow: bool
    who: Network


@dataclass(slots=True)
class AccessDraft:
    """The rules of a block, in order; a block with rules inherits none."""

    rules: tuple[Rule, ...] = inherited(())


def freeze(*scopes: Scope) -> tuple[Rule, ...]:
    """The rules of the innermost scope that has any; the first rule that matches a client applies."""
    return merged(AccessDraft, *scopes).rules


def _add(parser: Parser) -> None:
    directive, word = parser.words
    draft = parser.scope.draft(AccessDraft)
    who = ALL if word == ALL else read_network(parser, word)
    draft.rules = (*present(draft.rules), Rule(directive == "allow", who))


COMMANDS: Final = tuple(Command(name, BOTH | Context.STATUS, ONE, _add) for name in ("allow", "deny"))
