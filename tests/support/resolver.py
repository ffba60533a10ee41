"""Lookups in a loop of their own, for tests of the resolver."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from ipaddress import ip_address
from typing import Any, TypeVar

from mailworker.config.resolver import ResolverSettings
from mailworker.errors import MailworkerError
from mailworker.event.connections import Connections
from mailworker.event.loop import Loop
from mailworker.event.resolver import Resolver
from mailworker.event.task import Task
from mailworker.event.timers import Timed
from mailworker.model import InetAddress
from tests.support.name_server import Answer, NameServer, records
from tests.support.patience import PATIENCE
from tests.support.recorded_log import RecordedLog

Result = TypeVar("Result")

# A client, and the records that lead from it to its name.
CLIENT = "192.0.2.1"
PTR = "1.2.0.192.in-addr.arpa"
POINTER = records((PTR, 60, "PTR", "mail.example."))


class Watchdog(Timed):
    """Stops a loop that does not end by itself."""

    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self._loop = loop

    def expire(self) -> None:
        self._loop.stop()


class ResolverBench:
    """Runs a worker's lookups in a loop of its own, and asserts that they leave nothing behind."""

    def __init__(self) -> None:
        self.log = RecordedLog()
        self.limit = 8
        self.stack = ExitStack()
        self._resolvers: list[Resolver] = []

    def server(self, answers: dict[str, Answer]) -> NameServer:
        server = NameServer(answers)
        self.stack.callback(server.stop)
        return server

    def resolver(self, *servers: NameServer | InetAddress, **settings: Any) -> Resolver:
        addresses = tuple(server.address if isinstance(server, NameServer) else server for server in servers)
        settings = {"timeout": PATIENCE} | settings
        self._resolvers.append(Resolver(ResolverSettings(addresses, **settings), self.log.log))
        return self._resolvers[-1]

    def host_name(self, resolver: Resolver, address: str = CLIENT) -> bytes:
        return self.run(lambda connections: resolver.host_name(connections, ip_address(address)))

    def addresses(self, resolver: Resolver, version: int = 4) -> list[str]:
        found = self.run(lambda connections: resolver.addresses(connections, b"mail.example", version))
        return sorted(map(str, found))

    def run(self, work: Callable[[Connections], Coroutine[Any, None, Result]]) -> Result:
        """The result of a coroutine; raises its errors of our own classes."""
        results: list[Result] = []
        errors: list[Exception] = []
        loop = Loop(errors.append)
        connections = Connections(loop, self.limit)

        async def run() -> None:
            try:
                results.append(await work(connections))
            except MailworkerError as error:
                errors.append(error)
            finally:
                loop.stop()

        loop.set_deadline(Watchdog(loop), loop.now + PATIENCE)
        Task(loop, run()).resume()
        loop.run()
        loop.close()
        assert connections.in_use == 0
        for resolver in self._resolvers:
            assert not resolver._lookups
            assert not any(datagrams._open for datagrams in resolver._datagrams.values())
        if errors:
            raise errors[0]
        assert results, "the resolver does not come to an end"
        return results[0]
