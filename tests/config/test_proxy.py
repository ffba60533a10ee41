from __future__ import annotations

import pytest

from mailworker.config.proxy import ProxySettings
from mailworker.model import ProxyProtocol
from tests.config.conftest import LoadServer


@pytest.mark.parametrize(
    ("directive", "field", "value"),
    [
        ("proxy_buffer 16k", "buffer", 16384),
        ("proxy_timeout 1h", "timeout", 3600.0),
        ("proxy_pass_error_message on", "pass_error_message", True),
        ("xclient off", "xclient", False),
        ("proxy_smtp_auth on", "smtp_auth", True),
        ("proxy_protocol on", "proxy_protocol", ProxyProtocol.V1),
        ("proxy_protocol V2", "proxy_protocol", ProxyProtocol.V2),
        ("proxy_socket_keepalive on", "socket_keepalive", True),
    ],
)
def test_a_directive_sets_what_is_called_like_it(
    load_server: LoadServer, directive: str, field: str, value: object
) -> None:
    changed, default = load_server(f"{directive};").proxy, load_server("").proxy
    assert getattr(changed, field) == value != getattr(default, field)
    differing = {name for name in ProxySettings.__slots__ if getattr(changed, name) != getattr(default, name)}
    assert differing == {field}


def test_a_mail_proxy_always_proxies(load_server: LoadServer) -> None:
    assert load_server("proxy on;").proxy == load_server("proxy off;").proxy
