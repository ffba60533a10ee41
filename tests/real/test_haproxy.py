"""haproxy in front: auth service and backend hear of the client behind it."""

from __future__ import annotations

import re
import socket
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.proxy import Proxy
from tests.support.auth_service import AuthService
from tests.support.daemon import ServerUnavailable, wait_until
from tests.support.dovecot import Dovecot
from tests.support.haproxy import Haproxy
from tests.support.mailbox import Account
from tests.support.postfix import Postfix

PROTOCOLS = ("imap", "pop3", "smtp")
CLIENT = "127.0.0.88"


@pytest.fixture(scope="module")
def haproxy(folder: Path, proxy: Proxy) -> Iterator[Haproxy]:
    try:
        server = Haproxy(folder, {name: proxy.address(f"{name}_behind_haproxy") for name in PROTOCOLS})
    except ServerUnavailable as error:
        pytest.skip(str(error))
    yield server
    server.stop()


@pytest.mark.parametrize("version", ["", "-v2"], ids=["v1", "v2"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_client_behind_haproxy_is_known_to_all(
    haproxy: Haproxy,
    account: Account,
    auth_service: AuthService,
    dovecot: Dovecot,
    postfix: Postfix,
    protocol: str,
    version: str,
) -> None:
    credentials = b64encode(f"\0{account.login}\0{account.password}".encode())
    said = {
        "imap": b"a LOGIN %b %b\r\nb LOGOUT\r\n" % (account.login.encode(), account.password.encode()),
        "pop3": b"AUTH PLAIN %b\r\nQUIT\r\n" % credentials,
        "smtp": b"AUTH PLAIN %b\r\nQUIT\r\n" % credentials,
    }
    with socket.create_connection(haproxy.address(protocol + version), 50.0, source_address=(CLIENT, 0)) as client:
        client.sendall(said[protocol])
        heard = b"".join(iter(lambda: client.recv(65536), b""))
    assert {"imap": b"\r\na OK ", "pop3": b"\r\n+OK ", "smtp": b"\r\n235 "}[protocol] in heard
    (request,) = auth_service.requests_of(account.login)
    assert request.header("Client-IP") == request.header("Proxy-Protocol-Addr") == CLIENT
    if protocol == "smtp":
        log, pattern = postfix.log, rf"smtpd\[\d+\]: connect from \S*\[{re.escape(CLIENT)}\]"
    else:
        log, pattern = dovecot.log, rf"Login: user=<{account.login}>.*rip={re.escape(CLIENT)},"
    wait_until(lambda: re.search(pattern, log.read_text()) is not None, "the backend's log line")
