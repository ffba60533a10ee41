"""Asking name servers without blocking (nginx's ngx_resolver)."""

from __future__ import annotations

import errno
import secrets
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import cycle
from math import inf
from typing import Final

from mailworker.config.settings import InetAddress, Level, ResolverSettings
from mailworker.errors import ConnectionLost, HostNotFound, MailworkerError, NotResolved, Party, TimedOut
from mailworker.event.connections import Connections
from mailworker.event.stream import SocketStream, Stream
from mailworker.event.task import sleep
from mailworker.log.line import describe as describe_error
from mailworker.log.log import Log
from mailworker.wire import dns
from mailworker.wire.dns import Answer, Query, Question, Rcode, RecordType

IpAddress = IPv4Address | IPv6Address

# Seconds after which the next server is asked, where the timeout leaves so much time (nginx's resend_timeout).
_RESEND_INTERVAL: Final = 5.0

# Bytes of a datagram that is read whole (nginx's NGX_RESOLVER_UDP_SIZE); without EDNS none has more than 512.
_DATAGRAM_SIZE: Final = 4096

# Answers about clients that come back, at most 2 KB each. More records than honest names have would make them longer.
_MOST_CACHED: Final = 4096
_MOST_CACHED_RECORDS: Final = 16


class _Unusable(MailworkerError):
    """A server's answer says that it cannot answer; the message is for the log."""


class Resolver:
    """Asks the servers of one `resolver` directive in turn.

    Made by the master and used by one worker: what was found is kept, for its TTL or the time that `valid=` says.
    Faults of servers go to `log`.
    """

    __slots__ = ("_cache", "_interval", "_log", "_settings", "_turn")

    def __init__(self, settings: ResolverSettings, log: Log) -> None:
        self._settings = settings
        self._log = log
        self._cache = Cache(_MOST_CACHED)
        # So that each server gets its chance within the timeout, and the first one a second.
        self._interval = min(_RESEND_INTERVAL, settings.timeout / (len(settings.servers) + 1))
        self._turn = 0

    async def host_name(self, connections: Connections, address: IpAddress) -> bytes:
        """The name that DNS gives `address`, in lower case; it may hold any byte.

        Raises NotResolved, and OutOfConnections.
        """
        question = Question(dns.to_name(address.reverse_pointer.encode()), RecordType.PTR)
        records = await self._look_up(connections, question, self._deadline(connections))
        if not records:
            raise HostNotFound
        return records[0]

    async def addresses(self, connections: Connections, name: bytes, version: int) -> frozenset[IpAddress]:
        """The addresses of `name`, a host's name that DNS can hold, in IP `version`.

        Where there are none of these or the directive excludes them, those of the other version. Raises NotResolved,
        and OutOfConnections.
        """
        deadline = self._deadline(connections)
        for type_ in self._types(version):
            records = await self._look_up(connections, Question(dns.to_name(name), type_), deadline)
            if records:
                return frozenset(ip_address(record) for record in records)
        raise HostNotFound

    def _deadline(self, connections: Connections) -> float:
        return connections.loop.now + self._settings.timeout

    def _types(self, version: int) -> list[RecordType]:
        types = [(RecordType.A, self._settings.ipv4), (RecordType.AAAA, self._settings.ipv6)]
        if version == 6:
            types.reverse()
        return [type_ for type_, on in types if on]

    async def _look_up(self, connections: Connections, question: Question, deadline: float) -> tuple[bytes, ...]:
        """The records, none where the name has none of this type."""
        loop = connections.loop
        cached = self._cache.get(question, loop.now)
        if cached is not None:
            return cached
        answer = await self._ask(connections, question, deadline)
        aliases, ttl = answer.aliases, answer.ttl
        while not answer.records and answer.aliases:  # the server leaves the rest of the way to us
            if aliases >= dns.MOST_ALIASES:
                raise HostNotFound
            answer = await self._ask(connections, Question(answer.canonical, question.type), deadline)
            aliases, ttl = aliases + answer.aliases, min(ttl, answer.ttl)
        if 0 < len(answer.records) <= _MOST_CACHED_RECORDS:
            valid = self._settings.valid
            self._cache.put(question, answer.records, loop.now + (ttl if valid is None else valid))
        return answer.records

    async def _ask(self, connections: Connections, question: Question, deadline: float) -> Answer:
        """Ask one server after another until one answers; raises NotResolved."""
        loop = connections.loop
        failures = 0
        for server in self._rotation():
            until = min(loop.now + self._interval, deadline)
            try:
                answer = await _exchange(connections, question, server, until)
            except TimedOut:
                failures = 0
            except (ConnectionLost, _Unusable) as error:
                self._log_fault(error, server)
                failures += 1
                if failures % len(self._settings.servers) == 0:  # none of them is of any use now
                    await sleep(until - loop.now)
            else:
                return _checked(answer)
            if loop.now >= deadline:
                break
        raise NotResolved(errno.ETIMEDOUT, "Operation timed out")

    def _rotation(self) -> Iterator[InetAddress]:
        """All servers, again and again; each lookup begins with another one."""
        servers, turn = self._settings.servers, self._turn
        self._turn = (turn + 1) % len(servers)
        return cycle(servers[turn:] + servers[:turn])

    def _log_fault(self, error: ConnectionLost | _Unusable, server: InetAddress) -> None:
        message = str(error)
        if isinstance(error, ConnectionLost):
            message += f" {describe_error(OSError(error.errno, ''))} while resolving, resolver: {server}"
        self._log.write(Level.ERROR, message)


