"""The mail service of a worker: it accepts connections and begins sessions."""

from __future__ import annotations

import os
import socket
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial

from mailworker.config.destinations import Destination
from mailworker.config.listen import Endpoint
from mailworker.config.settings import MailServer, Settings
from mailworker.errors import CLIENT, OutOfConnections, PeerError
from mailworker.event.beginning import Beginning, begin
from mailworker.event.connections import Connections
from mailworker.event.listener import BoundListener, Listener, OnAccept, check_accepting
from mailworker.event.lobby import Guest, Lobby
from mailworker.event.loop import Loop
from mailworker.event.plan import UNKNOWN
from mailworker.event.resolver import Resolver
from mailworker.event.rows import Rows
from mailworker.event.stream import SocketStream
from mailworker.log.access import LineSink
from mailworker.log.line import describe
from mailworker.log.log import Log
from mailworker.mail.admission import new_checks
from mailworker.mail.arriving import SHAKING_HANDS
from mailworker.mail.authentication.sources import Means, login_source
from mailworker.mail.authentication.user_file import Users
from mailworker.mail.client.address import is_among
from mailworker.mail.client.host import UNAVAILABLE
from mailworker.mail.counting import Counting, Words, drop_words, forget
from mailworker.mail.end import End
from mailworker.mail.entrances import by_address, new_entrance
from mailworker.mail.facts import FactsRecord
from mailworker.mail.limit_conn import ConnLimits
from mailworker.mail.limits.guards import Guards, Tables
from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.mail.record import Checks, EndListener, Entrance, SessionRecord, Sessions
from mailworker.mail.relay import Relays
from mailworker.mail.server import Memories, Server, ServerTls
from mailworker.mail.session import Session
from mailworker.mail.session_id import clock_and_process
from mailworker.mail.targets import choose_targets
from mailworker.mail.vitals import Vitals, caches
from mailworker.model import Address, Level
from mailworker.shm.conn_table import ConnTable
from mailworker.shm.counters import Counters
from mailworker.shm.gate import Holdings
from mailworker.shm.sessions import SessionTable


class _Prepared:
    """The part of the service that the master makes, and that each worker completes before it starts."""

    __slots__ = (
        "_beginnings", "_bound", "_buffers", "_checks", "_connections", "_counters", "_counting", "_descriptors",
        "_drained", "_drops", "_entrances", "_guarded", "_held", "_listeners", "_log", "_relays", "_rows", "_sessions",
        "_settings", "_short", "_tables", "_vitals", "servers",
    )  # fmt: skip

    _beginnings: _Beginnings
    _connections: Connections
    _relays: Relays
    _sessions: Sessions
    _tables: Tables

    def __init__(  # noqa: PLR0913, PLR0917 - what the master has read and opened
        self,
        settings: Settings,
        listeners: Sequence[BoundListener],
        contexts: Sequence[ServerTls],
        log: Log,
        server_logs: Sequence[Log],
        users: Sequence[Users | None] | None = None,
    ) -> None:
        self._settings = settings
        self._bound = listeners
        self._log = log
        memories = Memories()
        places = {destination: place for place, destination in enumerate(settings.destinations)}
        self.servers = [
            _new_server(*parts, memories, places)
            for parts in zip(settings.servers, server_logs, contexts, users or [None] * len(contexts), strict=True)
        ]
        # A worker that looked for them itself would write to all servers, and so copy the pages that hold them.
        self._buffers = {server.proxy.buffer for server in settings.servers}
        self._guarded = [each for each in self.servers if each.policed is not None or each.settings.limit_auth.guards]
        self._held: Holdings | None = None
        self._checks: dict[Server, Checks] = {}  # those of limits
        self._descriptors = array("i", (bound.socket.fileno() for bound in listeners))
        self._entrances: dict[int, list[Entrance]] = {}
        self._listeners: list[Listener] = []
        self._drained: Callable[[], None] | None = None
        self._counters: Counters | None = None
        self._counting: Counting | None = None
        self._drops: Words | None = None
        self._vitals: Vitals | None = None
        self._rows: Rows | None = None
        self._short = 0  # the next connection's number when a shortage was last logged

    def prepare(self, tables: Tables) -> None:
        """Make resolvers, and set the options that accepted sockets inherit: else TLS logins wait 44 ms for an ACK.

        `tables` count login attempts.
        """
        self._tables = tables
        _make_resolvers(self.servers, self._log)
        for bound in self._bound:
            if bound.socket.family != socket.AF_UNIX:
                bound.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def count(self, counters: Counters) -> None:
        """Count events in the row of `counters`; to be called before `start`."""
        if counters.row is not None:
            self._counters = counters
            self._drops = drop_words(counters)

    def limit_connections(self, tables: Mapping[str, ConnTable]) -> None:
        """Count connections in these tables, by the names of their zones; to be called before `start`."""
        holdings, names = Holdings(tuple(tables.values())), list(tables)
        for server in self.servers if tables else ():
            if (settings := server.settings).limit_conn.limits:
                limits = ConnLimits(settings.limit_conn, names, settings.variables.bind(), holdings)
                server.limits = limits.at_login
                self._held = holdings
                if limits.asks_at_accept:
                    self._checks[server] = (limits,)

    def enlist(self, table: SessionTable) -> None:
        """Write this process's rows of `table`; to be called before `start`."""
        if table.own is not None:
            self._rows = rows = Rows(*table.own, *clock_and_process())
            for number, server in enumerate(self.servers):
                server.number, server.rows = number, rows


