"""The frozen settings that a configuration is merged into.

Nothing here is ever changed after `mailworker.config.load` has built it. Times are seconds, sizes are bytes.
A field is named after its directive.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from mailworker.config.proxy_ssl_settings import ProxySslSettings
from mailworker.config.secret_file import SecretFile
from mailworker.config.xclient_guard import XclientGuard
from mailworker.model import Address, AuthMethod, InetAddress, Level, Protocol, ProxyProtocol, Starttls, VerifyClient


@dataclass(frozen=True, slots=True)
class FileLog:
    """`error_log PATH LEVEL`; `path` is absolute."""

    path: Path
    level: Level


@dataclass(frozen=True, slots=True)
class StderrLog:
    """`error_log stderr LEVEL`."""

    level: Level


@dataclass(frozen=True, slots=True)
class SyslogLog:
    """`error_log syslog:server=...,facility=...,tag=...,nohostname LEVEL`.

    `server` is (host, port) for UDP or a path for a datagram unix socket; `facility` is the RFC 5424 number.
    """

    server: tuple[str, int] | str
    facility: int
    tag: str
    nohostname: bool
    level: Level


@dataclass(frozen=True, slots=True)
class MemoryLog:
    """`error_log memory:SIZE LEVEL`: a ring of `size` bytes that a debugger can read."""

    size: int
    level: Level


LogTarget = FileLog | StderrLog | SyslogLog | MemoryLog


@dataclass(frozen=True, slots=True)
class Keepalive:
    """`so_keepalive`: None leaves the kernel's value; idle and interval are seconds."""

    on: bool
    idle: int | None = None
    interval: int | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Listen:
    """One address of a `listen` directive. None means: not given, so the socket keeps the system's value."""

    address: Address
    ssl: bool = False
    proxy_protocol: bool = False
    bind: bool = False
    backlog: int | None = None
    rcvbuf: int | None = None
    sndbuf: int | None = None
    ipv6only: bool = True
    so_keepalive: Keepalive | None = None
    multipath: bool = False
    reuseport: bool = False


@dataclass(frozen=True, slots=True)
class ResolverSettings:
    """`resolver`: `servers` is empty for `resolver off` and where none is set; `valid` None honours TTLs."""

    servers: tuple[InetAddress, ...] = ()
    valid: float | None = None
    ipv4: bool = True
    ipv6: bool = True
    timeout: float = 30.0


