"""Logging in to the backend in the client's name (nginx's ngx_mail_proxy_module)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from mailworker.errors import Party, PeerError, ProtocolError
from mailworker.event.plan import Link
from mailworker.event.stream import SocketStream
from mailworker.mail.backend.conversation import READING, Conversation, Foreseen, Talk, Wanted
from mailworker.mail.client.client import Client
from mailworker.mail.server import Server
from mailworker.mail.session_log import SessionLog
from mailworker.model import Address, ProxyProtocol
from mailworker.tls.backend import TlsPeer
from mailworker.wire.identity import Identity, dovecot_attributes, hops_left
from mailworker.wire.login import Login
from mailworker.wire.reply_reader import ReplyReader
from mailworker.wire.secret import Secret

# Each login needs it, and Python 3.11 takes some 850 instructions to find a member in its enum.
NO_HEADER: Final = ProxyProtocol.OFF


class BackendError(ProtocolError):
    """An error at a backend, of a kind that a session handles in its own way."""

    def __init__(self, text: str) -> None:
        super().__init__(Party.BACKEND, text)


class TlsRefused(BackendError):
    """The password must not be sent to the backend over this TLS connection."""


class Misconfigured(BackendError):
    """No client can log in to the backend until its administrator, or ours, has changed a setting."""


class Unsafe(BackendError):
    """The backend would give the client rights that it must not have; `answer` is the reply before the close.

    `known`: this has been logged for that backend before.
    """

    def __init__(self, text: str, answer: bytes, *, known: bool) -> None:
        super().__init__(text)
        self.answer = answer
        self.known = known


class Dispensable(BackendError):
    """The backend has failed, by `error`, at a step that the next login to it does without."""

    def __init__(self, error: PeerError) -> None:
        super().__init__(str(error))
        self.error = error


def needed_password(login: Login) -> Secret:
    """The password of the login; raises ProtocolError if neither the client nor the auth service has sent one."""
    if login.password is None:
        raise ProtocolError(Party.BACKEND, "no password available")
    return login.password


class Place(Protocol):
    """The data for a login to a backend, either of a conversation with it or of a session that has none yet.

    `client_names` gives the client's address and host name.
    """

    @property
    def client(self) -> Client: ...
    @property
    def log(self) -> SessionLog: ...
    @property
    def server(self) -> Server: ...
    def client_names(self) -> tuple[Address, bytes]: ...


def identity(place: Place, client_id: bytes = b"") -> Identity:
    """The client's identity; `client_id` is the ID that it has sent. Raises ProtocolError for a loop of proxies."""
    return place.client.identity(place.log.session_id, hops_left(client_id))


def dovecot_xclient(place: Place, taken: Wanted) -> Talk[None]:
    """Send the client's identity by XCLIENT as Dovecot's POP3 and ManageSieve services take it; nothing if it has none.

    `taken` is the reply that must come. Raises a PeerError.
    """
    attributes = dovecot_attributes(identity(place))
    if attributes:
        yield ((b"XCLIENT %b\r\n" % attributes, taken),)


class Language(Protocol):
    """The part of a protocol's row that concerns backends; see the table of protocols."""

    @property
    def reply_reader(self) -> Callable[[int], ReplyReader]: ...
    @property
    def starttls(self) -> Callable[[Backend, Login], Talk[None]]: ...
    @property
    def log_in(self) -> Callable[[Backend, Login], Talk[bytes]]: ...


