from __future__ import annotations

from ipaddress import ip_network

import pytest

from mailworker.errors import ConfigError
from tests.config.conftest import Load, LoadServer


@pytest.mark.parametrize(
    ("word", "networks"),
    [
        ("10.0.0.0/8", ("10.0.0.0/8",)),
        ("10.0.0.1", ("10.0.0.1/32",)),
        ("2001:db8::/32", ("2001:db8::/32",)),
        ("localhost", ("::1/128", "127.0.0.1/32")),
    ],
)
def test_a_word_is_a_block_or_all_addresses_of_a_host(
    load_server: LoadServer, word: str, networks: tuple[str, ...]
) -> None:
    found = load_server(f"set_real_ip_from {word};").real_ip_from
    assert set(found) == {ip_network(each) for each in networks}


def test_unix_sockets_are_one_network(load_server: LoadServer) -> None:
    assert load_server("set_real_ip_from unix:;").real_ip_from == ("unix:",)


@pytest.mark.parametrize("directive", ["set_real_ip_from", "debug_connection"])
def test_a_host_that_is_not_found_is_told_with_its_directive(load_text: Load, directive: str) -> None:
    line = f"{directive} nosuch;"
    events, mail = (line, "") if directive == "debug_connection" else ("", line)
    with pytest.raises(ConfigError, match=f'^host not found in {directive} "nosuch"'):
        load_text(f"events {{ {events} }} mail {{ {mail} }}")


def test_bits_beyond_the_mask_are_warned_of_and_dropped(load_text: Load) -> None:
    settings = load_text("events { debug_connection 10.1.2.3/8; }")
    assert settings.events.debug_connection == (ip_network("10.0.0.0/8"),)
    ((_, warning),) = settings.warnings
    assert warning.startswith("low address bits of 10.1.2.3/8 are meaningless in ")
