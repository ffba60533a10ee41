"""A cycle: one configuration and all that was opened for it. A reload builds a new one beside the old."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from time import monotonic

from mailworker.config.limit_auth import LimitZone
from mailworker.config.listen import Endpoint, Listen, plan_sockets
from mailworker.config.settings import MailServer, Settings
from mailworker.config.zones import SharedZone
from mailworker.event.listener import BoundListener
from mailworker.log.line import describe_lack
from mailworker.log.log import Console, Log
from mailworker.mail.counting import label
from mailworker.mail.server import ServerTls
from mailworker.mail.service import MailService
from mailworker.mail.vitals import words_of_workers
from mailworker.model import After, Level, UnixAddress
from mailworker.native.tls.certificate import Certificate
from mailworker.process.certificate_folders import CertificateFolders
from mailworker.process.invocation import Invocation
from mailworker.process.listeners import Opening, rehearse
from mailworker.process.log_counts import log_words
from mailworker.process.logs import Logs
from mailworker.process.steps import Pauses, at_once
from mailworker.process.system.daemon import redirect_stderr
from mailworker.process.system.processors import usable_processors
from mailworker.process.tls_contexts import TlsContexts
from mailworker.process.user_files import UserFiles
from mailworker.process.watched_files import WatchedFiles
from mailworker.shm import conns, counters, sessions
from mailworker.shm.counters import Counters
from mailworker.shm.limit_table import LimitTable
from mailworker.shm.limits import Limits
from mailworker.shm.sessions import SessionTable
from mailworker.shm.shared import Shared
from mailworker.shm.ticket_keys import TicketKeys
from mailworker.shm.zones import Zones

# Seconds after which ticket keys that could not be published are tried again.
_PUBLISH_AGAIN = 10.0
# Processes that may have rows in a zone at one time: workers of the present cycle and of former ones that still have
# clients, and helpers, whose rows stay empty. A row takes up no memory before it is written.
_GENERATIONS = 32
_HELPERS = 8


class Cycle:
    """Built by `load`, then `open`. Until `open` is done, `log` is the log of the process that builds the cycle."""

    __slots__ = (
        "_contexts", "_ticket_keys", "_zones", "listeners", "log", "logs", "service", "settings", "watched",
    )  # fmt: skip

    service: MailService

    def __init__(
        self,
        settings: Settings,
        contexts: Sequence[ServerTls],
        log: Log,
        zones: Zones | None = None,
        ticket_keys: Mapping[TicketKeys, int] | None = None,
    ) -> None:
        self.settings = settings
        self.log = log
        self.logs = Logs(
            [settings.core.error_log, *(server.error_log for server in settings.servers)], settings.destinations
        )
        self.listeners: list[BoundListener] = []
        self._contexts = contexts
        self._ticket_keys = ticket_keys or {}
        self._zones = Zones(()) if zones is None else zones
        self.watched = WatchedFiles(UserFiles(), CertificateFolders())

    @classmethod
    def load(cls, invocation: Invocation, log: Log, on_syntax_ok: Callable[[], None] = lambda: None) -> Cycle:
        """Read the configuration and the files it names; warnings go to `log`.

        Raises ConfigError, and StartError without memory for zones.
        """
        contexts = TlsContexts(invocation.configuration.parent, log.write)
        settings = invocation.read(log.write, on_tls=contexts.add, on_syntax_ok=on_syntax_ok)
        user_files = at_once(UserFiles.read((server.source for server in settings.servers), log.write))
        return cls._of(settings, contexts, log, Zones(_zones(settings)), user_files)

    @classmethod
    def follow(cls, previous: Cycle, invocation: Invocation, settings: Settings) -> Generator[float, None, Cycle]:
        """Do as `load`, with settings that have been read, and whose warnings are logged. Keep the zones of `previous`.

        Yields the seconds to wait before it is resumed. Raises as `load` does.
        """
        folders, servers, earlier = CertificateFolders(), settings.servers, previous.watched
        yield from folders.read((server.ssl for server in servers), lambda *_: None, earlier.folders)
        contexts = TlsContexts(invocation.configuration.parent, lambda *_: None, folders)
        pauses = Pauses()
        for server in servers:
            contexts.add(server.ssl, server.proxy.ssl, server.protocol)
            yield from pauses.due()
        user_files = yield from UserFiles.read((each.source for each in servers), lambda *_: None, earlier.users)
        return cls._of(settings, contexts, previous.log, Zones(_zones(settings), previous._zones), user_files)

    @classmethod
    def _of(cls, settings: Settings, contexts: TlsContexts, log: Log, zones: Zones, user_files: UserFiles) -> Cycle:
        ticket_keys = contexts.share(zones)
        for failure in {keys.failure for keys in ticket_keys if keys.failure is not None}:
            log.write(Level.WARN, f"{failure}: workers can write the ticket keys")
        cycle = cls(settings, list(contexts), log, zones, ticket_keys)
        cycle.watched = WatchedFiles(user_files, contexts.folders)
        return cycle

    def redirect_stderr(self) -> None:
        """Redirect stderr, for the interpreter's own messages, to the log, unless the configuration logs to stderr."""
        if not self.settings.logs_to_stderr:
            redirect_stderr(self.log)

    @property
    def workers(self) -> int:
        """The number of workers to run."""
        return _workers(self.settings)

    def listeners_of(self, listens: Iterable[Listen]) -> list[BoundListener]:
        """The listeners for these addresses."""
        return [found for listen in listens for found in self.listeners if found.address == listen.address]

    @property
    def status_listeners(self) -> list[BoundListener]:
        """The listeners of the status process."""
        return self.listeners_of(shown_listens(self.settings))

    @property
    def mail_listeners(self) -> list[BoundListener]:
        """The listeners of the workers."""
        shown = self.status_listeners
        return [listener for listener in self.listeners if listener not in shown]

    @property
    def counters(self) -> Counters | None:
        """The counters of workers and helpers, None if the configuration asks for no status."""
        return None if self.settings.status is None else self.scoreboard

    @property
    def scoreboard(self) -> Counters | None:
        """The counters, where the master also posts its processes; None if there is no status process to read them."""
        return next((zone for zone in self.zones if isinstance(zone, Counters)), None)

    @property
    def session_table(self) -> SessionTable | None:
        """The table of sessions, None if the configuration asks for none."""
        return next((zone for zone in self.zones if isinstance(zone, SessionTable)), None)

    @property
    def certificates(self) -> list[tuple[MailServer, Certificate, str]]:
        """The certificates of files that servers send to clients, with their paths."""
        servers = zip(self.settings.servers, self._contexts, strict=True)
        return [
            (server, leaf, path)
            for server, tls in servers
            if tls.clients is not None
            for leaf, path in zip(tls.clients.leaves, tls.clients.settings.certificates, strict=True)
        ]

    @property
    def zones(self) -> tuple[Shared, ...]:
        """The zones that this configuration's processes share by name."""
        return tuple(self._zones)

    @property
    def descriptors(self) -> list[int]:
        """The descriptors that a daemon must keep open."""
        listening = (listener.socket.fileno() for listener in self.listeners)
        return [*self.logs.descriptors, *listening, *self._zones.descriptors]

    def open(
        self, inherited: Iterable[BoundListener] = (), console: Console | None = None
    ) -> Generator[float, None, None]:
        """Open logs and listeners, of which the `inherited` ones are open already, and make the service.

        Yields the seconds to wait. If it raises StartError, or is closed before its end, nothing stays open.
        """
        try:
            log, server_logs = self.logs.open(console)
            yield from Opening(inherited, self.log, self.listeners).run(_sockets(self.settings))
        except BaseException:
            self.logs.close()
            raise
        self.log = log
        users = [self.watched.users.of(server.source) for server in self.settings.servers]
        self.service = MailService(self.settings, self.mail_listeners, self._contexts, log, server_logs, users)
        self.service.prepare(partial(_limit_table, self._zones))

    def test(self) -> None:
        """Check for `-t` that `open` would succeed: open logs and close them, and bind to each address that is free.

        Raises StartError.
        """
        try:
            self.logs.open(None)
            rehearse(_sockets(self.settings), self.log)
        finally:
            self.logs.close()

    def rotate_ticket_keys(self) -> float | None:
        """Make the shared ticket keys, or rotate those that are old enough; only the master calls this.

        Returns the seconds until the next rotation, None if there are no shared keys.
        """
        now = monotonic()
        return min(
            (_rotate(keys, lifetime, now, self.log) for keys, lifetime in self._ticket_keys.items()), default=None
        )

    def claim(self, row: int) -> None:
        """Claim that row of the shared zones: this process alone writes it from now on."""
        for zone in self.zones:
            zone.claim(row)

    def free(self, row: int) -> None:
        """Clean up that row of the shared zones, as the process that wrote it has ended."""
        for zone in self.zones:
            zone.free(row)

    def stop_publishing(self) -> None:
        """In a child, close what only the master needs to publish shared zones."""
        for zone in self.zones:
            zone.stop_publishing()

    def remove_listeners(self, survivor: Cycle | None, *, shared: bool) -> None:
        """Close the listeners, but not those that `survivor` has on the same socket.

        `shared`: another master may listen on them as well, so the files of unix sockets are not deleted.
        """
        kept = set() if survivor is None else {each.address for each in survivor.listeners}
        _remove((each for each in self.listeners if each.address not in kept), self, survivor, shared=shared)
        self.listeners = []  # another process may have the addresses by the next call

    def remove_mail_listeners(self, *, shared: bool) -> None:
        """Close the listeners for mail clients, but not those of status and control; see `remove_listeners`."""
        _remove(self.mail_listeners, self, None, shared=shared)
        self.listeners = self.status_listeners

    def close(self, survivor: Cycle | None = None, *, shared: bool = False) -> None:
        """Close everything that `survivor` does not use; for `shared` see `remove_listeners`."""
        self.remove_listeners(survivor, shared=shared)
        self.logs.close()
        self._zones.stop_publishing(None if survivor is None else survivor._zones)


