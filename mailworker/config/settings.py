"""The frozen settings that a configuration is merged into.

They are never changed after `mailworker.config.load` has built them. Times are in seconds, sizes in bytes. A field has
the name of its directive.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from mailworker.config.access import Rule
from mailworker.config.access_log import AccessLogSettings
from mailworker.config.auth_policy import AuthPolicySettings
from mailworker.config.control import ControlSettings
from mailworker.config.core import CoreSettings
from mailworker.config.destinations import Destination
from mailworker.config.dialogue import DialogueSettings
from mailworker.config.events import EventsSettings
from mailworker.config.limit_auth import LimitAuthSettings
from mailworker.config.limit_conn import LimitConnSettings
from mailworker.config.listen import Listen
from mailworker.config.logs import LogTarget, StderrLog
from mailworker.config.proxy import ProxySettings
from mailworker.config.resolver import ResolverSettings
from mailworker.config.server_name import ServerName
from mailworker.config.source import ByBackendSettings, LoginSource
from mailworker.config.ssl import SslSettings
from mailworker.config.status import StatusSettings
from mailworker.config.tree import SecretFile
from mailworker.config.variables import VariablesSettings
from mailworker.config.zones import SharedZone
from mailworker.model import Address, Level, Starttls


@dataclass(frozen=True, slots=True)
class MailServer:
    """One `server` block, merged with its `mail` block.

    `ssl` is None without TLS for clients. `error_log` is the server's own list, or the inherited one. `server_name` is
    the name in greetings; `names` select the server on an address of several servers. `status_zone` is the label of its
    counters, None for its first listen. `policy` is the `auth_policy` service, None for none. With `deny_reply`, denied
    clients get a reply.
    """

    listens: tuple[Listen, ...]
    protocol: str
    server_name: bytes
    timeout: float
    max_errors: int
    max_commands: int
    error_log: tuple[LogTarget, ...]
    resolver: ResolverSettings
    starttls: Starttls
    ssl: SslSettings | None
    dialogue: DialogueSettings
    source: LoginSource
    proxy: ProxySettings
    real_ip_from: tuple[IPv4Network | IPv6Network | str, ...]
    where: str
    variables: VariablesSettings = field(default_factory=VariablesSettings)
    access: tuple[Rule, ...] = ()
    policy: AuthPolicySettings | None = None
    limit_auth: LimitAuthSettings = field(default_factory=LimitAuthSettings)
    limit_conn: LimitConnSettings = field(default_factory=LimitConnSettings)
    access_log: AccessLogSettings = field(default_factory=AccessLogSettings)
    names: tuple[ServerName, ...] = ()
    status_zone: str | None = None
    deny_reply: bool = False

    @property
    def only_judge(self) -> Address | None:
        """The only backend, if `auth_upstream` is on; None with another login source, or with several backends."""
        backend = self.proxy.backend
        if isinstance(self.source, ByBackendSettings) and backend is not None and len(backend.addresses) == 1:
            return backend.addresses[0]
        return None


@dataclass(frozen=True, slots=True)
class Settings:
    """A whole configuration.

    `files` are all configuration files, in the order of opening, with their contents, for -T. `warnings` include their
    positions. `status` and `control` are None if they are not configured. `session_rows` are the rows of each worker in
    the session table, 0 for no table.
    """

    path: Path
    core: CoreSettings
    events: EventsSettings
    servers: tuple[MailServer, ...]
    zones: tuple[SharedZone, ...]
    files: tuple[tuple[Path, bytes], ...]
    warnings: tuple[tuple[Level, str], ...]
    secrets: tuple[SecretFile, ...] = ()
    status: StatusSettings | None = None
    control: ControlSettings | None = None
    session_rows: int = 0

    @property
    def destinations(self) -> tuple[Destination, ...]:
        """The destinations of access logs, each once."""
        return tuple(dict.fromkeys(log.destination for server in self.servers for log in server.access_log.logs))

    @property
    def logs_to_stderr(self) -> bool:
        """Whether any `error_log` names stderr."""
        lists = [self.core.error_log, *(server.error_log for server in self.servers)]
        return any(isinstance(target, StderrLog) for targets in lists for target in targets)
