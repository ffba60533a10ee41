from __future__ import annotations

import pytest

from mailworker.errors import ConfigError
from mailworker.model import InetAddress
from tests.config.conftest import LoadServer, source_of


def test_auth_http_names_its_host_without_the_port(load_server: LoadServer) -> None:
    auth = source_of(load_server("auth_http http://localhost:81/a?b;"))
    assert (auth.host, auth.uri, auth.address, auth.name) == (
        b"localhost",
        b"/a?b",
        InetAddress("127.0.0.1", 81),
        "127.0.0.1:81",
    )


@pytest.mark.parametrize(
    ("directives", "message"),
    [
        ("auth_http 127.0.0.1:0;", 'invalid port in auth_http "127.0.0.1:0"'),
        ("auth_http unix:;", 'no path in the unix domain socket in auth_http "unix:"'),
        ("auth_http_timeout x;", '"auth_http_timeout" directive invalid value'),
        ("auth_http_header X;", 'invalid number of arguments in "auth_http_header" directive'),
        ("auth_http_keepalive -1;", '"auth_http_keepalive" directive invalid number'),
    ],
)
def test_what_cannot_be_asked_is_refused(load_server: LoadServer, directives: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_server(directives)
    assert caught.value.message == message


def test_a_service_behind_a_unix_socket_is_localhost_and_the_last_one_counts(load_server: LoadServer) -> None:
    auth_http = source_of(load_server("auth_http 127.0.0.1:81; auth_http http://unix:/run/auth:/mail;"))
    assert (auth_http.host, auth_http.uri, auth_http.name) == (b"localhost", b"/mail", "unix:/run/auth")
