"""Programs that people fetch and send mail with, through the proxy."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.real.clients import Security
from tests.real.programs import Programs
from tests.real.proxy import Proxy
from tests.support.certificates import CertificateAuthority
from tests.support.daemon import wait_until
from tests.support.mailbox import Account, make_message

pytestmark = pytest.mark.usefixtures("dovecot", "postfix")

every_encryption = pytest.mark.parametrize("security", [Security.TLS, Security.STARTTLS], ids=lambda s: s.value)
both_protocols = pytest.mark.parametrize("protocol", ["imap", "pop3"])


@pytest.fixture
def programs(proxy: Proxy, authority: CertificateAuthority, folder: Path) -> Programs:
    return Programs(proxy, authority.path, Path(tempfile.mkdtemp(dir=folder)))


@both_protocols
@every_encryption
def test_fetchmail_fetches_and_deletes(programs: Programs, account: Account, protocol: str, security: Security) -> None:
    for number in range(3):
        account.deliver(make_message(f"number {number}"))
    result = programs.fetchmail(protocol, security, account)
    assert result.returncode == 0, result.stdout + result.stderr
    assert [programs.fetched.count(b"Subject: number %d\n" % number) for number in range(3)] == [1, 1, 1]
    assert account.messages() == []


@both_protocols
def test_getmail_fetches(programs: Programs, account: Account, protocol: str) -> None:
    for number in range(3):
        account.deliver(make_message(f"number {number}"))
    result = programs.getmail(protocol, account)
    assert result.returncode == 0, result.stdout + result.stderr
    assert [programs.fetched.count(b"Subject: number %d\n" % number) for number in range(3)] == [1, 1, 1]


@pytest.mark.parametrize("mechanism", ["plain", "login", "cram-md5"])
@every_encryption
def test_msmtp_sends(programs: Programs, account: Account, security: Security, mechanism: str) -> None:
    message = make_message("by msmtp", (".", "..", "dots above"))
    result = programs.msmtp(security, mechanism, account, message)
    assert result.returncode == 0, result.stderr
    wait_until(lambda: account.arrivals() > 0, "the delivery")
    (received,) = account.messages()
    assert received.endswith(message)


@every_encryption
def test_mutt_sends_and_keeps_a_copy(programs: Programs, account: Account, security: Security) -> None:
    result = programs.mutt(security, account, b"Hello.\n")
    assert result.returncode == 0, result.stdout + result.stderr
    wait_until(lambda: len(account.messages()) == 2, "the delivery beside the copy")
    assert [b"\nSubject: by mutt\n" in message for message in account.messages()] == [True, True]
