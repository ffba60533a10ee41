"""A non-blocking DNS resolver (nginx's ngx_resolver)."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import cycle
from typing import Final

from mailworker.config.resolver import ResolverSettings
from mailworker.errors import (
    ConnectionLost,
    HostNotFound,
    MailworkerError,
    NotResolved,
    OutOfConnections,
    Party,
    TimedOut,
)
from mailworker.event.connections import Connections
from mailworker.event.datagrams import Datagrams
from mailworker.event.lookup import Cache, Lookup, Records
from mailworker.event.stream import Stream
from mailworker.event.task import sleep
from mailworker.log.line import describe as describe_error
from mailworker.log.log import Log
from mailworker.model import InetAddress, Level
from mailworker.wire import dns
from mailworker.wire.dns import Answer, Query, Question, Rcode, RecordType

IpAddress = IPv4Address | IPv6Address

# Seconds after which the next server is asked, where the timeout leaves so much time (nginx's resend_timeout).
_RESEND_INTERVAL: Final = 5.0

# Questions under way, at most 4 KB each, and connections for answers that do not fit a datagram.
MOST_LOOKUPS: Final = 2048
_MOST_STREAMS: Final = 16

# Answers about clients that come back: 4 MB in names at most, and 4 MB in addresses.
_MOST_CACHED: Final = 4096
_MOST_CACHED_RECORDS: Final = 65_536


# Answers about the server that gives them: another one may know more.
_OWN_FAULTS: Final = (Rcode.SERVER_FAILURE, Rcode.NOT_IMPLEMENTED, Rcode.REFUSED)


class _Unusable(MailworkerError):
    """A server's answer says that it cannot answer; the message is for the log."""


