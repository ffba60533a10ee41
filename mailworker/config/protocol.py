"""What a configuration has to know of the protocols that can be served."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mailworker.config.command import Command
from mailworker.config.dialogue import DialogueSettings
from mailworker.config.drafts import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolModule:
    """A protocol's part in a configuration.

    `name` is the word of `protocol`, Auth-Protocol and MailServer. A `listen` on one of `ports` gives a server this
    protocol. `commands` are the directives of its own, which `freeze` merges, of a `server` and its `mail`.
    """

    name: str
    ports: tuple[int, ...]
    commands: tuple[Command, ...]
    freeze: Callable[[Scope, Scope], DialogueSettings]


@dataclass(slots=True)
class ProtocolsDraft:
    """In the main context, all protocols by their names."""

    known: Mapping[str, ProtocolModule] = field(default_factory=dict)

    def of_port(self, port: int) -> str | None:
        """The name of the protocol that a port belongs to."""
        return next((name for name, module in self.known.items() if port in module.ports), None)
