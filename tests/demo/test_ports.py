from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path

import pytest

from mailworker.config.listen import Listen
from mailworker.config.settings import MailServer
from mailworker.demo.ports import demand_free_ports
from mailworker.errors import StartError
from mailworker.model import Address, InetAddress, UnixAddress
from tests.support.ports import Ports
from tests.support.settings import auth_http_settings, mail_server

CONFIGURATION = Path("demo.conf")


def server(auth_http: Address, *listens: Address) -> MailServer:
    listening = tuple(Listen(address) for address in listens)
    return mail_server("imap", listens=listening, source=auth_http_settings(auth_http))


def address_of(listener: socket.socket) -> InetAddress:
    return InetAddress("127.0.0.1", listener.getsockname()[1])


def test_ports_that_others_have_are_told_once_each() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        auth_http, taken = address_of(one), address_of(other)
        servers = [server(auth_http, taken), server(auth_http, taken)]
        with pytest.raises(StartError) as raised:
            demand_free_ports(servers, CONFIGURATION)
    names = ", ".join(sorted([str(auth_http), str(taken)]))
    assert str(raised.value) == (
        f"{names} are taken, perhaps by another `make run`: stop that one, or change the ports in demo.conf"
    )


def test_what_is_free_or_no_port_or_somebody_elses_address_is_left_to_who_listens_there() -> None:
    with closing(Ports()) as ports:
        free = InetAddress("127.0.0.1", ports["free"])
        demand_free_ports([server(UnixAddress("/nonexistent"), free, InetAddress("192.0.2.1", 143))], CONFIGURATION)
