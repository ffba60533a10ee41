"""The configuration of a protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mailworker.config.command import Command
from mailworker.config.dialogue import DialogueSettings
from mailworker.config.drafts import Draft, Scope
from mailworker.config.rows import commands, frozen, merged
from mailworker.config.tree import Parser


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolModule:
    """A protocol's module.

    `name` is the value of `protocol`, Auth-Protocol and `MailServer.protocol`. A server that listens on one of `ports`
    has this protocol by default. `directives` is the draft of its directives, whose names begin with the protocol's
    name, and `settings` is the class of its frozen settings.
    """

    name: str
    ports: tuple[int, ...]
    directives: type[Draft]
    settings: type[DialogueSettings] = DialogueSettings

    @property
    def commands(self) -> tuple[Command, ...]:
        """The protocol's own directives."""
        return commands(self.directives)

    def freeze(self, parser: Parser, server: Scope, mail: Scope) -> DialogueSettings:
        """The settings of a server; raises ConfigError."""
        with parser.at(server.opened_at):
            return frozen(self.settings, merged(self.directives, server, mail), parser, f"{self.name}_")


@dataclass(slots=True)
class ProtocolsDraft:
    """In the main context, all protocols by their names."""

    known: Mapping[str, ProtocolModule] = field(default_factory=dict)

    def of_port(self, port: int) -> str | None:
        """The name of the default protocol of a port, None for another port."""
        return next((name for name, module in self.known.items() if port in module.ports), None)
