"""`allow` and `deny`: their grammar and their inheritance."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from mailworker.config.access import ALL, Rule
from mailworker.config.command import Command
from mailworker.config.load import directives
from mailworker.errors import ConfigError
from mailworker.mail.protocols.table import PROTOCOLS
from tests.config.conftest import Load, LoadServer


def test_without_rules_there_are_none(load_server: LoadServer) -> None:
    assert load_server("").access == ()


def test_rules_keep_their_order(load_server: LoadServer) -> None:
    assert load_server("deny 10.1.0.0/16; allow 10.0.0.0/8; allow ::1; allow unix:; deny all;").access == (
        Rule(False, ip_network("10.1.0.0/16")),
        Rule(True, ip_network("10.0.0.0/8")),
        Rule(True, ip_network("::1")),
        Rule(True, "unix:"),
        Rule(False, ALL),
    )


def test_a_server_with_a_rule_of_its_own_inherits_none(load_text: Load) -> None:
    settings = load_text(
        """
        events {} mail {
            auth_http 127.0.0.1; deny 10.0.0.1; allow all;
            server { listen 143; }
            server { listen 110; allow 10.0.0.2; }
        }
        """
    )
    first, second = settings.servers
    assert first.access == (Rule(False, ip_network("10.0.0.1")), Rule(True, ALL))
    assert second.access == (Rule(True, ip_network("10.0.0.2")),)


@pytest.mark.parametrize(
    "word", ["ALL", "unix", "10.0.0.1/33", "::/129", "10.0.0", "localhost", "255.255.255.255", "255.255.255.255/32", ""]
)
def test_what_is_no_address_is_refused(load_server: LoadServer, word: str) -> None:
    with pytest.raises(ConfigError, match=f'invalid parameter "{word}"'):
        load_server(f'deny "{word}";')


def test_bits_beyond_the_prefix_are_warned_of(load_text: Load) -> None:
    rules = "deny 10.0.0.1/8; deny 10.0.0.0/8; deny 10.0.0.1;"
    settings = load_text(f"events {{}} mail {{ auth_http 127.0.0.1; server {{ listen 143; {rules} }} }}")
    ((_, message),) = settings.warnings
    assert message.startswith("low address bits of 10.0.0.1/8 are meaningless in ")


def test_each_directive_is_a_single_row() -> None:
    rows: list[Command] = [row for row in directives(PROTOCOLS) if row.name in {"allow", "deny"}]
    assert [row.name for row in rows] == ["allow", "deny"]
