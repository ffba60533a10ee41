"""mbsync, which pipelines all it can, between a real maildir and Dovecot."""

from __future__ import annotations

import hashlib
import random
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.real.clients import Clients
from tests.support.mailbox import Account, make_message, read_maildir

pytestmark = [pytest.mark.usefixtures("dovecot"), pytest.mark.timeout(180)]

MESSAGES = 500
BIG = 30 * 1024 * 1024
UPLOADS = 20
LINE = 76


def digests(messages: list[bytes]) -> Counter[str]:
    """SHA-256 of each message, less the one line that mbsync itself adds to what it copies."""
    return Counter(
        hashlib.sha256(re.sub(rb"^X-TUID: [^\n]*\n", b"", message, flags=re.MULTILINE)).hexdigest()
        for message in messages
    )


def random_lines(source: random.Random, size: int) -> list[str]:
    """About `size` bytes of text that no repetition and no compression can shorten."""
    text = source.randbytes(size // 2).hex()
    return [text[start : start + LINE] for start in range(0, len(text), LINE)]


def test_mailbox_arrives_byte_for_byte(clients: Clients, account: Account, tmp_path: Path) -> None:
    source = random.Random(500)
    for number in range(MESSAGES - 1):
        account.deliver(make_message(f"number {number}", random_lines(source, source.randrange(20_000))))
    account.deliver(make_message("the big one", random_lines(source, BIG)))
    result = clients.mbsync(account, tmp_path / "near")
    assert result.returncode == 0, result.stderr
    copies = read_maildir(tmp_path / "near" / "INBOX")
    assert len(copies) == MESSAGES
    assert max(map(len, copies)) > BIG
    assert digests(copies) == digests(account.messages())


def test_new_messages_go_both_ways(clients: Clients, account: Account, tmp_path: Path) -> None:
    source = random.Random(20)
    near = tmp_path / "near" / "INBOX"
    for folder in ("cur", "new", "tmp"):
        (near / folder).mkdir(parents=True)
    for number in range(UPLOADS):
        message = make_message(f"number {number}", random_lines(source, number * 100_000))
        (near / "new" / f"{number}.near").write_bytes(message)
    account.deliver(make_message("the other way"))
    result = clients.mbsync(account, tmp_path / "near")
    assert result.returncode == 0, result.stderr
    assert len(account.messages()) == UPLOADS + 1
    assert digests(read_maildir(near)) == digests(account.messages())
