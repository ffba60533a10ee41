from __future__ import annotations

import errno
import os
import socket
from ipaddress import ip_network

import pytest

from mailworker.config.access import ALL, Rule
from mailworker.config.status import DEFAULT_LISTEN, StatusSettings
from mailworker.errors import ConfigError
from mailworker.model import InetAddress, UnixAddress
from tests.config.conftest import Load, LoadServer


def status(load_text: Load, block: str, *, main: str = "", server: str = "") -> StatusSettings | None:
    text = f"""
        {main}
        events {{ }}
        {block}
        mail {{ auth_http 127.0.0.1; server {{ listen 127.0.0.1:143; {server} }} }}
    """
    return load_text(text).status


def test_there_is_none_unless_somebody_asks_for_it(load_text: Load) -> None:
    assert status(load_text, "") is None


def test_it_listens_on_loopback_by_itself(load_text: Load) -> None:
    found = status(load_text, "status { }")
    assert found is not None
    assert [listen.address for listen in found.listens] == [DEFAULT_LISTEN]
    assert DEFAULT_LISTEN.host == "127.0.0.1"
    assert (found.names, found.rules) == ((socket.gethostname().lower(),), ())


def test_rules_keep_their_order(load_text: Load) -> None:
    found = status(load_text, "status { allow 10.0.0.0/8; deny 10.1.0.0/16; allow unix:; allow ::1; deny all; }")
    assert found is not None
    assert found.rules == (
        Rule(True, ip_network("10.0.0.0/8")),
        Rule(False, ip_network("10.1.0.0/16")),
        Rule(True, "unix:"),
        Rule(True, ip_network("::1")),
        Rule(False, ALL),
    )


def test_it_may_have_several_addresses_and_names(load_text: Load) -> None:
    found = status(load_text, "status { listen 9100; listen [::1]:9; listen unix:/run/s; server_name A.example b; }")
    assert found is not None
    assert [listen.address for listen in found.listens] == [
        InetAddress("0.0.0.0", 9100),
        InetAddress("::1", 9),
        UnixAddress("/run/s"),
    ]
    assert found.names == ("a.example", "b")


def test_without_a_master_it_is_ignored_with_a_warning(load_text: Load) -> None:
    warnings: list[str] = []
    text = "master_process off; events { } status { } "
    settings = load_text(text, on_warning=lambda level, message: warnings.append(message))
    assert settings.status is None
    assert [warning.partition(" in ")[0] for warning in warnings] == [
        '"status" is ignored, as "master_process" is off',
    ]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("status { } status { }", '"status" directive is duplicate'),
        ("status { listen 127.0.0.1:143; }", 'duplicate "127.0.0.1:143" address and port pair'),
        ("status { listen 9; listen 9; }", 'duplicate "0.0.0.0:9" address and port pair'),
        ("status { listen 9 ssl; }", 'invalid number of arguments in "listen" directive'),
        ("status { listen 0; }", 'invalid port in "0" of the "listen" directive'),
        ("status { allow; }", 'invalid number of arguments in "allow" directive'),
        ("status { deny nobody; }", 'invalid parameter "nobody"'),
        ("status { timeout 5; }", '"timeout" directive is not allowed here'),
        ("allow all;", '"allow" directive is not allowed here'),
        ("status;", 'directive "status" has no opening "{"'),
    ],
)
def test_what_makes_no_sense_is_refused(load_text: Load, block: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        status(load_text, block)
    assert caught.value.message == message
    assert caught.value.where is not None


def test_host_bits_of_a_rule_are_warned_of(load_text: Load) -> None:
    warnings: list[str] = []
    load_text("events { } status { allow 10.0.0.1/8; }", on_warning=lambda level, message: warnings.append(message))
    assert warnings[0].startswith("low address bits of 10.0.0.1/8 are meaningless in ")


def test_a_server_may_have_a_zone(load_server: LoadServer) -> None:
    assert load_server("").status_zone is None
    assert load_server("status_zone mx-1.example:25;").status_zone == "mx-1.example:25"


@pytest.mark.parametrize("name", ["''", "a/b", '"a b"', "x" * 65, "ä"])
def test_a_zone_of_another_name_is_refused(load_server: LoadServer, name: str) -> None:
    with pytest.raises(ConfigError, match="invalid status zone"):
        load_server(f"status_zone {name};")


def test_a_zone_is_named_once(load_server: LoadServer) -> None:
    with pytest.raises(ConfigError, match='"status_zone" directive is duplicate'):
        load_server("status_zone a; status_zone b;")


@pytest.mark.parametrize(
    ("missing", "host"),
    [(None, "127.0.0.1"), (errno.EADDRNOTAVAIL, "::1"), (errno.EAFNOSUPPORT, "::1"), (errno.EMFILE, "127.0.0.1")],
)
def test_without_ipv4_it_listens_on_loopback_of_ipv6(
    load_text: Load, monkeypatch: pytest.MonkeyPatch, missing: int | None, host: str
) -> None:
    def bind(_: socket.socket, _address: object) -> None:
        if missing is not None:
            raise OSError(missing, os.strerror(missing))

    monkeypatch.setattr(socket.socket, "bind", bind)
    found = status(load_text, "status { }")
    assert found is not None
    assert [listen.address for listen in found.listens] == [InetAddress(host, 9143)]
