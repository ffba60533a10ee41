"""HAProxy's part of the recipe, with a real one: addresses, probes, and a restart that loses no login."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.recipes.conftest import Run
from tests.recipes.stage import RECIPES, Backend, Recipe, imap_login, shown
from tests.support.auth import AuthService, accepted
from tests.support.daemon import accepts, find_program, running, wait_until
from tests.support.peer import Peer

SECTION = re.compile(r"^```haproxy\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def proxy_text() -> str:
    """A proxy's configuration; HAProxy is not behind another address here, and notices the end when it gets to it."""
    text = shown("haproxy.md").replace("set_real_ip_from 192.0.2.5", "set_real_ip_from 127.0.0.1")
    return text.replace("allow 192.0.2.5", "allow 127.0.0.2").replace("shutdown_delay 5s", "shutdown_delay 1h")


@dataclass(slots=True)
class Site:
    """Two proxies, and the HAProxy in front of them."""

    proxies: list[Recipe]
    host: str
    told: Path
    failures: list[str] = field(default_factory=list)
    logins: list[int] = field(default_factory=lambda: [0, 0])

    def log_in(self, number: int) -> None:
        """Be a client, once."""
        try:
            client = Peer.connect((self.host, 143))
            answer = imap_login(client, b"anna", b"secret")
            client.close()
        except OSError as error:
            answer = str(error).encode()
        if answer == b"a OK done by IMAP\r\n":
            self.logins[number] += 1
        else:
            self.failures.append(answer.decode())

    def await_logins(self) -> None:
        """Ten of each client, so most of them begun from now on."""
        seen = list(self.logins)
        wait_until(lambda: all(now > then + 10 for now, then in zip(self.logins, seen, strict=True)), "logins")


@pytest.fixture
def site(run: Run, auth: AuthService, imap: Backend, tmp_path: Path) -> Iterator[Site]:
    auth.prepare(accepted(imap.address))
    changes = {"127.0.0.1:9000": str(auth.address)}
    proxies = [run("haproxy.md", changes, text=proxy_text()) for _ in range(2)]
    found = SECTION.search((RECIPES / "haproxy.md").read_text(encoding="utf-8"))
    assert found
    text = found[1].replace("inter 1s fall 2", "inter 200ms fall 2")
    host = proxies[0].host.rpartition(".")[0] + ".254"
    for documented, meant in (
        ("server one 192.0.2.1\n", f"server one {proxies[0].host}\n"),
        ("server two 192.0.2.2\n", f"server two {proxies[1].host}\n"),
        ("bind :", f"bind {host}:"),
        ("timeout connect 10s\n", "timeout connect 10s\n    timeout check 30s\n"),  # else a slow probe is a refusal
    ):
        assert documented in text
        text = text.replace(documented, meant)
    (tmp_path / "haproxy.cfg").write_text(text)
    command = [find_program("haproxy"), "-db", "-f", str(tmp_path / "haproxy.cfg")]
    with running(command, tmp_path / "haproxy.output", lambda: accepts((host, 143))) as haproxy:
        yield Site(proxies, host, haproxy.output)


def test_the_proxies_learn_who_the_client_is(site: Site, auth: AuthService) -> None:
    client = Peer.connect((site.host, 143), source="127.77.77.77")
    assert imap_login(client, b"anna", b"secret") == b"a OK done by IMAP\r\n"
    assert auth.header(b"Client-IP") == b"127.77.77.77"
    client.close()


def test_a_proxy_that_quits_under_load_costs_no_login(site: Site) -> None:
    over = threading.Event()

    def visit(number: int) -> None:
        while not over.is_set():
            site.log_in(number)

    visitors = [threading.Thread(target=visit, args=[number]) for number in range(2)]
    for visitor in visitors:
        visitor.start()
    leaving = site.proxies[0].mailworker
    try:
        site.await_logins()
        leaving.signal(signal.SIGQUIT)
        wait_until(lambda: "Server imap/one is DOWN" in site.told.read_text(), "a probe that was told")
        site.await_logins()  # which HAProxy began before that
        leaving.signal(signal.SIGQUIT)
        assert leaving.await_exit() == 0
        site.await_logins()
    finally:
        over.set()
        for visitor in visitors:
            visitor.join()
    assert site.failures == []


def test_who_comes_past_haproxy_is_not_served(site: Site) -> None:
    client = Peer.connect(site.proxies[0].address(143))
    client.send(b"a LOGIN anna secret\r\n")
    assert client.rest() == b""
    client.close()
