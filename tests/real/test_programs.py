"""Programs that people fetch and send mail with, through the proxy."""

from __future__ import annotations

import pytest

from tests.real.clients import Security
from tests.real.programs import Programs, both_protocols, every_encryption, send_by_msmtp
from tests.support.daemon import wait_until
from tests.support.mailbox import Account, make_message

pytestmark = pytest.mark.usefixtures("dovecot", "postfix")


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
    send_by_msmtp(programs, account, security, mechanism)


@every_encryption
def test_mutt_sends_and_keeps_a_copy(programs: Programs, account: Account, security: Security) -> None:
    result = programs.mutt(security, account, b"Hello.\n")
    assert result.returncode == 0, result.stdout + result.stderr
    wait_until(lambda: len(account.messages()) == 2, "the delivery beside the copy")
    assert [b"\nSubject: by mutt\n" in message for message in account.messages()] == [True, True]