class Backend(Conversation):
    """A backend during the `login` of a `client` of `server`.

    `greeted` tells whether the backend has sent its greeting; `greeting` is that, empty unless `greet` has kept it.
    `foreseen` are the steps that a plan has begun with, none if there was no plan.
    """

    __slots__ = ("_entered", "_language", "_login", "_peer", "_watch", "client", "foreseen", "greeting", "server")

    _entered: Callable[[bytes], Link]
    _peer: TlsPeer | None
    _watch: Callable[[SocketStream], Awaitable[None]] | None

    def __init__(  # noqa: PLR0913, PLR0917 - all that a login has come to know
        self,
        stream: SocketStream,
        language: Language,
        login: Login,
        client: Client,
        server: Server,
        log: SessionLog,
    ) -> None:
        super().__init__(stream, language.reply_reader, server.settings.proxy.buffer, log)
        self.client = client
        self.server = server
        self._language = language
        self._login = login
        self.foreseen: tuple[Foreseen, ...] = ()
        self.greeting = b""

    def client_names(self) -> tuple[Address, bytes]:
        """See `Place`."""
        return self.client.address, self.client.host

    def enter(
        self,
        peer: TlsPeer | None,
        done: Callable[[bytes], Link],
        failed: Callable[[PeerError], Link],
        watch: Callable[[SocketStream], Awaitable[None]] | None = None,
    ) -> Link:
        """The link that logs in, over TLS if there is a `peer` for it.

        `done` gets the bytes for the client: the reply, and everything that came after it. `watch` waits for the times
        of the connection that variables use, None if they use none.
        """
        self._watch = watch
        self.stepwise = watch is not None and peer is not None
        self._peer = peer
        self._entered = done
        self.failed = failed
        if self.server.settings.proxy.proxy_protocol is not NO_HEADER or watch is not None:
            return self._introduce()
        return self._log_in() if peer is None else self._secure(peer)

    def resume(
        self,
        done: Callable[[bytes], Link],
        failed: Callable[[PeerError], Link],
        steps: tuple[Foreseen, ...],
        usual: int,
    ) -> int:
        """As `enter`, without TLS, after a plan with the `steps` of the login; see `Conversation.take_over`."""
        self._watch = self._peer = None
        self._entered = done
        self.foreseen = steps
        self.failed = failed
        return self.take_over(self._language.log_in(self, self._login), self._logged_in, steps, usual)

    async def _introduce(self) -> Link:
        """Send a PROXY header, if configured, and watch how the connection is made."""
        proxy = self.server.settings.proxy
        try:
            self.stream.reach()  # a refusal at once comes while connecting
            if proxy.proxy_protocol is not NO_HEADER:
                self.log.action = "sending PROXY protocol header to upstream"
                await self.stream.write(self.client.proxy_protocol(proxy, self.log))
            if self._watch is not None:
                await self._watch(self.stream)
        except PeerError as error:
            return self.failed(error)
        return self._log_in() if self._peer is None else self._secure(self._peer)

    def _secure(self, peer: TlsPeer) -> Link:
        if not peer.starttls:
            return self._encrypt()
        return self.converse(self._language.starttls(self, self._login), self._encrypt)

    async def _encrypt(self, _nothing: None = None) -> Link:
        assert self._peer is not None
        try:
            await self._start_tls(self._peer)
        except PeerError as error:
            return self.failed(error)
        return self._log_in()

    def _log_in(self) -> Link:
        return self.converse(self._language.log_in(self, self._login), self._logged_in)

    def _logged_in(self, reply: bytes) -> Link:
        if self._peer is not None and self.stream.tls is not None:
            self._peer.remember(self.stream.tls)  # later connections can resume the TLS session
        return self._entered(reply + self.reader.unread)

    async def _start_tls(self, peer: TlsPeer) -> None:
        """Do the TLS handshake; a greeting that came in clear does not come again.

        Raises TlsRefused for a backend that must not get a password, and for one that has sent more than its go-ahead:
        bytes that were added in clear must not be read as if they came over TLS (CVE-2026-1642).
        """
        self.stream.reach()  # a refusal at once comes while connecting
        self.log.action = "SSL handshaking to upstream"
        if self.reader.rest():
            raise TlsRefused("upstream sent data before SSL handshake")
        self.greeted = self.reader.renew()
        await self.stream.start_tls(peer)
        tls = self.stream.tls
        assert tls is not None
        if self.log.verbose:
            self.log.debug(f"{tls.protocol} with {tls.cipher}{', resumed' if tls.reused else ''}")
        refusal = peer.refusal(tls)
        if refusal is not None:
            raise TlsRefused(refusal)
        self.log.action = READING

    def greet(self, wanted: Wanted) -> Talk[bytes]:
        """Read the greeting and keep it; gives it again if it has come in clear before TLS."""
        if not self.greeted:
            self.greeting = (yield ((None, wanted),)).data
            self.greeted = True
        return self.greeting
