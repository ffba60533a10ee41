"""The ports of the demo that another process has taken."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

from mailworker.config.auth_http import AuthHttpSettings
from mailworker.config.settings import MailServer
from mailworker.errors import StartError
from mailworker.model import InetAddress


def demand_free_ports(servers: Iterable[MailServer], configuration: Path) -> None:
    """Raises StartError where a port of `servers`, their auth service or their backends is taken.

    `configuration` names them all.
    """
    taken = [str(address) for address in sorted(set(_addresses(servers)), key=str) if _is_taken(address)]
    if taken:
        raise StartError(
            f"{', '.join(taken)} {'is' if len(taken) == 1 else 'are'} taken, perhaps by another `make run`: "
            f"stop that one, or change the ports in {configuration}"
        )


def _addresses(servers: Iterable[MailServer]) -> Iterator[InetAddress]:
    for server in servers:
        services = (server.source.address,) if isinstance(server.source, AuthHttpSettings) else ()
        for address in (*services, *server.proxy.addresses, *(listen.address for listen in server.listens)):
            if isinstance(address, InetAddress):
                yield address


def _is_taken(address: InetAddress) -> bool:
    """Whether the address is in use; other errors are left to the process that will listen there."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address.host, address.port))
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False
