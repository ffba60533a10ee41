"""The client of a session, and the data about it for auth services and backends."""

from __future__ import annotations

from mailworker.config.auth_http import AuthHttpSettings
from mailworker.config.listen import Listen
from mailworker.config.proxy import ProxySettings
from mailworker.config.settings import MailServer
from mailworker.errors import ProtocolError
from mailworker.event.sockets import local_address
from mailworker.event.stream import SocketStream
from mailworker.mail.client.address import Networks, client_ip, read_proxy_header, real_client
from mailworker.mail.client.host import UNAVAILABLE
from mailworker.mail.client.tls import tls_facts, tls_tlvs
from mailworker.mail.session_log import SessionLog
from mailworker.model import Address, InetAddress, ProxyProtocol, Tlv
from mailworker.wire.auth_request import AuthRequest, TlsFacts
from mailworker.wire.identity import Identity, host_name
from mailworker.wire.login import Login
from mailworker.wire.proxy_protocol import ProxyHeader, build_v1, build_v2


class Client:
    """A client that has connected to `listen`.

    `peer` is the connection's remote address, `address` the client's own: the peer's, or the one that a trusted
    balancer sends. `host` is the name found for that address, see `mailworker.mail.client.host`. `proxy_header` is the
    PROXY header that came first.
    """

    __slots__ = ("address", "host", "listen", "peer", "proxy_header", "stream")

    def __init__(self, stream: SocketStream, peer: Address, listen: Listen) -> None:
        self.stream = stream
        self.listen = listen
        self.peer = self.address = peer
        self.host = UNAVAILABLE
        self.proxy_header: ProxyHeader | None = None

    @property
    def ip(self) -> str:
        """The address without its port."""
        return client_ip(self.address)

    async def read_proxy_header(self, trusted: Networks, log: SessionLog) -> bool:
        """Read the PROXY protocol header that comes first, and use its address if the peer is in `trusted`.

        False if there is no valid header; that is logged.
        """
        log.action = "reading PROXY protocol"
        try:
            self.proxy_header = header = await read_proxy_header(self.stream)
        except ProtocolError as error:
            log.error(str(error))
            return False
        self.stream.received = 0  # these bytes came from the balancer
        self.address = real_client(self.peer, header, trusted)
        log.come_from(self.ip, self.address.port if isinstance(self.address, InetAddress) else None)
        return True

    def proxy_protocol(self, settings: ProxySettings, log: SessionLog) -> bytes:
        """The PROXY header that names the client to a backend; `log` knows the session's id."""
        local = local_address(self.stream.descriptor)
        if settings.proxy_protocol is ProxyProtocol.V1:
            return build_v1(self.address, local)
        tls = self.stream.tls
        unique_id = log.session_id if settings.tlvs & Tlv.UNIQUE_ID else None
        facts = None if tls is None else tls_tlvs(tls)
        return build_v2(self.address, local, facts, unique_id=unique_id, tlvs=settings.tlvs)

    def identity(self, session: bytes, hops: int) -> Identity:
        """The attributes of ID or XCLIENT for a backend that trusts us; `session` is the session's id."""
        tls = self.stream.tls
        return Identity(
            self.address,
            local_address(self.stream.descriptor),
            session,
            hops,
            tls is not None,
            None if tls is None else host_name(tls.server_name),
        )

    def auth_request(self, login: Login, attempt: int, settings: MailServer, *, tells_host: bool) -> AuthRequest:
        """The request for the auth service."""
        return AuthRequest(
            login,
            settings.protocol,
            attempt,
            self.ip.encode(),
            self.host if tells_host else None,
            self.proxy_header,
            self._tls_facts(settings),
        )

    def _tls_facts(self, settings: MailServer) -> TlsFacts | None:
        tls, source = self.stream.tls, settings.source
        if settings.ssl is None or tls is None:
            return None
        pass_certificate = isinstance(source, AuthHttpSettings) and source.pass_client_cert
        return tls_facts(tls, settings.ssl, pass_certificate=pass_certificate)
