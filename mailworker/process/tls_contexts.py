"""The TLS contexts of a configuration, and the zones that they share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mailworker.config.proxy_ssl import ProxySslSettings
from mailworker.config.ssl import SslSettings
from mailworker.config.tree import Warn
from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.mail.server import ServerTls
from mailworker.model import Level
from mailworker.native.tls.tls_session_table import TlsSessionTable
from mailworker.process.certificate_folders import CertificateFolders
from mailworker.process.steps import at_once
from mailworker.shm.ticket_keys import TicketKeys
from mailworker.shm.tls_sessions import TlsSessions
from mailworker.shm.zones import Zones
from mailworker.tls.backend import BackendTls
from mailworker.tls.context import TlsContext


class TlsContexts:
    """The contexts of servers, in the order of adding; servers with equal settings share them."""

    __slots__ = ("_backends", "_built", "_conf_prefix", "_of_servers", "_pairs", "_warn", "folders")

    def __init__(self, conf_prefix: Path, warn: Warn, folders: CertificateFolders | None = None) -> None:
        """`conf_prefix`: see `TlsContext.build`; `warn` gets warnings.

        A certificate folder that is not in `folders` is read when a server that uses it is added.
        """
        self._built: dict[tuple[SslSettings, tuple[bytes, ...]], TlsContext] = {}
        self._conf_prefix = conf_prefix
        self._warn = warn
        self._backends: dict[ProxySslSettings, BackendTls] = {}
        self._of_servers: list[ServerTls] = []
        self._pairs: dict[ServerTls, ServerTls] = {}
        self.folders = CertificateFolders() if folders is None else folders

    def __iter__(self) -> Iterator[ServerTls]:
        return iter(self._of_servers)

    def add(self, settings: SslSettings | None, proxy_settings: ProxySslSettings | None, protocol: str) -> None:
        """Build the contexts of one more server, for its clients and its backends; raises ConfigError."""
        clients = None if settings is None else self._get(settings, PROTOCOLS[protocol].all_alpn)
        backends = None if proxy_settings is None else self._get_backend(proxy_settings)
        pair = ServerTls(clients, backends)
        self._of_servers.append(self._pairs.setdefault(pair, pair))

    def share(self, zones: Zones) -> dict[TicketKeys, int]:
        """Give the contexts their zones.

        Returns the ticket keys, which must be rotated from now on, each with its lifetime in seconds: the longest
        timeout of the servers that use the zone.
        """
        lifetimes: dict[TicketKeys, int] = {}
        for context in self._built.values():
            zone, timeout = context.settings.session_cache.shared, context.settings.session_timeout
            if zone is not None:
                ticket_keys = zones.get(TicketKeys, zone)
                context.share(TlsSessionTable(zones.get(TlsSessions, zone).memory, timeout), ticket_keys)
                lifetimes[ticket_keys] = max(lifetimes.get(ticket_keys, 0), timeout)
        return lifetimes

    def _get(self, settings: SslSettings, alpn: tuple[bytes, ...]) -> TlsContext:
        context = self._built.get((settings, alpn))
        if context is None:
            at_once(self.folders.read([settings], self._warn))  # this blocks; a running master has read them before
            folders = self.folders.of(settings, self._warn)
            context = TlsContext.build(settings, *alpn, conf_prefix=self._conf_prefix, folders=folders)
            self.folders.use(context.native, settings, self._warn)
            self._built[settings, alpn] = context
        for warning in context.warnings:
            self._warn(Level.WARN, warning)
        return context

    def _get_backend(self, settings: ProxySslSettings) -> BackendTls:
        if settings not in self._backends:
            self._backends[settings] = BackendTls.build(settings, conf_prefix=self._conf_prefix)
            for warning in self._backends[settings].warnings:
                self._warn(Level.WARN, warning)
        return self._backends[settings]
