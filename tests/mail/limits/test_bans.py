from __future__ import annotations

import pytest

from mailworker.mail.end import End
from tests.mail.conftest import Scene
from tests.mail.limits.settings import Mailbox, limit, limits_of, settings, zone
from tests.support.settings import access_log


def ban(mailbox: Mailbox, key: bytes, seconds: float = 60.0) -> None:
    for limited in limits_of(mailbox.proxy):
        limited.table.ban(key, mailbox.proxy._loop.now, seconds)


def test_a_ban_by_any_limit_keeps_a_client_out(scene: Scene) -> None:
    first, second = limit(), limit(of=zone("$remote_addr", name="second"), ban=9.0)
    mailbox = Mailbox(scene, settings(first, second))
    assert not mailbox.is_banned()
    ban(mailbox, b"127.0.0.2")
    assert not mailbox.is_banned()
    assert mailbox.is_banned("127.0.0.2")
    assert mailbox.proxy.log.find("is banned") == (
        '[info] *3 client is banned for 60s more by zone "second" while initializing session, '
        f"client: 127.0.0.2, server: {mailbox.proxy.address[0]}:{mailbox.proxy.address[1]}"
    )


def test_a_key_of_several_variables_bans_as_well(scene: Scene) -> None:
    mailbox = Mailbox(scene, settings(limit(of=zone("$protocol-$remote_addr"), ban=9.0)), access_log=access_log())
    ban(mailbox, b"imap-127.0.0.1")
    assert mailbox.is_banned()
    assert mailbox.proxy.lines.expect(1) == [End.BANNED.word.encode() + b"\n"]


@pytest.mark.parametrize(
    ("key", "suffix", "seconds"), [("$remote_addr$remote_user", b"", 9.0), ("$remote_addr$protocol", b"imap", 0.0)]
)
def test_only_what_bans_by_what_is_known_is_asked_at_accept(
    scene: Scene, key: str, suffix: bytes, seconds: float
) -> None:
    first, second = limit(of=zone(key), ban=seconds), limit(of=zone("$protocol$remote_addr", name="second"), ban=9.0)
    mailbox = Mailbox(scene, settings(first, second))
    limits_of(mailbox.proxy)[0].table.ban(b"127.0.0.1" + suffix, mailbox.proxy._loop.now, 60.0)
    assert not mailbox.is_banned()


def test_a_dry_run_bans_nobody(scene: Scene) -> None:
    log = access_log(b"$limit_auth_status")
    mailbox = Mailbox(scene, settings(limit(ban=9.0), dry_run=True), counted=True, access_log=log)
    ban(mailbox, b"\x7f\0\0\1")
    client = mailbox.client()
    client.send(b"a1 LOGOUT\r\n")
    assert client.rest()
    assert mailbox.proxy.lines.expect(1) == [b"BANNED_DRY_RUN\n"]
    assert "client is banned, dry run, for 60s more" in mailbox.proxy.log.find("is banned")
    assert mailbox.proxy.counts()["limit_dry_run fail"] == 1
