"""The beginning of a session, up to the greeting."""

from __future__ import annotations

from mailworker.errors import PeerError
from mailworker.event.connections import Connections
from mailworker.event.plan import Link
from mailworker.event.task import Task
from mailworker.mail.admission import refusal
from mailworker.mail.client.client import Client
from mailworker.mail.client.host import UNAVAILABLE, find_host
from mailworker.mail.client.tls import certificate_refusal
from mailworker.mail.dialogue.dialogue import AnyDialogue
from mailworker.mail.end import End, Farewell
from mailworker.mail.facts import FactsRecord
from mailworker.mail.leaving import Leaving, end_in_handshake
from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.mail.record import SessionRecord, start_tls
from mailworker.model import Address, VerifyClient

_OFF = VerifyClient.OFF  # each handshake needs it, and Python 3.11 takes long to find a member

SHAKING_HANDS = "SSL handshaking"


class Arriving(Leaving):
    """A session at its beginning: its client, and the row of its protocol.

    `facts` is the record if the configuration uses variables, else None.
    """

    __slots__ = ("_client", "_peer", "facts", "protocol")

    _peer: Address

    def __init__(self, record: SessionRecord, connections: Connections) -> None:
        super().__init__(record, connections)
        self._client: Client | None = None
        self.protocol = PROTOCOLS[self.server.settings.protocol]
        self.facts = record if isinstance(record, FactsRecord) else None

    def enlist(self, task: Task) -> None:
        """See `mailworker.event.beginning.Session`: the row of the guest becomes that of the session."""
        assert self.server.rows is not None
        self.server.rows.pass_on(self.stream.row, self.log)
        self.log.entrance.sessions.live[self.log] = task

    def enlist_at_accept(self, task: Task) -> None:
        """As `enlist`, for a session whose client was no guest."""
        rows, record = self.server.rows, self.log
        assert rows is not None
        self.stream.row = rows.open(record, record.number, record.accepted, self.server.number, self._peer)
        record.entrance.sessions.live[record] = task

    def drop(self) -> None:
        """See `mailworker.event.beginning.Session`."""
        del self.log.entrance.sessions.live[self.log]

    @property
    def client(self) -> Client:
        """The client; it is made when more than the log's data is needed."""
        client = self._client
        if client is None:
            self._client = client = Client(self.stream, self._peer, self.log.entrance.listen)
        return client

    def client_names(self) -> tuple[Address, bytes]:
        """The client's address, which a PROXY header may have told, and its host name."""
        client = self._client
        return (self._peer, UNAVAILABLE) if client is None else (client.address, client.host)

    def _new_dialogue(self) -> AnyDialogue:
        return self.protocol.dialogue(self.stream, self.server, self.log)

    async def arrive(self) -> Farewell | None:
        """Do what comes before the greeting: a PROXY header, checks, a handshake, the lookup of its host name, a delay.

        Gives why the session ends there, None if it goes on.
        """
        trusted, listen = self.server.settings.real_ip_from, self.log.entrance.listen
        if listen.proxy_protocol:
            if not await self.client.read_proxy_header(trusted, self.log):
                return Farewell(End.PROXY_PROTOCOL)
            if self.facts is not None:
                self.facts.learn(self.client)
            if (rows := self.server.rows) is not None:
                rows.move(self.stream.row, self.client.address)
        checks = self.log.entrance.at_accept
        if checks and (reason := refusal(checks, self.client_names()[0], self.log)) is not None:
            return Farewell(reason, self._denial)
        if listen.ssl:
            self.log.action = SHAKING_HANDS
            farewell = await self.shake_hands(more=self.log.entrance.greets_at_once)
            if farewell is not None:
                return farewell
        resolver = self.server.client_resolver
        if resolver is not None:
            self.client.host = await find_host(resolver, self.connections, self.client.address, self.log)
            if self.facts is not None:
                self.facts.learn(self.client)
            self.renew_deadline()  # the time of our lookup is not the client's
        return await self._hold_back() if self.server.settings.dialogue.greeting_delay else None

    async def _hold_back(self) -> Farewell | None:
        await self.dialogue.hold_back()
        return None if self.dialogue.over is None else Farewell(self.dialogue.over, b"")

    @property
    def _denial(self) -> bytes | None:
        """The reply to a client that a check refuses, None without `deny_reply`."""
        return self.protocol.refusals.denial if self.server.settings.deny_reply else None

    def rename(self, login: bytes) -> None:
        """Replace the login's name by the one that the source of logins has given."""
        self.log.login = login
        if (rows := self.server.rows) is not None:
            rows.ask(self.stream.row, login, self.connections.loop.now)

    async def shake_hands(self, *, more: bool = False) -> Farewell | None:
        """Do the TLS handshake; the session ends if it fails, or if the client's certificate is not acceptable.

        `more`: we write next in any case.
        """
        began = self.connections.loop.now
        try:
            await start_tls(self.stream, self.log, more=more)
        except PeerError as error:
            return self._unshaken(error)
        if self.log.entrance.server is not self.server:
            self._change_server()
        if self.facts is not None:
            self.facts.shaken_hands(self.connections.loop.now - began)
        checks = self.log.entrance.in_tls
        if checks and (reason := refusal(checks, self.client_names()[0], self.log)) is not None:
            return Farewell(reason, self._denial or b"")
        tls, context = self.stream.tls, self.server.tls
        assert tls is not None
        assert context is not None
        if self.log.verbose:
            self.log.debug(f"{tls.protocol} with {tls.cipher}{', resumed' if tls.reused else ''}")
        if context.settings.verify_client is _OFF:
            return None
        return certificate_refusal(tls, context.settings, self.dialogue, self.log)

    def fail_handshake(self, error: PeerError) -> Link:
        """End a session whose client has failed in the handshake before the session began."""
        if (counted := self.server.counted) is not None:
            counted.fail_handshake(error)
        return self.part(self._unshaken(error))

    def _unshaken(self, error: PeerError) -> Farewell:
        """Log why the handshake failed; gives how the session ends."""
        self.log.fault(error)
        return Farewell(end_in_handshake(error, self.stream))

    def _change_server(self) -> None:
        """Continue on the server that the record has moved to."""
        self.server = server = self.log.entrance.server
        self.protocol = PROTOCOLS[server.settings.protocol]
        earlier, self._dialogue = self._dialogue, None
        if earlier is not None:
            self.dialogue.follow(earlier)
        if server.rows is not None:
            server.rows.serve(self.stream.row, server.number)
        self.renew_deadline()