class MailService(_Prepared):
    """The mail service, made by the master and run by each worker.

    `contexts`, `server_logs` and `users` correspond to `settings.servers`; `log` is the main log.
    """

    __slots__ = ()

    def start(
        self,
        loop: Loop,
        number: int,
        workers: int,
        listeners: Sequence[EndListener] = (),
        lines: LineSink | None = None,
    ) -> None:
        """Begin to accept, as worker `number` (from 0) of `workers`. Raises StartError if that fails.

        `listeners` are called for each session that has ended. `lines` takes the lines of access logs.
        """
        check_accepting()
        events = self._settings.events
        self._connections = Connections(loop, events.worker_connections, self._unused, number + 1, workers)
        self._relays = Relays(self._connections, self._buffers, self._rows)
        at_once = bool(events.debug_connection)
        self._beginnings = _Beginnings(self._connections, self._relays, self._held, at_once=at_once)
        self._sessions = Sessions(loop, listeners if self._held is None else (*listeners, self._held.end), lines)
        self._connections.in_use = len(self._bound)
        if self._counters is not None:
            contexts = caches((server.settings, server.tls) for server in self.servers)
            self._vitals = vitals = Vitals(self._counters, self._connections, contexts)
            self._counting = Counting(self._counters, loop, vitals)
        guards = Guards(loop, events.worker_connections, self._tables, self._counters)
        for server in self._guarded:
            server.guard = guard = guards.of(server.settings, noted=server.has_variables)
            if guard is not None:
                self._checks[server] = (*guard.checks, *self._checks.get(server, ()))
            if server.policed is not None:
                server.policed.held = guards.held
        receive, failed = self._receive, self._accept_failed
        for descriptor in self._descriptors:
            listener = Listener(loop, descriptor, receive, failed, events)
            listener.open()
            self._listeners.append(listener)

    def follow_log_level(self) -> None:
        """Receive clients as the present log level demands: a lobby does not log connections."""
        self._beginnings.follow_log_level()
        for listener in self._listeners:
            listener.receive_anew()

    def _receive(self, listening: int) -> OnAccept:
        """The function to call with each connection of a listening socket, whose first client has come."""
        if listening not in self._entrances:
            endpoints = self._bound[self._descriptors.index(listening)].endpoints
            self._entrances[listening] = [self._entrance(endpoint) for endpoint in endpoints]
        entrances = self._entrances[listening]
        if len(entrances) > 1:
            return by_address(self.serve, entrances)
        return self._beginnings.accepted(entrances[0], partial(self.serve, entrances[0]))

    def _entrance(self, endpoint: Endpoint) -> Entrance:
        servers = [self.servers[number] for number in endpoint.servers or (endpoint.server,)]
        if self._counting is not None:
            self._counting.count(servers)
        return new_entrance(endpoint.listen, servers, self.servers[endpoint.server], self._sessions, self._checks_of)

    def _checks_of(self, server: Server) -> Checks:
        """The checks for clients that have reached a server."""
        return (*new_checks(server.settings), *self._checks.get(server, ()))

    def shutdown_gracefully(self, done: Callable[[], None]) -> None:
        """Stop accepting, and call `done` when the last session has ended, which may be at once.

        Clients in the listen queue are still served, as far as there are connections for them and their backends.
        """
        self._drained = done
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener.drain(self._connections.free // 2)
            listener.close()
            self._connections.release()
        if not self._connections.in_use:
            self._unused()

    def cut(self) -> None:
        """End the sessions that are in a relay, after worker_shutdown_timeout."""
        self._sessions.cut()

    def kick(self, sessions: Iterable[tuple[int, str]], why: str) -> None:
        """See `Sessions.kick`."""
        if self._rows is not None:
            self._sessions.kick(self._rows, sessions, why)

    def abandon(self) -> None:
        """End the records of the remaining sessions, as the process is about to end."""
        self._beginnings.open_records()
        self._sessions.end_all(End.SHUTDOWN)
        if self._vitals is not None:
            self._vitals.close()

    def serve(self, entrance: Entrance, descriptor: int, peer: Address) -> None:
        """Begin a session on an accepted connection."""
        connections = self._connections
        try:
            number = connections.take()
        except OutOfConnections as error:
            self._complain(Level.ALERT, str(error))
            os.close(descriptor)
            if self._drops is not None:
                self._drops.add("worker_connections")
            return
        stream = connections.stream(descriptor, CLIENT)
        if (counted := entrance.server.counted) is not None:
            counted.arrive()
        watched = self._settings.events.debug_connection
        try:
            if watched and is_among(peer, watched):
                entrance = entrance.verbose()
            self._beginnings.begin(entrance, number, stream, peer)
        except BaseException:
            if counted is not None:
                counted.drop()
            raise

    def _accept_failed(self, error: OSError) -> None:
        self._complain(Level.CRIT, f"accept4() failed {describe(error)}")
        if self._drops is not None:
            self._drops.add("system")

    def _complain(self, level: Level, message: str) -> None:
        """Log a shortage once, until another connection is made: thousands of clients may be turned away."""
        if self._short != self._connections.next:
            self._log.write(level, message)
        self._short = self._connections.next

    def _unused(self) -> None:
        drained = self._drained
        if drained is not None:
            self._drained = None
            self._relays.close()
            if self._vitals is not None:
                self._vitals.close()
            for server in self.servers:
                server.login_source.close()
            drained()


def _make_resolvers(servers: Iterable[Server], log: Log) -> None:
    """Make two resolvers for each `resolver` directive, so that lookups of clients never delay those of backends.

    A client's name is looked up only in the protocols that send it to the auth service or the backend.
    """
    of_backends = cache(partial(Resolver, log=log))
    of_clients = cache(partial(Resolver, log=log))
    for server in servers:
        settings = server.settings.resolver
        if settings.servers:
            server.targets = choose_targets(server.settings, of_backends(settings))
            if PROTOCOLS[server.settings.protocol].tells_host:
                server.client_resolver = of_clients(settings)


def _new_server(  # noqa: PLR0913, PLR0917 - what the master has read and opened
    settings: MailServer,
    log: Log,
    tls: ServerTls,
    users: Users | None,
    memories: Memories,
    places: Mapping[Destination, int],
) -> Server:
    protocol = PROTOCOLS[settings.protocol]
    host = UNAVAILABLE if protocol.tells_host else None
    means = Means(protocol.refusals, protocol.ports, users, memories.answers, host, memories.services)
    source, capabilities = login_source(settings, means), protocol.capabilities(settings, memories.capabilities)
    server = Server(settings, log, tls, capabilities, source, places, memories)
    server.watched = protocol.watched
    return server


class _Beginnings:
    """Begins sessions: for entrances that clients have used before, as copies.

    `at_once`: sessions begin at accept, as `debug_connection` needs, and not with the client's first bytes.
    """

    __slots__ = ("_at_once", "_connections", "_held", "_lobbies", "_patterns", "_relays")

    def __init__(self, connections: Connections, relays: Relays, held: Holdings | None, *, at_once: bool) -> None:
        self._at_once = at_once
        self._connections = connections
        self._held = held
        self._lobbies: dict[Entrance, Lobby] = {}
        self._relays = relays
        self._patterns: dict[Entrance, Session] = {}

    def begin(self, entrance: Entrance, number: int, stream: SocketStream, peer: Address) -> None:
        """Begin a session at accept."""
        loop = self._connections.loop
        session = self._session(entrance, number, stream, peer, loop.now)
        begin(loop, session, None, None if entrance.server.rows is None else Session.enlist_at_accept)

    def accepted(self, entrance: Entrance, serve: OnAccept) -> OnAccept:
        """The function to call with each client: a lobby begins sessions when clients have sent their first bytes."""
        if self._at_once or not entrance.has_lobby:
            return serve
        if entrance not in self._lobbies:
            self._lobbies[entrance] = self._lobby(entrance, serve)
        return self._lobbies[entrance].accepted

    def _lobby(self, entrance: Entrance, serve: OnAccept) -> Lobby:
        assert entrance.greeting is not None
        server, step = entrance.server, (entrance.greeting, entrance.opening or UNKNOWN)
        limit, timeout = server.settings.dialogue.client_buffer, server.settings.timeout
        checks = tuple(check.quick for check in entrance.at_accept if check.quick is not None)
        lost, stopped = partial(self._begin_lost, entrance), partial(self._begin_carefully, entrance)
        left = Beginning(self._connections.loop, self._pattern(entrance), lost, server.rows is not None)
        calls = left, None if server.counted is None else server.counted.arrive, serve, checks, stopped
        known = server.rows, server.number, partial(forget, self._held, server.counted)
        lobby = Lobby(self._connections, CLIENT, step, limit, timeout, *calls, *known)
        if entrance.listen.ssl and server.tls is not None:
            shaken = None if server.counted is None else partial(server.counted.welcome, self._connections.loop)
            lobby.shake_hands(server.tls, shaken)
        return lobby

    def _begin_lost(self, entrance: Entrance, guest: Guest, error: PeerError) -> None:
        session = self._session(entrance, guest.number, guest.stream, guest.peer, guest.accepted)
        if guest.shaking:
            session.log.action = SHAKING_HANDS
        enlist = None if entrance.server.rows is None else Session.enlist
        begin(self._connections.loop, session, error, enlist)

    def _begin_carefully(self, entrance: Entrance, guest: Guest) -> None:
        """Begin a session for a client that fails a check: it repeats all checks, and logs the result."""
        self.begin(entrance, guest.number, guest.stream, guest.peer)

    def follow_log_level(self) -> None:
        """Let later sessions log as their logs demand now."""
        for pattern in self._patterns.values():
            pattern.look_around()

    def open_records(self) -> None:
        """Make records for the lobby's clients, which have sent nothing and will not be served."""
        for entrance, lobby in self._lobbies.items():
            for guest in lobby.guests:
                self._session(entrance, guest.number, guest.stream, guest.peer, guest.accepted)
                guest.stream.close()

    def _session(self, entrance: Entrance, number: int, stream: SocketStream, peer: Address, now: float) -> Session:
        pattern = self._patterns.get(entrance) or self._pattern(entrance)
        return pattern.of(number, stream, peer, now)

    def _pattern(self, entrance: Entrance) -> Session:
        """The pattern of an entrance's sessions."""
        kind = FactsRecord if entrance.has_variables else SessionRecord
        pattern = Session(kind(entrance), self._connections, self._relays)
        if not entrance.watched:  # else this entrance belongs to a single client
            self._patterns[entrance] = pattern
        return pattern
