"""Real clients that are set up wrongly leave a line in the log that tells why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import randrange

import pytest

from tests.real.clients import run
from tests.real.proxy import Proxy, is_oracle
from tests.support.daemon import Address, wait_until

pytestmark = pytest.mark.skipif(is_oracle(), reason="nginx has no such lines")

Command = Callable[[Address, str], Sequence[str]]


def openssl(address: Address, source: str) -> Sequence[str]:
    return "openssl", "s_client", "-bind", f"{source}:0", "-connect", f"{address[0]}:{address[1]}"


def curl(scheme: str, *options: str) -> Command:
    def command(address: Address, source: str) -> Sequence[str]:
        url = f"{scheme}://{address[0]}:{address[1]}/"
        return "curl", "--silent", "--insecure", "--max-time", "2", "--interface", source, *options, url

    return command


def swaks(*options: str) -> Command:
    def command(address: Address, source: str) -> Sequence[str]:
        envelope = ("--to", "a@example.test", "--from", "b@example.test", "--auth-user", "a", "--auth-password", "b")
        where = ("--server", address[0], "--port", str(address[1]), "--local-interface", source)
        return "swaks", "--config", "/dev/null", *where, *envelope, *options

    return command


LOGIN = ("--user", "a:b")


@pytest.mark.parametrize(
    ("server", "command", "line"),
    [
        ("imap", openssl, "client was refused: TLS handshake in place of a command while in auth state, client: "),
        ("pop3", openssl, "client was refused: TLS handshake in place of a command while in auth state, client: "),
        ("smtp", openssl, "client was refused: TLS handshake in place of a command while in auth state, client: "),
        ("imap", curl("http"), "client was refused: HTTP request in place of a command"),
        ("imaps", curl("http"), "http request"),
        (
            "smtps",
            curl("https", "--tls-max", "1.1", "--ciphers", "ALL:@SECLEVEL=0"),
            "SSL_do_handshake() failed (SSL: ",
        ),
        ("submission", swaks("--auth", "PLAIN"), "client left without a login, which needs TLS"),
        ("imap", curl("imap", *LOGIN, "--login-options", "AUTH=NTLM"), "client left without a login"),
        ("pop3", curl("pop3", *LOGIN, "--login-options", "AUTH=NTLM"), "client left without a login"),
        ("smtp", swaks("--auth-optional", "EXTERNAL"), 'client was rejected: "MAIL FROM:<b@example.test>'),
    ],
)
def test_a_client_that_is_set_up_wrongly_leaves_a_line(proxy: Proxy, server: str, command: Command, line: str) -> None:
    source = f"127.{randrange(1, 255)}.{randrange(1, 255)}.{randrange(1, 255)}"
    program, *arguments = command(proxy.address(server), source)
    run(program, *arguments)
    marks = (line, f"client: {source}")

    def told() -> bool:
        lines = proxy.error_log.read_text(errors="replace").splitlines()
        return any(all(mark in text for mark in marks) for text in lines)

    wait_until(told, f"{line!r}")