def finish(cycle: Cycle, after: After, done: Callable[[], None]) -> None:
    """Accept no more clients, and call `done` when the cycle's sessions have ended.

    After worker_shutdown_timeout, those that remain are closed. As in nginx, 0 is no limit.
    """
    timeout = cycle.settings.core.worker_shutdown_timeout
    if timeout:
        after(timeout, cycle.service.cut)
    cycle.service.shutdown_gracefully(done)


def _remove(listeners: Iterable[BoundListener], cycle: Cycle, survivor: Cycle | None, *, shared: bool) -> None:
    log = (survivor or cycle).log
    for listener in listeners:
        if shared:
            listener.close()
            continue
        if survivor is not None and isinstance(listener.address, UnixAddress) and not listener.borrowed:
            log.write(Level.WARN, f"deleting socket {listener.address.path}")
        listener.remove(log)


def _zones(settings: Settings) -> tuple[SharedZone, ...]:
    """The zones that directives declare by name, and the unnamed ones."""
    zones = [_shared(zone, settings) for zone in settings.zones]
    if settings.status is not None:
        words = (*words_of_workers(settings.servers), *log_words(settings.destinations))
        zones.append(SharedZone(counters.USE, 0, counters.USE, words))
    elif settings.control is not None:
        zones.append(SharedZone(counters.USE, 0, counters.USE, words_of_workers(())))
    if settings.session_rows:
        labels = tuple("\0".join(label(server)) for server in settings.servers)
        zones.append(SharedZone(sessions.USE, settings.session_rows, sessions.USE, labels, _processes(settings)))
    return tuple(zones)


