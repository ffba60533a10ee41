"""Row 53: what the wall clock does ends no session early and none late."""

from __future__ import annotations

import asyncio
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from tests.long.clients import Client, Outcome, connecting
from tests.long.site import Site, running
from tests.support.process import GREETING

LIBRARIES = sorted(Path("/usr/lib").glob("**/faketime/libfaketime.so.1"))
TIMEOUT = 2.0
SLACK = 10.0  # of a machine that is busy

pytestmark = pytest.mark.skipif(not LIBRARIES, reason="faketime is not installed")

SetClock = Callable[[str], None]


@contextmanager
def running_with_a_clock() -> Iterator[tuple[Site, SetClock]]:
    """A mailworker whose wall clock can be set, in faketime's words."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        folder.chmod(0o755)
        clock = folder / "clock"

        def set_clock(text: str) -> None:
            fresh = folder / "fresh"
            fresh.write_text(text)
            fresh.replace(clock)

        set_clock("+0")
        kept = {"FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        for variable, value in {**kept, "LD_PRELOAD": str(LIBRARIES[0])}.items():
            patch.setenv(variable, value)
        with running(main=" ".join(f"env {name};" for name in kept), timeout=f"{TIMEOUT:.0f}s") as site:
            yield site, set_clock


def silent_client(site: Site) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", site.doors[0].port), timeout=TIMEOUT + SLACK)
    assert client.recv(100) == GREETING
    return client


def cut_after(client: socket.socket, began: float) -> float:
    with client:
        assert client.recv(100) == b""
    return time.monotonic() - began


def test_a_clock_that_jumps_or_stands_still_cuts_nobody_early_and_nobody_late() -> None:
    with running_with_a_clock() as (site, set_clock):
        later = datetime.now(timezone.utc) + timedelta(days=400)
        for text in ("+1h", "-1h", "+400d", "2011-11-11 11:11:11"):
            began = time.monotonic()
            client = silent_client(site)
            set_clock(text)
            assert TIMEOUT * 0.9 < cut_after(client, began) < TIMEOUT + SLACK
        site.mailworker.await_line("^2011/11/11 11:11:11 ")  # so the clock was what was asked for
        assert site.mailworker.lines(rf"^{later:%Y}/")
        assert site.served()
        assert site.alerts() == []


async def stay(site: Site, set_clock: SetClock) -> None:
    with connecting(Client(site.doors[0], "somebody")) as client:
        assert await client.log_in() is Outcome.LOGGED_IN
        for text in ("+30d", "-30d", "+0"):
            set_clock(text)
            await asyncio.sleep(0.2)
            await client.echo(text)
        await client.say_goodbye()


def test_a_relay_outlives_its_proxy_timeout_by_the_wall_clock() -> None:
    with running_with_a_clock() as (site, set_clock):
        asyncio.run(stay(site, set_clock))
