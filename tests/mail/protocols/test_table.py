from __future__ import annotations

from itertools import combinations

from mailworker.mail.protocols.table import PROTOCOLS


def test_each_protocol_is_found_by_its_name() -> None:
    assert [(name, protocol.name) for name, protocol in PROTOCOLS.items()] == [
        (name, name) for name in ("imap", "pop3", "smtp", "sieve")
    ]


def test_no_port_and_no_directive_is_that_of_two() -> None:
    for one, other in combinations(PROTOCOLS.values(), 2):
        assert not set(one.ports) & set(other.ports)
        assert not {command.name for command in one.commands} & {command.name for command in other.commands}


def test_directives_begin_with_the_name() -> None:
    for name, protocol in PROTOCOLS.items():
        assert all(command.name.startswith(f"{name}_") for command in protocol.commands)
