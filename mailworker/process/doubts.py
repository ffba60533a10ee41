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
# A program that renews certificates does so earlier than so many days before their end.
_NOTICE: Final = 7


def doubts(settings: Settings, folders: Iterable[Folder] = ()) -> Iterator[str]:
    """The warnings, one after the other; `folders` are those of certificates that `settings` name."""
    yield from _of_certificates(settings.servers)
    yield from of_secrets(settings.secrets)
    for folder in folders:
        yield from of_pairs(folder, time.time())
    yield from of_logins_in_clear(settings.servers)
    yield from of_loops(settings.servers)


def _of_certificates(servers: tuple[MailServer, ...]) -> Iterator[str]:
    if any(server.ssl is not None or server.proxy.ssl is not None for server in servers):
        # A service needs none of the libraries that this loads.
        from mailworker.tls.certificate import check_servers  # noqa: PLC0415

        yield from check_servers(servers)


def of_pairs(folder: Folder, now: float) -> Iterator[str]:
    """Certificates in use that are not valid, or not for long, or have a wrong chain, and keys open to others."""
    for pair in folder:
        if folder.served(pair):
            yield from _of_time(pair, now)
            yield from _of_chain(pair)
        yield from of_secrets([SecretFile("certificate key", pair.key_path)])


def _of_time(pair: NamedPair, now: float) -> Iterator[str]:
    moment = time.strftime("%Y-%m-%d %H:%M", time.gmtime(pair.begins if now < pair.begins else pair.ends))
    if now < pair.begins:
        yield f'certificate "{escape(pair.path)}" is not valid before {moment} UTC'
    elif now >= pair.ends:
        yield f'certificate "{escape(pair.path)}" has expired on {moment} UTC'
    elif now + notice(pair.begins, pair.ends, _NOTICE) > pair.ends:
        days = counted(int(pair.ends - now) // _DAY, "day")
        yield f'certificate "{escape(pair.path)}" expires on {moment} UTC, in {days}'


def _of_chain(pair: NamedPair) -> Iterator[str]:
    issuer = pair.leaf.issuer
    if pair.chain and all(each.subject != issuer for each in pair.chain):
        yield f'certificate "{escape(pair.path)}" is followed by others, of which none is its issuer "{escape(issuer)}"'


def of_secrets(files: Iterable[SecretFile]) -> Iterator[str]:
    """Secret files that users other than their owner may read or write."""
    for file in files:
        try:
            mode = Path(file.path).stat().st_mode
        except OSError as error:
            yield f'{file.kind} "{file.path}" could not be checked: {error.strerror}'
        else:
            if stat.S_ISREG(mode) and mode & _OTHERS:
                yield f'{file.kind} "{file.path}" is open to others than its owner (mode {stat.S_IMODE(mode):04o})'


def of_logins_in_clear(servers: Iterable[MailServer]) -> Iterator[str]:
    """Servers that demand a client certificate, but take logins without TLS, where clients show none."""
    for server in servers:
        demands = server.ssl is not None and server.ssl.verify_client is VerifyClient.ON
        clear = [str(listen.address) for listen in server.listens if not listen.ssl]
        if demands and clear and server.starttls is not Starttls.ONLY:
            yield (
                f'"ssl_verify_client" is on, but clients of {", ".join(clear)} may log in without TLS, so without a '
                f'certificate: "starttls only" demands both in {server.where}'
            )


def of_loops(servers: Iterable[MailServer]) -> Iterator[str]:
    """Servers whose backend is an address of their own, so that one login takes all connections."""
    for server in servers:
        for address in server.proxy.addresses:
            if any(_takes(listen, address) for listen in server.listens):
                yield (
                    f'"proxy_pass" leads to {address}, where this server listens itself: a login goes round and round '
                    f"until no connections are left in {server.where}"
                )


def _takes(listen: Listen, address: Address) -> bool:
    """Whether a connection to `address` surely comes to that listener; the other addresses of this host are unknown."""
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
