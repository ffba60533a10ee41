"""Tests whether a backend relays mail without a login, on which the safety of `auth_upstream` and XCLIENT depends.

For the backend, the proxy's clients come from the proxy's address. If the backend trusts that address, as Postfix
trusts those of `mynetworks`, any client can send mail to any recipient.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final, NamedTuple

from mailworker.config.proxy import ProxySettings
from mailworker.errors import ConnectionLost, Party, PeerError, ProtocolError, escape
from mailworker.event.connections import Connections
from mailworker.event.sockets import local_address
from mailworker.event.stream import SocketStream
from mailworker.log.line import describe
from mailworker.model import Address, InetAddress, ProxyProtocol
from mailworker.tls.backend import BackendTls
from mailworker.wire.backend import Reply
from mailworker.wire.proxy_protocol import build_v1, build_v2
from mailworker.wire.reply_reader import SmtpReplyReader
from mailworker.wire.xclient import build as build_xclient
from mailworker.wire.xclient import listed_attributes

STRANGER: Final = InetAddress("192.0.2.1", 25)
"""The client's address in the test, which is reserved for documentation (RFC 5737)."""

RECIPIENT: Final = "probe@example.org"
"""A recipient in a foreign domain."""

_SECONDS: Final = 15.0
_LIMIT: Final = 1 << 16  # bytes of a reply

# Replies that reject the address itself, and not the sender: RFC 3463 section 3.2, RFC 7505 section 4.2.
_BAD_ADDRESS: Final = re.compile(rb"5\d\d[ -]5\.1\.\d|556")


class Verdict(Enum):
    """The backend's behaviour towards strangers."""

    REFUSES = "refuses"
    RELAYS = "relays"
    UNCLEAR = "unclear"
    """It was not reached, or refuses temporarily or for another reason: test again, or with another address."""


class Finding(NamedTuple):
    """The result of one test: `how` it was done, the last command, and the reply to it; both are escaped."""

    how: str
    verdict: Verdict
    command: str
    reply: str


class Manner(NamedTuple):
    """How a server connects to its backends: its own name, and what it sends before a login."""

    server_name: bytes
    proxy: ProxySettings
    tls: BackendTls | None = None


class Envelope(NamedTuple):
    """The sender, "" for the null sender, and the recipient of the mail."""

    sender: str = ""
    recipient: str = RECIPIENT


async def probe(connections: Connections, address: Address, envelope: Envelope, manner: Manner) -> list[Finding]:
    """Test as the proxy itself, and with XCLIENT if the backend supports it. No mail is sent: it ends after RCPT."""
    plain = _Probe(connections, address, envelope, manner)
    findings = [await plain.run("as the proxy")]
    if plain.takes_xclient:
        by_xclient = _Probe(connections, address, envelope, manner, xclient=True)
        findings.append(await by_xclient.run(f"by XCLIENT ADDR={STRANGER.host}"))
    return findings


class _Probe:
    """One test, on a connection of its own."""

    __slots__ = (
        "_address", "_command", "_connections", "_envelope", "_manner", "_reader", "_stream", "_xclient",
        "takes_xclient",
    )  # fmt: skip

    _stream: SocketStream

    def __init__(
        self, connections: Connections, address: Address, envelope: Envelope, manner: Manner, *, xclient: bool = False
    ) -> None:
        self._address = address
        self._command = "connect()"
        self._connections = connections
        self._envelope = envelope
        self._manner = manner
        self._reader = SmtpReplyReader(_LIMIT)
        self._xclient = xclient
        self.takes_xclient = False

    async def run(self, how: str) -> Finding:
        """Run the test; gives its result, and raises no PeerError."""
        try:
            self._stream = self._connections.connect(self._address, Party.BACKEND)
        except PeerError as error:
            return self._unclear(how, error)
        try:
            self._stream.deadline = self._connections.loop.now + _SECONDS
            reply = await self._ask()
        except PeerError as error:
            return self._unclear(how, error)
        finally:
            self._stream.close()
        return Finding(how, _judge(reply), self._command, escape(reply.data.rstrip()))

    def _unclear(self, how: str, error: PeerError) -> Finding:
        number = error.errno if isinstance(error, ConnectionLost) else 0
        reason = f"{error} {describe(OSError(number, ''))}" if number else str(error)
        return Finding(how, Verdict.UNCLEAR, self._command, reason)

    async def _ask(self) -> Reply:
        """Send the envelope; gives the reply that decides."""
        await self._introduce()
        hello = await self._greet()
        self.takes_xclient = listed_attributes(hello.data) is not None
        if self._xclient:
            await self._claim(hello)
        sender, recipient = self._envelope
        reply = await self._say(f"MAIL FROM:<{sender}>")
        if reply.data[:1] == b"2":
            reply = await self._say(f"RCPT TO:<{recipient}>")
        await self._stream.write(b"RSET\r\nQUIT\r\n")
        return reply

    async def _introduce(self) -> None:
        self._stream.reach()  # before that there is no local address
        header, local = self._manner.proxy.proxy_protocol, local_address(self._stream.descriptor)
        if header is ProxyProtocol.V1:
            await self._stream.write(build_v1(STRANGER, local))
        elif header is ProxyProtocol.V2:
            await self._stream.write(build_v2(STRANGER, local))

    async def _greet(self) -> Reply:
        """Send EHLO, in TLS if the proxy uses TLS for this backend; gives the reply."""
        hello = f"EHLO {self._manner.server_name.decode(errors='replace')}"
        tls = self._manner.tls
        peer = None if tls is None else tls.peer(self._address)
        if peer is not None and not peer.starttls:
            await self._stream.start_tls(peer)
        self._command = "greeting"
        self._expect(await self._read(), b"220")
        self._expect(reply := await self._say(hello), b"250")
        if peer is not None and peer.starttls:
            self._expect(await self._say("STARTTLS"), b"220")
            await self._stream.start_tls(peer)
            self._expect(reply := await self._say(hello), b"250")
        return reply

    async def _claim(self, hello: Reply) -> None:
        listed, fields = listed_attributes(hello.data) or frozenset(), self._manner.proxy.xclient_fields
        for command in build_xclient(listed if fields is None else listed & fields, STRANGER, None, b"[UNAVAILABLE]"):
            self._expect(await self._say(command.decode().rstrip()), b"220")
            self._expect(await self._say(f"EHLO {self._manner.server_name.decode(errors='replace')}"), b"250")

    async def _say(self, command: str) -> Reply:
        self._command = escape(command)
        await self._stream.write(command.encode() + b"\r\n")
        return await self._read()

    async def _read(self) -> Reply:
        while (reply := self._reader.next()) is None:
            data = await self._stream.read(_LIMIT)
            if not data:
                raise ProtocolError(Party.BACKEND, "upstream closed the connection")
            self._reader.feed(data)
        return reply

    def _expect(self, reply: Reply, code: bytes) -> None:
        if reply.data[:3] != code:
            raise ProtocolError(Party.BACKEND, f"upstream said {escape(reply.data.rstrip())}")


def _judge(reply: Reply) -> Verdict:
    if reply.data[:1] == b"2":
        return Verdict.RELAYS
    if reply.data[:1] == b"5" and not _BAD_ADDRESS.match(reply.last_line):
        return Verdict.REFUSES
    return Verdict.UNCLEAR