def _sockets(settings: Settings) -> list[tuple[Endpoint, ...]]:
    """The sockets for mail clients, then those of the status process."""
    mail = plan_sockets(server.listens for server in settings.servers)
    return [*mail, *((Endpoint(listen, 0),) for listen in shown_listens(settings))]


def shown_listens(settings: Settings) -> tuple[Listen, ...]:
    """The addresses of `status` and of `control`."""
    status, control = settings.status, settings.control
    steered = () if control is None else (each.listen for each in control.sockets)
    return (*(() if status is None else status.listens), *steered)


def _shared(zone: SharedZone, settings: Settings) -> SharedZone:
    """The zone; that of `limit_conn` depends on the numbers of processes and of their connections."""
    if zone.use != conns.USE:
        return zone
    places = str(settings.events.worker_connections)
    return replace(zone, words=(*zone.words, places), workers=_processes(settings))


def _processes(settings: Settings) -> int:
    return _GENERATIONS * _workers(settings) + _HELPERS


def _workers(settings: Settings) -> int:
    return settings.core.worker_processes or usable_processors()


def _limit_table(zones: Zones, zone: LimitZone) -> LimitTable:
    return zones.get(Limits, zone.zone).table((zone.gain, zone.period))


def _rotate(keys: TicketKeys, lifetime: int, now: float, log: Log) -> float:
    try:
        return keys.rotate(now, lifetime) - now
    except (MemoryError, OSError) as error:
        log.write(Level.ALERT, f"ticket keys could not be published {describe_lack(error)}")
        return _PUBLISH_AGAIN
