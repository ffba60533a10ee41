"""One client, from accept to relay."""

from __future__ import annotations

from contextlib import suppress

from mailworker.errors import ConnectionLost, Party, PeerError, ProtocolError, TimedOut, escape
from mailworker.event.connections import Connections
from mailworker.event.stream import SocketStream
from mailworker.mail.backend.backend import Backend
from mailworker.mail.backend.named import connect_by_name
from mailworker.mail.client.client import Client
from mailworker.mail.client.host import find_host
from mailworker.mail.client.tls import certificate_refusal
from mailworker.mail.dialogue.dialogue import AnyDialogue, StartTls
from mailworker.mail.dialogue.sasl import failure
from mailworker.mail.last_words import explain
from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.mail.relay import Relays
from mailworker.mail.server import Server
from mailworker.mail.session_log import SessionLog
from mailworker.model import Address, InetAddress, ProxyProtocol
from mailworker.native.core import sockets
from mailworker.wire.auth_response import Accepted, BackendName, InvalidResponse, Rejected
from mailworker.wire.login import Login

# Seconds that a client gets to answer our close_notify (nginx's lingering of TLS connections).
_GOODBYE_TIMEOUT = 3.0


class Session:
    """What a client's coroutine works on; it is dropped as a whole when the relay takes over."""

    __slots__ = (
        "_attempts",
        "_backend",
        "_client",
        "_connections",
        "_dialogue",
        "_log",
        "_protocol",
        "_relays",
        "_server",
        "_stream",
    )

    def __init__(
        self, client: Client, server: Server, log: SessionLog, connections: Connections, relays: Relays
    ) -> None:
        self._client = client
        self._stream = client.stream
        self._server = server
        self._connections = connections
        self._relays = relays
        self._log = log
        self._protocol = PROTOCOLS[server.settings.protocol]
        self._dialogue: AnyDialogue = self._protocol.dialogue(self._stream, server, self._log)
        self._backend: SocketStream | None = None
        self._attempts = 0

    async def run(self) -> None:
        """Serve the client; whatever happens, its connections are closed or in a relay's hands afterwards."""
        try:
            try:
                last_words = await self._serve()
            except Exception as error:
                last_words = explain(error, self._dialogue, self._server, self._log)
            self._close_backend()  # the client may take its time to hear them
            if last_words is not None:
                await self._take_leave(last_words)
        except PeerError as error:
            self._log.fault(error)  # the client did not even wait for our goodbye
        finally:
            self._stream.close()
            self._close_backend()

    async def _take_leave(self, last_words: bytes) -> None:
        self._renew_deadline()
        await self._stream.write(last_words)
        self._stream.deadline = self._connections.loop.now + _GOODBYE_TIMEOUT
        with suppress(TimedOut, ConnectionLost):  # it need not answer our goodbye
            await self._stream.end_tls()

    async def _serve(self) -> bytes | None:
        """Serve until the relay begins; gives the last words for a client that has to go, None for no one."""
        self._log.connected(self._client.peer)
        self._renew_deadline()
        if self._client.listen.proxy_protocol and not await self._read_proxy_header():
            return None
        if self._client.listen.ssl:
            self._log.action = "SSL handshaking"
            refusal = await self._shake_hands(more=self._server.greets_at_once)
            if refusal is not None:
                return refusal
        resolver = self._server.client_resolver
        if resolver is not None:
            self._client.host = await find_host(resolver, self._connections, self._client.address, self._log)
            self._renew_deadline()  # that time was ours
        self._log.action = "sending client greeting line"
        await self._dialogue.greet()
        while True:
            self._log.action = "in auth state"
            request = await self._dialogue.next_request()
            if request is None:
                return b""
            if isinstance(request, StartTls):
                last_words = await self._start_tls()
            else:
                verdict = await self._authenticate(request)
                if isinstance(verdict, Accepted):
                    await self._log_in(request, verdict)
                    return None
                last_words = await self._reject(request, verdict)
            if last_words is not None:
                return last_words

    async def _reject(self, login: Login, verdict: Rejected) -> bytes | None:
        """Tell the client, which may try again if it had to wait; gives its last words where it may not."""
        if verdict.wait:
            await self._dialogue.pause(verdict.wait)
        self._renew_deadline()
        self._log.action = "in auth state"
        answer = await failure(self._dialogue, login, verdict)
        if not verdict.wait:
            return answer
        await self._dialogue.reject(answer)
        return None

    async def _read_proxy_header(self) -> bool:
        self._log.action = "reading PROXY protocol"
        try:
            await self._client.read_proxy_header(self._server.settings.real_ip_from)
        except ProtocolError as error:
            self._log.error(str(error))
            return False
        self._log.client = self._client.ip
        return True

    async def _start_tls(self) -> bytes | None:
        self._dialogue.begin_tls()
        self._log.starttls = True
        self._log.action = "in starttls state"
        return await self._shake_hands()

    async def _shake_hands(self, *, more: bool = False) -> bytes | None:
        """Make the connection a TLS one; gives what a client is told whose certificate will not do.

        `more`: something is written next in any case.
        """
        context = self._server.tls
        assert context is not None
        await self._stream.start_tls(context, more=more)
        tls = self._stream.tls
        assert tls is not None
        if self._log.verbose:
            self._log.debug(f"{tls.protocol} with {tls.cipher}{', resumed' if tls.reused else ''}")
        return certificate_refusal(tls, context.settings, self._dialogue, self._log)

    async def _authenticate(self, login: Login) -> Accepted | Rejected:
        self._log.action = "in http auth state"
        self._log.login = login.name
        self._attempts += 1
        authenticator = self._server.authenticator
        if self._log.verbose:
            self._log.debug(f"asking {authenticator.name}, method {login.method.name}, attempt {self._attempts}")
        request = self._client.auth_request(
            login, self._attempts, self._server.settings, tells_host=self._protocol.tells_host
        )
        try:
            verdict = await authenticator.authenticate(self._connections, request, self._dialogue.pause)
        except InvalidResponse as error:
            if error.login is not None:
                self._log.login = error.login
            raise
        if verdict.login is not None:
            self._log.login = verdict.login
        if isinstance(verdict, Rejected):
            self._log.info(f'client login failed: "{escape(verdict.text)}"')
        elif self._log.verbose:
            self._log.debug(f"sent to {verdict.address}")
        return verdict

    async def _log_in(self, login: Login, accepted: Accepted) -> None:
        """Log in at the backend and leave the rest to a relay."""
        settings, tls = self._server.settings, self._server.backend_tls
        login.adopt(accepted)
        if login.password is None and self._protocol.needs_password:
            raise ProtocolError(Party.AUTH_SERVICE, "did not send password")
        address, name = accepted.address, None
        if isinstance(address, BackendName):
            name, resolver = address.name, self._server.backend_resolver
            assert resolver is not None
            stream, address = await connect_by_name(address, resolver, self._connections, settings.timeout, self._log)
        else:
            self._log.action = "connecting to upstream"
            self._log.backend = backend_name(address)
            stream = self._connections.connect(address, Party.BACKEND)
        self._backend = stream
        stream.deadline = self._connections.loop.now + settings.timeout
        if settings.proxy.socket_keepalive:
            sockets.keep_alive(stream.descriptor)
        if settings.proxy.proxy_protocol is not ProxyProtocol.OFF:
            self._log.action = "sending PROXY protocol header to upstream"
            await stream.write(self._client.proxy_protocol(settings.proxy.proxy_protocol))
        backend = Backend(stream, self._protocol.reply_reader, self._client, self._server, self._log)
        if tls is None:
            reply = await self._protocol.log_in(backend, login)
        else:
            reply = await self._protocol.log_in_over_tls(backend, login, tls.peer(address, name))
        self._log.action = None
        self._log.info("client logged in")
        self._backend = None
        sockets.no_delay(stream.descriptor)  # clients, unlike a login, do not wait for each reply
        self._relays.start(
            settings, self._log, (self._stream, self._dialogue.take_input()), (stream, reply + backend.rest())
        )

    def _close_backend(self) -> None:
        backend, self._backend = self._backend, None
        if backend is not None:
            backend.close()

    def _renew_deadline(self) -> None:
        self._stream.deadline = self._connections.loop.now + self._server.settings.timeout


def backend_name(address: Address) -> str:
    """A backend as nginx logs it: Auth-Server and Auth-Port with a colon between, IPv6 too."""
    return address.bare if isinstance(address, InetAddress) else str(address)
