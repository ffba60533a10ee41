"""Warnings of `-t` that nginx does not give. None of them fails the test."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from mailworker.config.listen import Listen
from mailworker.config.settings import MailServer, Settings
from mailworker.config.tree import SecretFile
from mailworker.errors import counted, escape
from mailworker.model import Address, InetAddress, Starttls, VerifyClient, unmapped
from mailworker.tls.folder import Folder, NamedPair, notice

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_DAY: Final = 86400  # seconds
# Ports at which mail servers expect TLS at once, and those at which they expect a command first.
_TLS_PORTS: Final = frozenset((465, 993, 995))
_COMMAND_PORTS: Final = frozenset((25, 110, 143, 587, 4190))
# Days before the end of a certificate within which it should have been renewed.
_NOTICE: Final = 7


def check_settings(settings: Settings, folders: Iterable[Folder] = ()) -> Iterator[str]:
    """The warnings; `folders` are the certificate folders that `settings` name, read."""
    yield from _check_certificates(settings.servers)
    yield from check_secrets(settings.secrets)
    for folder in folders:
        yield from check_pairs(folder, time.time())
    yield from check_clear_logins(settings.servers)
    yield from check_loops(settings.servers)
    yield from check_backend_ports(settings.servers)


def _check_certificates(servers: tuple[MailServer, ...]) -> Iterator[str]:
    if any(server.ssl is not None or server.proxy.ssl is not None for server in servers):
        # A service needs none of the libraries that this loads.
        from mailworker.tls.certificate import check_servers  # noqa: PLC0415

        yield from check_servers(servers)


def check_pairs(folder: Folder, now: float) -> Iterator[str]:
    """Warn of certificates in use that are not valid or expire soon, of wrong chains, and of keys open to others."""
    for pair in folder:
        if folder.served(pair):
            yield from _check_validity(pair, now)
            yield from _check_chain(pair)
        yield from check_secrets([SecretFile("certificate key", pair.key_path)])


def _check_validity(pair: NamedPair, now: float) -> Iterator[str]:
    moment = time.strftime("%Y-%m-%d %H:%M", time.gmtime(pair.begins if now < pair.begins else pair.ends))
    if now < pair.begins:
        yield f'certificate "{escape(pair.path)}" is not valid before {moment} UTC'
    elif now >= pair.ends:
        yield f'certificate "{escape(pair.path)}" has expired on {moment} UTC'
    elif now + notice(pair.begins, pair.ends, _NOTICE) > pair.ends:
        days = counted(int(pair.ends - now) // _DAY, "day")
        yield f'certificate "{escape(pair.path)}" expires on {moment} UTC, in {days}'


def _check_chain(pair: NamedPair) -> Iterator[str]:
    issuer = pair.leaf.issuer
    if pair.chain and all(each.subject != issuer for each in pair.chain):
        yield f'certificate "{escape(pair.path)}" is followed by others, of which none is its issuer "{escape(issuer)}"'


def check_secrets(files: Iterable[SecretFile]) -> Iterator[str]:
    """Warn of secret files that users other than their owner may read or write."""
    for file in files:
        try:
            mode = Path(file.path).stat().st_mode
        except OSError as error:
            yield f'{file.kind} "{file.path}" could not be checked: {error.strerror}'
        else:
            if stat.S_ISREG(mode) and mode & _OTHERS:
                yield f'{file.kind} "{file.path}" is open to others than its owner (mode {stat.S_IMODE(mode):04o})'


def check_clear_logins(servers: Iterable[MailServer]) -> Iterator[str]:
    """Warn of servers that require a client certificate, but accept logins without TLS, which has none."""
    for server in servers:
        demands = server.ssl is not None and server.ssl.verify_client is VerifyClient.ON
        clear = [str(listen.address) for listen in server.listens if not listen.ssl]
        if demands and clear and server.starttls is not Starttls.ONLY:
            yield (
                f'"ssl_verify_client" is on, but clients of {", ".join(clear)} may log in without TLS, without a '
                f'certificate: "starttls only" requires both in {server.where}'
            )


def check_loops(servers: Iterable[MailServer]) -> Iterator[str]:
    """Warn of servers whose backend is one of their own addresses: one login would take all connections."""
    for server in servers:
        for address in server.proxy.addresses:
            if any(_takes(listen, address) for listen in server.listens):
                yield (
                    f'"proxy_pass" leads to {address}, an address of this server itself: one login would take all '
                    f"connections in {server.where}"
                )


def check_backend_ports(servers: Iterable[MailServer]) -> Iterator[str]:
    """Warn of servers whose backend waits at its port for TLS while they wait for its greeting, or the reverse."""
    for server in servers:
        ports = {address.port for address in server.proxy.addresses if isinstance(address, InetAddress)}
        tls = server.proxy.ssl is not None and not server.proxy.ssl.starttls
        for port in ports & (_COMMAND_PORTS if tls else _TLS_PORTS):
            needed = "starttls" if tls else "on"
            yield f'port {port} in "proxy_pass" usually needs "proxy_ssl {needed}" in {server.where}'


def _takes(listen: Listen, address: Address) -> bool:
    """Whether a connection to `address` certainly reaches that listener; other addresses of this host are unknown."""
    own = listen.address
    if not isinstance(own, InetAddress) or not isinstance(address, InetAddress):
        return own == address
    host, any_of = unmapped(address.host), ip_address(own.host)
    if own.port != address.port:
        return False
    if not any_of.is_unspecified:
        return unmapped(own.host) == host
    same = host.version == any_of.version or (any_of.version == 6 and not listen.ipv6only)
    return same and (host.is_loopback or host.is_unspecified)
