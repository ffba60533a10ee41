"""auth_http_keepalive with a real web server: its connections serve many logins, however it answers."""

from __future__ import annotations

import imaplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.clients import TIMEOUT
from tests.real.proxy import is_oracle, running
from tests.support import http_module
from tests.support.auth_service import AuthService
from tests.support.daemon import wait_until
from tests.support.dovecot import Dovecot
from tests.support.mailbox import Account
from tests.support.ports import Ports

pytestmark = pytest.mark.skipif(is_oracle(), reason="nginx keeps no connections to auth services")

ANSWERS = ("no_content", "empty", "chunks")

HTTP = """
    log_format connections "$uri $connection";
    server {
        listen 127.0.0.1:PORT;
        access_log connections connections;
        location / {
            add_header Auth-Status OK;
            add_header Auth-Server 127.0.0.1;
            add_header Auth-Port BACKEND;
            location /no_content { return 204; }
            location /empty { return 200; }
        }
        location /chunks { proxy_pass http://127.0.0.1:SERVICE/; }
    }
"""

CONFIGURATION = """\
error_log error.log info;
pid proxy.pid;
events {}
mail {
    auth_http_keepalive 1;
    server { listen 127.0.0.1:$no_content; protocol imap; auth_http 127.0.0.1:$web/no_content; }
    server { listen 127.0.0.1:$empty; protocol imap; auth_http 127.0.0.1:$web/empty; }
    server { listen 127.0.0.1:$chunks; protocol imap; auth_http 127.0.0.1:$web/chunks; }
}
"""


@pytest.fixture
def web(tmp_path: Path, dovecot: Dovecot, auth_service: AuthService, backend_ports: Ports) -> Iterator[Path]:
    """The log of an nginx: the path and the number of the connection of each request."""
    port = backend_ports["web"]
    values = {"PORT": port, "BACKEND": dovecot.imap[1], "SERVICE": auth_service.port}
    http = HTTP
    for name, value in values.items():
        http = http.replace(name, str(value))
    with http_module.serving(tmp_path, http, port):
        yield tmp_path / "connections"


def test_one_connection_serves_many_logins(web: Path, folder: Path, backend_ports: Ports, account: Account) -> None:
    with running(folder / "auth-keepalive", CONFIGURATION, {"web": backend_ports["web"]}) as proxy:
        for answer in ANSWERS * 3:
            with imaplib.IMAP4(*proxy.address(answer), timeout=TIMEOUT) as client:
                client.login(account.login, account.password)
    wait_until(lambda: len(web.read_text().splitlines()) == 9, "the last line of the log")
    assert len(set(web.read_text().splitlines())) == len(ANSWERS)
