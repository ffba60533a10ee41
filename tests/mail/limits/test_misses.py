"""Attempts about which no login source is asked, as the client sends something other than a login."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from mailworker.model import Starttls
from tests.mail.cases import IMAP, POP3, SMTP, WITH_SIEVE, Case
from tests.mail.conftest import Scene
from tests.mail.limits.settings import TEMPORARY, Mailbox, limit, login, settings
from tests.support.auth import rejected

UNREACHED = [
    (IMAP, b"a1 AUTHENTICATE NTLM\r\n"),
    (IMAP, b"a1 AUTHENTICATE CRAM-MD5\r\n"),
    (IMAP, b"a1 AUTHENTICATE PLAIN b3RoZXIAdXNlcgBzZWNyZXQ=\r\n"),
    (POP3, b"AUTH NTLM\r\n"),
    (POP3, b"APOP user 00000000000000000000000000000000\r\n"),
    (SMTP, b"AUTH NTLM\r\n"),
    (SMTP, b"AUTH PLAIN AHVzZXIAc2VjcmV0 x\r\n"),
]


@pytest.mark.parametrize(("case", "command"), UNREACHED)
def test_attempts_that_nobody_is_asked_about_count(scene: Scene, case: Case, command: bytes) -> None:
    mailbox = Mailbox(scene, settings(limit(1, ban=900.0)), case)
    client = mailbox.client()
    for _ in range(2):
        client.send(command)
        assert client.until(b"\r\n") != TEMPORARY[case.protocol]
    client.send(command)
    assert client.rest() == TEMPORARY[case.protocol]
    assert mailbox.is_banned()
    assert not mailbox.asked


@pytest.mark.parametrize("case", WITH_SIEVE, ids=lambda case: case.protocol)
def test_logins_in_clear_where_tls_is_demanded_count(scene: Scene, case: Case) -> None:
    service = scene.auth(rejected(b"no"))
    proxy = scene.tls_proxy(case.protocol, service, starttls=Starttls.ONLY, limit_auth=settings(limit(1)))
    client = scene.client(proxy)
    client.until(b"\r\n")
    for _ in range(3):
        client.send(login(case, b"guess"))
    assert TEMPORARY[case.protocol] in client.rest()
    assert not service.requests


def test_those_of_exempt_networks_count_for_nobody(scene: Scene) -> None:
    client = Mailbox(scene, settings(limit(0), exempt=(ip_network("127.0.0.1"),))).client()
    for _ in range(3):
        client.send(b"a1 AUTHENTICATE NTLM\r\n")
        assert client.until(b"\r\n") != TEMPORARY["imap"]
