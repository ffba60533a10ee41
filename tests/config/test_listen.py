from __future__ import annotations

import pytest

from mailworker.config.listen import Listen, plan_sockets
from mailworker.model import InetAddress


def listens(*addresses: str) -> tuple[Listen, ...]:
    """Listens in short: "HOST:PORT" or "HOST:PORT bind"."""
    made = []
    for text in addresses:
        address, _, bind = text.partition(" ")
        host, _, port = address.rpartition(":")
        made.append(Listen(InetAddress(host, int(port)), bind=bool(bind)))
    return tuple(made)


@pytest.mark.parametrize(
    ("servers", "sockets"),
    [
        ([], []),
        ([["127.0.0.1:1"], ["127.0.0.2:1"]], [["127.0.0.1:1"], ["127.0.0.2:1"]]),
        ([["127.0.0.1:1", "127.0.0.1:2"]], [["127.0.0.1:1"], ["127.0.0.1:2"]]),
        ([["127.0.0.1:1"], ["0.0.0.0:1"]], [["0.0.0.0:1", "127.0.0.1:1"]]),
        ([["127.0.0.1:1 bind"], ["0.0.0.0:1"]], [["127.0.0.1:1"], ["0.0.0.0:1"]]),
        ([["0.0.0.0:1"], ["127.0.0.1:2"]], [["0.0.0.0:1"], ["127.0.0.1:2"]]),
        ([["0.0.0.0:1"], ["::1:1"]], [["0.0.0.0:1"], ["[::1]:1"]]),
        ([["0.0.0.0:1"], ["::1:1"], [":::1"]], [["0.0.0.0:1"], ["[::]:1", "[::1]:1"]]),
    ],
)
def test_a_wildcard_takes_in_its_port(servers: list[list[str]], sockets: list[list[str]]) -> None:
    planned = plan_sockets(listens(*addresses) for addresses in servers)
    assert [[str(endpoint.listen.address) for endpoint in endpoints] for endpoints in planned] == sockets


def test_an_endpoint_knows_its_server() -> None:
    ((first,), (second,)) = plan_sockets([listens("127.0.0.1:1"), listens("127.0.0.1:2")])
    assert (first.server, second.server) == (0, 1)
