"""Accounts and their maildirs, shared by the mail servers behind the proxy."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tests.support.daemon import mail_owner, wait_until

DOMAIN = "example.test"

_delivery = count()


@dataclass(frozen=True, slots=True)
class Account:
    """A mailbox: its login, which is also its address, its password and its maildir."""

    login: str
    password: str
    maildir: Path

    def deliver(self, message: bytes) -> Path:
        """Put a message into the maildir as a delivery agent does: complete under tmp/, then renamed into new/."""
        seconds, microseconds = divmod(time.time_ns() // 1000, 1_000_000)  # servers number mails in the names' order
        name = f"{seconds}.M{microseconds:06}P{os.getpid()}Q{next(_delivery)}.{DOMAIN}"
        unfinished = self.maildir / "tmp" / name
        unfinished.write_bytes(message)
        return unfinished.rename(self.maildir / "new" / name)

    def messages(self) -> list[bytes]:
        """Every message of the mailbox, in no particular order."""
        return read_maildir(self.maildir)

    def arrivals(self) -> int:
        """The number of messages that were delivered and not yet looked at."""
        return sum(1 for _ in (self.maildir / "new").iterdir())

    def arrived(self) -> bytes:
        """The one message of the mailbox, once it is there."""
        wait_until(lambda: self.arrivals() > 0, "the delivery")
        (message,) = self.messages()
        return message


def read_maildir(maildir: Path) -> list[bytes]:
    """Every message under new/ and cur/ of a maildir, in which servers may rename and remove files at the same time."""
    while True:
        with suppress(FileNotFoundError):
            paths = [path for folder in ("new", "cur") for path in (maildir / folder).iterdir()]
            # A name before its flags is a message's for ever: one that moved in between is not two.
            return list({path.name.partition(":")[0]: path.read_bytes() for path in paths}.values())


def name_account(root: Path, name: str, password: str | None = None) -> Account:
    """An account whose maildir under `root` is still to be made; with `password` None a random one is made."""
    login = f"{name}@{DOMAIN}"
    return Account(login, password or secrets.token_hex(), root / login)


def create_account(root: Path, name: str, password: str | None = None) -> Account:
    """As `name_account`, with an empty maildir."""
    return with_maildir(name_account(root, name, password))


def with_maildir(account: Account) -> Account:
    """The account, once its empty maildir is made."""
    owner = mail_owner()
    for folder in (account.maildir, *(account.maildir / part for part in ("cur", "new", "tmp"))):
        folder.mkdir(parents=True)
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    return account


def make_message(subject: str, lines: Iterable[str] = ("Hello.",)) -> bytes:
    """A message that no mail server needs to complete, with the line ends of a maildir."""
    header = [
        f"From: sender@{DOMAIN}",
        f"Subject: {subject}",
        f"Message-ID: <{secrets.token_hex(8)}@{DOMAIN}>",
        "Date: Sat, 1 Jan 2000 00:00:00 +0000",
        "",
    ]
    return "".join(f"{line}\n" for line in (*header, *lines)).encode()


def to_wire(message: bytes) -> bytes:
    """A message of a maildir with the line ends of the protocols."""
    return message.replace(b"\n", b"\r\n")
