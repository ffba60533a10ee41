from __future__ import annotations

from ipaddress import ip_network

from tests.config.conftest import Load, LoadServer


def test_nobody_is_believed_by_default(load_server: LoadServer) -> None:
    assert load_server("").real_ip_from == ()


def test_peers_add_up_in_a_block_and_a_server_of_its_own_peers_inherits_none(load_text: Load) -> None:
    settings = load_text(
        """
        events {} mail {
            auth_http 127.0.0.1; set_real_ip_from 10.0.0.1; set_real_ip_from unix:;
            server { listen 143; }
            server { listen 110; set_real_ip_from 10.0.0.2; }
        }
        """
    )
    first, second = settings.servers
    assert first.real_ip_from == (ip_network("10.0.0.1"), "unix:")
    assert second.real_ip_from == (ip_network("10.0.0.2"),)
