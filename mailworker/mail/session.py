"""One client, from accept to relay."""

from __future__ import annotations

from contextlib import suppress

from mailworker.errors import ConnectionLost, OutOfConnections, Party, PeerError, ProtocolError, TimedOut, escape
from mailworker.event import sockets
from mailworker.event.connections import Connections
from mailworker.event.stream import SocketStream
from mailworker.mail.backend.backend import Backend, Unsafe
from mailworker.mail.backend.judgement import judgement
from mailworker.mail.client.client import Client
from mailworker.mail.client.host import find_host
from mailworker.mail.client.tls import certificate_refusal
from mailworker.mail.dialogue.dialogue import AnyDialogue, StartTls
from mailworker.mail.dialogue.sasl import failure
from mailworker.mail.end import End, Farewell
from mailworker.mail.facts import FactsRecord
from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.mail.record import SessionRecord, end_by, end_in_handshake, start_tls
from mailworker.mail.relay import Relays
from mailworker.mail.server import Server
from mailworker.mail.session_log import SessionLog
from mailworker.model import Level, ProxyProtocol
from mailworker.wire.auth_response import Accepted, Rejected
from mailworker.wire.backend import InvalidReply
from mailworker.wire.login import Login

# Seconds that a client gets to answer our close_notify (nginx's lingering of TLS connections).
_GOODBYE_TIMEOUT = 3.0

_BY_BUG = Farewell(End.BUG)

# Each login needs it, and Python 3.11 takes some 850 instructions to find a member in its enum.
_NO_HEADER = ProxyProtocol.OFF


class Session:
    """What a client's coroutine works on; it is dropped as a whole when the relay takes over."""

    __slots__ = (
        "_attempts", "_backend", "_client", "_connections", "_dialogue", "_facts", "_log", "_protocol", "_relays",
        "_server",
        "_stream",
    )  # fmt: skip

    def __init__(self, client: Client, record: SessionRecord, connections: Connections, relays: Relays) -> None:
        self._client = client
        self._stream = client.stream
        self._server = server = record.entrance.server
        self._connections = connections
        self._relays = relays
        self._log = record
        self._facts = record if isinstance(record, FactsRecord) else None
        self._protocol = PROTOCOLS[server.settings.protocol]
        self._dialogue: AnyDialogue = self._protocol.dialogue(self._stream, server, self._log)
        self._backend: SocketStream | None = None
        self._attempts = 0

    async def run(self) -> None:
        """Serve the client; whatever happens, it has ended or is in a relay's hands afterwards."""
        farewell: Farewell | None = _BY_BUG
        try:
            try:
                farewell = await self._serve()
            except Exception as error:
                farewell = _explain(error, (self._stream, self._backend), self._dialogue, self._server, self._log)
            self._close_backend()  # the client may take its time to hear its last words
            if farewell is not None and farewell.words is not None:
                await self._take_leave(farewell.words)
        except PeerError as error:
            self._log.fault(error)  # the client did not even wait for our goodbye
        finally:
            if farewell is not None:
                self._log.end(farewell.reason)
            self._stream.close()
            self._close_backend()

    async def _take_leave(self, last_words: bytes) -> None:
        self._renew_deadline()
        await self._stream.write(last_words)
        self._stream.deadline = self._connections.loop.now + _GOODBYE_TIMEOUT
        with suppress(TimedOut, ConnectionLost):  # it need not answer our goodbye
            await self._stream.end_tls()

    async def _serve(self) -> Farewell | None:
        """Serve until the session ends, or, None, goes on in a relay."""
        self._log.connected(self._client.peer)
        self._renew_deadline()
        trusted = self._server.settings.real_ip_from
        if self._client.listen.proxy_protocol and not await self._client.read_proxy_header(trusted, self._log):
            return Farewell(End.PROXY_PROTOCOL)
        if self._client.listen.ssl:
            self._log.action = "SSL handshaking"
            farewell = await self._shake_hands(more=self._log.entrance.greets_at_once)
            if farewell is not None:
                return farewell
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
                assert self._dialogue.over is not None
                return Farewell(self._dialogue.over, b"")
            if isinstance(request, StartTls):
                farewell = await self._start_tls()
            elif (rejected := await self._log_in(request)) is None:
                return None
            else:
                farewell = await self._reject(request, rejected)
            if farewell is not None:
                return farewell

    async def _reject(self, login: Login, verdict: Rejected) -> Farewell | None:
        """Tell the client, which may try again if it had to wait; else the session ends."""
        if self._facts is not None:
            self._facts.refuse()
        if verdict.wait:
            await self._dialogue.pause(verdict.wait)
        self._renew_deadline()
        self._log.action = "in auth state"
        answer = await failure(self._dialogue, login, verdict)
        if verdict.final and not (verdict.wait or self._protocol.retries):
            return Farewell(End.AUTH_FAILED, answer)
        await self._dialogue.reject(answer, counted=self._protocol.retries or not verdict.final)
        return None

    async def _start_tls(self) -> Farewell | None:
        self._dialogue.begin_tls()
        self._log.starttls = True
        self._log.action = "in starttls state"
        farewell = await self._shake_hands(more=self._dialogue.greets_again)
        if farewell is None and self._dialogue.greets_again:
            await self._dialogue.greet()
        return farewell

    async def _shake_hands(self, *, more: bool = False) -> Farewell | None:
        """Make the connection a TLS one; the session ends where that fails, or the client's certificate will not do.

        `more`: something is written next in any case.
        """
        began = self._connections.loop.now
        try:
            await start_tls(self._stream, self._log, more=more)
        except PeerError as error:
            self._log.fault(error)
            return Farewell(end_in_handshake(error, self._stream))
        if self._log.entrance.server is not self._server:
            self._change_server()
        if self._facts is not None:
            self._facts.shaken_hands(self._connections.loop.now - began)
        return _judge_tls(self._stream, self._server, self._dialogue, self._log)

    def _change_server(self) -> None:
        """Go on at the server that the record has moved to."""
        self._server = server = self._log.entrance.server
        self._protocol = PROTOCOLS[server.settings.protocol]
        earlier, self._dialogue = self._dialogue, self._protocol.dialogue(self._stream, server, self._log)
        self._dialogue.follow(earlier)
        self._renew_deadline()

    async def _log_in(self, login: Login) -> Rejected | None:
        """Let a client in, if whoever decides says so: our source, or the backend; None where the relay has begun."""
        source = self._server.login_source
        self._log.action = source.action
        self._log.login = login.name
        self._attempts = attempt = self._attempts + 1
        if verbose := self._log.verbose:
            self._log.debug(f"asking {source.name}, method {login.method.name}, attempt {attempt}")
        request = self._client.auth_request(login, attempt, self._server.settings, tells_host=self._protocol.tells_host)
        request.facts = facts = self._facts
        if facts is not None:
            facts.attempt(login, attempt)
            began = self._connections.loop.now
        verdict = await source.authenticate(self._connections, request, self._dialogue.pause, self._log)
        if verdict.login is not None:
            self._log.login = verdict.login
        if facts is not None:
            verdict = facts.settle(verdict, request.answer, began)
        if not verdict.accepted:
            self._log.info(f'client login failed: "{escape(verdict.text)}"')
            return verdict
        if verbose:
            self._log.debug(f"sent to {verdict.address}")
        login.adopt(verdict)
        try:
            await self._enter(login, verdict)
        except PeerError as error:
            codes = self._server.settings.proxy.pass_error_codes
            rejected = judgement(error, login, self._protocol, self._log, codes=codes)
            self._close_backend()
            return rejected
        return None

    async def _enter(self, login: Login, accepted: Accepted) -> None:
        """Log in at the backend and leave the rest to a relay."""
        settings, tls = self._server.settings, self._server.backend_tls
        if login.password is None and self._protocol.needs_password:
            raise ProtocolError(Party.AUTH_SERVICE, "did not send password")
        candidates, facts = self._server.targets.candidates(accepted), self._facts
        stream, address = await candidates.connect(self._connections, settings.timeout, self._log)
        self._backend = self._log.backend_bytes = stream
        stream.deadline = self._connections.loop.now + settings.timeout
        if settings.proxy.socket_keepalive:
            sockets.keep_alive(stream.descriptor)
        if settings.proxy.proxy_protocol is not _NO_HEADER:
            self._log.action = "sending PROXY protocol header to upstream"
            await stream.write(self._client.proxy_protocol(settings.proxy, self._log))
        if self._server.waits_for_facts and facts is not None:
            await facts.follow_try(stream)
        backend = Backend(stream, self._protocol.reply_reader, self._client, self._server, self._log)
        if tls is None:
            reply = await self._protocol.log_in(backend, login)
        else:
            reply = await self._protocol.log_in_over_tls(backend, login, tls.peer(address, candidates.name))
        self._log.action = None
        self._log.info("client logged in")
        self._backend = None
        if facts is not None:
            facts.log_in()
        sockets.no_delay(stream.descriptor)  # clients, unlike a login, do not wait for each reply
        self._relays.start(self._log, (self._stream, self._dialogue.take_input()), (stream, reply + backend.rest()))

    def _close_backend(self) -> None:
        backend, self._backend = self._backend, None
        if backend is not None:
            backend.close()

    def _renew_deadline(self) -> None:
        self._stream.deadline = self._connections.loop.now + self._server.settings.timeout


