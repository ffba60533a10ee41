"""What conf/crowdsec makes of guessed passwords: real lines, Debian's CrowdSec, and a ban in mailworker."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.process.steered import CTL, Steered
from tests.support.crowdsec import Ban, Crowdsec
from tests.support.daemon import wait_until
from tests.support.peer import Peer
from tests.support.ports import Ports

SHIPPED = Path(__file__).parents[2] / "conf" / "crowdsec"
# Ten failures: enough even if they take 40 seconds on a busy machine, and too few for the slow scenario.
GUESSER, SPRAYER, FORGETFUL, UNLUCKY = "198.51.100.25", "2001:db8::25", "198.51.100.26", "198.51.100.27"

CONFIGURATION = """
error_log logs/error.log info;
{control}
events {{ }}
mail {{
    access_log logs/failures.json json on=failure;
    max_errors 50;
    set_real_ip_from 127.0.0.1;
    proxy_pass 127.0.0.1:9;
    limit_auth_zone $binary_remote_prefix zone=fail:1m rate=1r/s;
    limit_auth zone=fail burst=100 nodelay ban=15m;
    server {{ listen 127.0.0.1:{deciding} proxy_protocol; protocol imap; auth_user_file users; }}
    server {{ listen 127.0.0.1:{failing} proxy_protocol; protocol imap; auth_upstream on; }}
}}
"""


@pytest.fixture
def steered(folder: Path, ports: Ports) -> Iterator[Steered]:
    steered = Steered(folder)
    (folder / "conf" / "users").write_text("anna:{PLAIN}right\n")
    text = CONFIGURATION.format(control=steered.block, deciding=ports["deciding"], failing=ports["failing"])
    steered.serve(text, workers=1)
    yield steered
    steered.stop()


@pytest.fixture
def crowdsec(folder: Path, steered: Steered) -> Iterator[Crowdsec]:
    log = steered.folder / "logs" / "failures.json"
    steered.await_true(log.exists, "the log")
    crowdsec = Crowdsec(folder / "crowdsec", SHIPPED, {"/var/log/mailworker/failures.json": log})
    yield crowdsec
    crowdsec.stop()


def refusals(port: int, client: str, *users: str) -> None:
    """Let a client try a wrong password for each of `users`."""
    peer = connect(port, client)
    peer.line()
    for number, user in enumerate(users):
        peer.send(b"a LOGIN %b wrong%d\r\n" % (user.encode(), number))
        assert peer.line().startswith(b"a NO ")
    peer.close()


def connect(port: int, client: str) -> Peer:
    peer = Peer.connect(("127.0.0.1", port))
    family, server = ("TCP6", "2001:db8::1") if ":" in client else ("TCP4", "192.0.2.1")
    peer.send(f"PROXY {family} {client} {server} 40000 143\r\n".encode())
    return peer


def test_crowdsec_bans_who_guesses_and_mailworker_refuses_whom_it_bans(
    steered: Steered, ports: Ports, crowdsec: Crowdsec
) -> None:
    refusals(ports["failing"], UNLUCKY, *["anna"] * 20)
    refusals(ports["deciding"], FORGETFUL, *["anna"] * 3)
    refusals(ports["deciding"], SPRAYER, *(f"user{number}" for number in range(10)))
    refusals(ports["deciding"], GUESSER, *["anna"] * 10)
    expected = {
        Ban("mailworker/mailworker-bf", GUESSER),
        Ban("mailworker/mailworker-bf", SPRAYER),
        Ban("mailworker/mailworker-user-enum", SPRAYER),
    }
    wait_until(lambda: crowdsec.bans() >= expected, "the bans")
    assert crowdsec.bans() == expected

    bouncer(steered, "add", GUESSER, "14400", "mailworker/mailworker-bf", "{}")
    banned = connect(ports["deciding"], GUESSER)
    with suppress(ConnectionResetError):
        assert banned.rest() == b""
    banned.close()
    bouncer(steered, "del", GUESSER, "14400", "mailworker/mailworker-bf", "{}")
    refusals(ports["deciding"], GUESSER, "anna")


def bouncer(steered: Steered, *arguments: str) -> None:
    """Run what is shipped as crowdsec-custom-bouncer runs it."""
    programs = steered.folder / "bin"
    programs.mkdir(exist_ok=True)
    script = programs / CTL.name
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {CTL} --socket {steered.path} "$@"\n')
    script.chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run([SHIPPED / "mailworker-ban", *arguments], env=environment, check=True)