class Cache:
    """What at most `size` questions were answered, until it expires; the oldest go first."""

    __slots__ = ("_entries", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: dict[Question, tuple[float, tuple[bytes, ...]]] = {}

    def get(self, question: Question, now: float) -> tuple[bytes, ...] | None:
        """The records; None where they are unknown or have expired."""
        expires, records = self._entries.get(question, (inf, None))
        return records if now < expires else None

    def put(self, question: Question, records: tuple[bytes, ...], expires: float) -> None:
        """Keep `records` until `expires`, a monotonic time in seconds."""
        self._entries.pop(question, None)
        if len(self._entries) >= self._size:
            del self._entries[next(iter(self._entries))]
        self._entries[question] = expires, records


async def _exchange(connections: Connections, question: Question, server: InetAddress, until: float) -> Answer:
    """One server's answer, by TCP where it does not fit a datagram; raises ConnectionLost, TimedOut and _Unusable."""
    stream = _connect_datagrams(connections, server)
    try:
        answer = await _ask_by_datagram(stream, _new_query(question), until)
    finally:
        stream.close()
    if not answer.truncated:
        return answer
    stream = connections.connect(server, Party.RESOLVER)
    try:
        return await _ask_by_tcp(stream, _new_query(question), until)
    finally:
        stream.close()


async def _ask_by_datagram(stream: Stream, query: Query, until: float) -> Answer:
    """Whatever is not the answer is passed over: it may come late, or from somebody who guesses."""
    stream.deadline = until
    await stream.write(query.to_wire())
    while (answer := query.read(await stream.read(_DATAGRAM_SIZE))) is None:
        pass
    return _usable(answer, query)


async def _ask_by_tcp(stream: Stream, query: Query, until: float) -> Answer:
    """RFC 7766 section 8: each message follows its length."""
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


def _connect_datagrams(connections: Connections, server: InetAddress) -> SocketStream:
    """A socket of its own for each query: nobody else's datagrams reach it, and nobody can guess its port."""
    connections.take()
    try:
        connected = _datagram_socket(server)
    except OSError as error:
        connections.release()
        raise ConnectionLost(Party.RESOLVER, f"connect() to {server}", error.errno or 0) from None
    return SocketStream(connections.loop, connected.detach(), Party.RESOLVER, connections.release)


def _datagram_socket(server: InetAddress) -> socket.socket:
    connected = socket.socket(socket.AF_INET6 if server.is_ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        connected.setblocking(False)
        connected.connect((server.host, server.port))
    except OSError:
        connected.close()
        raise
    return connected


def _new_query(question: Question) -> Query:
    return Query(secrets.randbits(16), question)


def _usable(answer: Answer, query: Query) -> Answer:
    """As nginx: a server that has not understood the question has not answered it."""
    if answer.rcode == Rcode.FORMAT_ERROR or answer.rcode > Rcode.REFUSED:
        raise _Unusable(f"DNS error ({answer.rcode}: {dns.describe(answer.rcode)}), query id:{query.id}")
    return answer


def _checked(answer: Answer) -> Answer:
    if answer.rcode == Rcode.NAME_ERROR:
        raise HostNotFound
    if answer.rcode:
        raise NotResolved(answer.rcode, dns.describe(answer.rcode))
    return answer