@dataclass(frozen=True, slots=True)
class SharedZone:
    """`shared:NAME:SIZE`."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class SessionCache:
    """`ssl_session_cache`: `off` refuses reuse; `builtin` is a number of sessions, None without that cache."""

    off: bool = False
    builtin: int | None = None
    shared: SharedZone | None = None


@dataclass(frozen=True, slots=True)
class SslSettings:
    """The directives of the ssl module.

    File names are absolute; certificates may be "data:PEM", keys also "engine:NAME:ID" and "store:URI".
    `passwords` is the content of ssl_password_file, None where there is none.
    `session_cache` without any part set is `none`: sessions get an id, but nothing is stored.
    """

    certificates: tuple[str, ...]
    certificate_keys: tuple[str, ...]
    protocols: tuple[str, ...]
    ciphers: str
    prefer_server_ciphers: bool
    ecdh_curve: str
    dhparam: str | None
    passwords: tuple[bytes, ...] | None
    certificate_compression: bool
    verify_client: VerifyClient
    verify_depth: int
    client_certificate: str | None
    trusted_certificate: str | None
    crl: str | None
    conf_commands: tuple[tuple[str, str], ...]
    session_cache: SessionCache
    session_timeout: int
    session_tickets: bool
    session_ticket_keys: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class AuthHttpSettings:
    """`auth_http` and its companions.

    `host` is what goes into the Host header, `uri` the request's target, `name` the peer as nginx logs it.
    `keepalive` is how many idle connections a worker keeps open, 0 for HTTP/1.0 and a connection for each request.
    `authzid` says that the service is told whom clients of PLAIN want to act for.
    """

    address: Address
    host: bytes
    uri: bytes
    timeout: float
    headers: tuple[tuple[bytes, bytes], ...]
    pass_client_cert: bool
    keepalive: int = 0
    authzid: bool = False

    @property
    def name(self) -> str:
        return str(self.address)


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """The directives of the proxy module; `ssl` is None where backends are not asked for TLS."""

    buffer: int
    timeout: float
    pass_error_message: bool
    xclient: bool
    smtp_auth: bool
    proxy_protocol: ProxyProtocol
    xclient_guard: XclientGuard = XclientGuard.ANONYMOUS
    ssl: ProxySslSettings | None = None
    socket_keepalive: bool = False


@dataclass(frozen=True, slots=True)
class DialogueSettings:
    """What the client's dialogue needs of the server's own protocol module.

    `capabilities` are the configured words, `auth` the methods enabled, `client_buffer` bytes.
    `greeting_delay` is SMTP's, 0 elsewhere; `greeting_capabilities`, whether the greeting tells them, is IMAP's.
    """

    auth: AuthMethod
    capabilities: tuple[bytes, ...]
    client_buffer: int
    greeting_delay: float = 0.0
    greeting_capabilities: bool = False


@dataclass(frozen=True, slots=True)
class MailServer:
    """One `server` block, merged with its `mail` block.

    `ssl` is None where neither a `listen ... ssl` nor `starttls` needs it. `error_log` is the server's own list,
    or the one it inherits.
    """

    listens: tuple[Listen, ...]
    protocol: Protocol
    server_name: bytes
    timeout: float
    max_errors: int
    max_commands: int
    error_log: tuple[LogTarget, ...]
    resolver: ResolverSettings
    starttls: Starttls
    ssl: SslSettings | None
    dialogue: DialogueSettings
    auth_http: AuthHttpSettings
    proxy: ProxySettings
    real_ip_from: tuple[IPv4Network | IPv6Network | str, ...]
    where: str


@dataclass(frozen=True, slots=True)
class User:
    """`user`, looked up: what a worker becomes when the master is root."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class CpuAffinity:
    """`worker_cpu_affinity`: for `auto`, worker n gets the n-th CPU of `masks[0]` (empty: of all usable CPUs)."""

    auto: bool
    masks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CoreSettings:
    """Directives of the main context. `worker_processes` None is `auto`; `user` None keeps the identity."""

    daemon: bool
    master_process: bool
    worker_processes: int | None
    user: User | None
    pid: Path
    lock_file: Path
    working_directory: Path | None
    error_log: tuple[LogTarget, ...]
    env: tuple[str, ...]
    worker_priority: int
    worker_cpu_affinity: CpuAffinity | None
    worker_rlimit_nofile: int | None
    worker_rlimit_core: int | None
    worker_sandbox: bool
    worker_shutdown_timeout: float | None
    timer_resolution: float | None


@dataclass(frozen=True, slots=True)
class EventsSettings:
    """Directives of the `events` block. `use` is the method's name, None for the best one."""

    worker_connections: int
    use: str | None
    multi_accept: bool
    accept_mutex: bool
    accept_mutex_delay: float
    debug_connection: tuple[IPv4Network | IPv6Network | str, ...]


@dataclass(frozen=True, slots=True)
class Settings:
    """A whole configuration.

    `files` is every file read, in order of opening, with its content, for -T. `warnings` hold their positions.
    """

    path: Path
    core: CoreSettings
    events: EventsSettings
    servers: tuple[MailServer, ...]
    zones: tuple[SharedZone, ...]
    files: tuple[tuple[Path, bytes], ...]
    warnings: tuple[tuple[Level, str], ...]
    secrets: tuple[SecretFile, ...] = ()

    @property
    def logs_to_stderr(self) -> bool:
        """Whether any `error_log` names stderr."""
        lists = [self.core.error_log, *(server.error_log for server in self.servers)]
        return any(isinstance(target, StderrLog) for targets in lists for target in targets)