class Resolver:
    """Asks the servers of one `resolver` directive in turn.

    The master makes it, and one worker uses it. Answers are cached for their TTL or the time of `valid=`.
    A question that is under way is not asked again. Faults of servers go to `log`. Those that have `_failed` are asked
    last, until they answer or all have failed.
    """

    __slots__ = ("_cache", "_datagrams", "_failed", "_interval", "_log", "_lookups", "_settings", "_streams", "_turn")

    def __init__(self, settings: ResolverSettings, log: Log) -> None:
        self._settings = settings
        self._log = log
        self._cache = Cache(_MOST_CACHED, _MOST_CACHED_RECORDS)
        self._lookups: dict[Question, Lookup] = {}
        self._datagrams = {server: self._new_datagrams(server) for server in settings.servers}
        self._failed = set[InetAddress]()
        self._streams = 0
        # So each server is asked once within the timeout, and the first one a second time.
        self._interval = min(_RESEND_INTERVAL, settings.timeout / (len(settings.servers) + 1))
        self._turn = 0

    async def host_name(self, connections: Connections, address: IpAddress) -> bytes:
        """The name that DNS gives `address`, in lower case; it may hold any byte.

        Raises NotResolved.
        """
        question = Question(dns.to_name(address.reverse_pointer.encode()), RecordType.PTR)
        records = await self._find(connections, question, self._deadline(connections))
        if not records:
            raise HostNotFound
        return records[0]

    async def addresses(
        self, connections: Connections, name: bytes, version: int, *, alone: bool = False
    ) -> frozenset[IpAddress]:
        """The addresses of `name`, a host name that DNS can hold, in IP `version`.

        If there are none, or the directive excludes them, those of the other version, unless this one is wanted
        `alone`. Raises NotResolved.
        """
        deadline = self._deadline(connections)
        for type_ in self._types(version, alone):
            records = await self._find(connections, Question(dns.to_name(name), type_), deadline)
            if records:
                return frozenset(ip_address(record) for record in records)
        raise HostNotFound

    def _deadline(self, connections: Connections) -> float:
        return connections.loop.now + self._settings.timeout

    def _types(self, version: int, alone: bool) -> list[RecordType]:
        types = [(RecordType.A, self._settings.ipv4), (RecordType.AAAA, self._settings.ipv6)]
        if version == 6:
            types.reverse()
        return [type_ for type_, on in types[: 1 if alone else 2] if on]

    async def _find(self, connections: Connections, question: Question, deadline: float) -> Records:
        """The records, none if the name has none of this type."""
        loop = connections.loop
        cached = self._cache.get(question, loop.now)
        if cached is not None:
            return cached
        lookup = self._lookups.get(question)
        if lookup is None:
            if len(self._lookups) >= MOST_LOOKUPS:
                raise NotResolved(errno.EAGAIN, os.strerror(errno.EAGAIN))
            lookup = self._lookups[question] = Lookup()
            lookup.begin(loop, self._run(connections, question, lookup))
        return await lookup.result(deadline)

    async def _run(self, connections: Connections, question: Question, lookup: Lookup) -> None:
        """A lookup's task; after a bug the outcome is a server failure."""
        outcome: Records | NotResolved = NotResolved(Rcode.SERVER_FAILURE, dns.describe(Rcode.SERVER_FAILURE))
        try:
            outcome = await self._look_up(connections, question)
        except NotResolved as error:
            outcome = error
        finally:
            del self._lookups[question]
            lookup.end(outcome)

    async def _look_up(self, connections: Connections, question: Question) -> Records:
        answer = await self._ask(connections, question)
        aliases, ttl = answer.aliases, answer.ttl
        while not answer.records and answer.aliases:  # the server has not followed all aliases
            if aliases >= dns.MOST_ALIASES:
                raise HostNotFound
            answer = await self._ask(connections, Question(answer.canonical, question.type))
            aliases, ttl = aliases + answer.aliases, min(ttl, answer.ttl)
        if answer.records:
            valid = self._settings.valid
            self._cache.put(question, answer.records, connections.loop.now + (ttl if valid is None else valid))
        return answer.records

    async def _ask(self, connections: Connections, question: Question) -> Answer:
        """Ask one server after another until one answers; raises NotResolved if the answer is an error."""
        loop, number = connections.loop, len(self._settings.servers)
        failures = 0
        for turn, server in enumerate(self._rotation(), 1):
            until = loop.now + self._interval
            try:
                answer = await self._exchange(connections, question, server, until)
            except TimedOut:
                self._pass_over(server)
                failures = 0
            except (ConnectionLost, _Unusable):
                self._pass_over(server)
                failures += 1
                if failures % number == 0:  # none of them is of any use now
                    await sleep(until - loop.now)
            else:
                self._failed.discard(server)
                if answer.rcode not in _OWN_FAULTS or turn >= number:
                    return _checked(answer)
        raise AssertionError  # the rotation has no end

    def _pass_over(self, server: InetAddress) -> None:
        """Ask `server` last from now on; once all have failed, none is worse than the others."""
        self._failed.add(server)
        if self._failed.issuperset(self._settings.servers):
            self._failed.clear()

    async def _exchange(
        self, connections: Connections, question: Question, server: InetAddress, until: float
    ) -> Answer:
        """One server's answer, over TCP if it does not fit a datagram.

        Raises TimedOut, and ConnectionLost and _Unusable, which are logged.
        """
        query, answer = await self._datagrams[server].ask(connections.loop, question, until)
        try:
            if answer.truncated:
                return await self._ask_by_tcp(connections, question, server, until)
            return _usable(answer, query)
        except (ConnectionLost, _Unusable) as error:
            self._log_fault(error, server)
            raise

    async def _ask_by_tcp(
        self, connections: Connections, question: Question, server: InetAddress, until: float
    ) -> Answer:
        if self._streams >= _MOST_STREAMS:
            raise _Unusable(f"{_MOST_STREAMS} connections for long DNS answers are not enough")
        try:
            stream = connections.connect(server, Party.RESOLVER)
        except OutOfConnections as error:
            raise _Unusable(f"{error} while resolving, resolver: {server}") from None
        self._streams += 1
        try:
            return await _converse(stream, Query(secrets.randbits(16), question), until)
        finally:
            self._streams -= 1
            stream.close()

    def _rotation(self) -> Iterator[InetAddress]:
        """All servers in an endless cycle; each lookup begins with another one of those that have not failed."""
        servers, turn = self._settings.servers, self._turn
        self._turn = (turn + 1) % len(servers)
        return cycle(sorted(servers[turn:] + servers[:turn], key=self._failed.__contains__))

    def _new_datagrams(self, server: InetAddress) -> Datagrams:
        return Datagrams(server, lambda error: self._log_fault(error, server))

    def _log_fault(self, error: ConnectionLost | _Unusable, server: InetAddress) -> None:
        message = str(error)
        if isinstance(error, ConnectionLost):
            message += f" {describe_error(OSError(error.errno, ''))} while resolving, resolver: {server}"
        self._log.write(Level.ERROR, message)


async def _converse(stream: Stream, query: Query, until: float) -> Answer:
    """An answer over TCP, where each message follows its length (RFC 7766 section 8)."""
    stream.deadline = until
    message = query.to_wire()
    await stream.write(len(message).to_bytes(2, "big") + message)
    length = int.from_bytes(await _read_exactly(stream, 2), "big")
    answer = query.read(await _read_exactly(stream, length))
    if answer is None or answer.truncated:
        raise _Unusable(f"DNS answer is broken, query id:{query.id}")
    return _usable(answer, query)


async def _read_exactly(stream: Stream, length: int) -> bytes:
    data = b""
    while len(data) < length:
        piece = await stream.read(length - len(data))
        if not piece:
            raise ConnectionLost(Party.RESOLVER, "recv()", errno.ECONNRESET)
        data += piece
    return data


def _usable(answer: Answer, query: Query) -> Answer:
    """The answer, unless its RCODE says that the server did not understand the question, as in nginx."""
    if answer.rcode == Rcode.FORMAT_ERROR or answer.rcode > Rcode.REFUSED:
        raise _Unusable(f"DNS error ({answer.rcode}: {dns.describe(answer.rcode)}), query id:{query.id}")
    return answer


def _checked(answer: Answer) -> Answer:
    if answer.rcode == Rcode.NAME_ERROR:
        raise HostNotFound
    if answer.rcode:
        raise NotResolved(answer.rcode, dns.describe(answer.rcode))
    return answer
