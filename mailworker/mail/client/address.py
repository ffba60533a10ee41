"""The client's address: the socket's, or the one that a trusted balancer sends (PROXY protocol, realip)."""

from __future__ import annotations

from mailworker.config.networks import Network
from mailworker.event.stream import Stream
from mailworker.model import Address, InetAddress, UnixAddress, unmapped
from mailworker.wire.proxy_protocol import V2_LIMIT, ProxyHeader, broken, parse

Networks = tuple[Network, ...]


def client_ip(address: Address) -> str:
    """The address without its port, as nginx logs and sends it: "unix:" for clients of a unix socket."""
    return address.host if isinstance(address, InetAddress) else "unix:"


async def read_proxy_header(client: Stream) -> ProxyHeader:
    """Read the PROXY protocol header, and not one byte of what follows it.

    It may come in pieces, unlike in nginx. Raises ProtocolError if there is no valid header.
    """
    taken = b""
    while True:
        peeked = await client.peek(V2_LIMIT)
        if not peeked:
            raise broken(taken)
        header = parse(taken + peeked)
        missing = len(peeked) if header is None else header.length - len(taken)
        taken += await client.read(missing)
        if header is not None:
            return header


def is_among(peer: Address, networks: Networks) -> bool:
    """Whether `peer` is in the networks of `set_real_ip_from`, which are trusted, or of `debug_connection`."""
    if isinstance(peer, UnixAddress):
        return "unix:" in networks
    return is_inside(peer.host, networks)


def is_inside(host: str, networks: Networks) -> bool:
    """Whether an address is in one of `networks`; those that are words, such as "unix:", contain none."""
    ip = unmapped(host)
    return any(not isinstance(network, str) and ip in network for network in networks)


def real_client(peer: Address, header: ProxyHeader, networks: Networks) -> Address:
    """The client behind a trusted balancer, else the peer itself."""
    if header.source is not None and is_among(peer, networks):
        return header.source
    return peer