def _judge_tls(stream: SocketStream, server: Server, dialogue: AnyDialogue, log: SessionLog) -> Farewell | None:
    """Why the session ends after a handshake, None where it goes on."""
    tls, context = stream.tls, server.tls
    assert tls is not None
    assert context is not None
    if log.verbose:
        log.debug(f"{tls.protocol} with {tls.cipher}{', resumed' if tls.reused else ''}")
    return certificate_refusal(tls, context.settings, dialogue, log)


def _explain(
    error: Exception,
    streams: tuple[SocketStream, SocketStream | None],
    dialogue: AnyDialogue,
    server: Server,
    log: SessionLog,
) -> Farewell:
    """Log why the session ends; gives what the client is told. `streams` are the client's and the backend's."""
    reason = end_by(error, *streams)
    if isinstance(error, PeerError):
        words = _blame(error, dialogue, server, log)
        return Farewell(dialogue.over or reason, words)
    if isinstance(error, OutOfConnections):
        log.write(Level.ALERT, str(error))
    else:
        log.bug(error)
    return Farewell(reason, dialogue.internal_error)


def _blame(error: PeerError, dialogue: AnyDialogue, server: Server, log: SessionLog) -> bytes | None:
    """Log what a peer did wrong; gives what the client is told, None where it is not there to be told."""
    if isinstance(error, Unsafe):
        log.write(Level.INFO if error.known else Level.ERROR, str(error))
        return error.answer
    quoting = server.settings.proxy.pass_error_message
    if quoting and isinstance(error, InvalidReply) and error.reply.is_quotable:
        log.info(str(error))
        return error.reply.data
    log.fault(error, server.login_source.name)
    if error.party is not Party.CLIENT:
        return dialogue.internal_error
    refused = isinstance(error, ProtocolError)  # a login that no backend may see
    return dialogue.invalid() if refused else None
