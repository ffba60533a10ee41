"""Sessions of real clients, before login, in it, and relayed: listed, and ended by the control socket."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.process.kicked import is_alive
from tests.process.steered import Steered
from tests.support.auth import AuthService, accepted
from tests.support.backend import ScriptedServer, conversation, echo
from tests.support.daemon import wait_until
from tests.support.patience import PATIENCE
from tests.support.peer import Peer
from tests.support.process import GREETING, configuration, has_ended, opened

OK = b"a1 OK Logged in\r\n"
LETS_IN = conversation(b"* OK backend\r\n", b"+ go\r\n", b"+ go\r\n", OK, then=echo)
HANGS = conversation(b"* OK backend\r\n")

# The types of sockets in /proc/net/unix.
STREAM, DATAGRAM = "0001", "0002"


class Kicked(Steered):
    """One whose sessions come and go."""

    port: int
    backend: ScriptedServer
    clients: list[Peer]

    def connect(self) -> Peer:
        client = Peer.connect(("127.0.0.1", self.port))
        self.clients.append(client)
        client.expect(GREETING)
        return client

    def log_in(self, user: str) -> Peer:
        client = self.connect()
        client.talk((b"a1 LOGIN %b secret\r\n" % user.encode(), OK))
        return client

    def hang(self, user: str) -> Peer:
        """A client whose login the backend has not answered."""
        asked = threading.Event()

        def hangs(peer: Peer) -> None:
            asked.set()
            HANGS(peer)

        self.backend.script = hangs
        client = self.connect()
        client.send(b"a1 LOGIN %b secret\r\n" % user.encode())
        self.await_sessions(1, state="upstream")
        assert asked.wait(PATIENCE)  # else the backend could let this client in, too
        self.backend.script = LETS_IN
        return client

    def sessions(self, **keys: Any) -> list[Any]:
        *lines, last = self.ask("sessions", **keys)
        assert last == {"ok": True, "count": len(lines), "unlisted": 0}
        return [line["session"] for line in lines]

    def await_sessions(self, number: int, **keys: Any) -> list[Any]:
        self.await_true(lambda: len(self.sessions(**keys)) == number, f"{number} sessions")
        return self.sessions(**keys)

    def change_binary(self) -> tuple[int, int]:
        """The old master and the new one, once that lists the sessions of the old one."""
        masters = self.upgrade()
        self.await_true(lambda: any(each.get("foreign") for each in self.sessions()), "the list of the new one")
        return masters

    def leaving(self) -> list[Any]:
        """Workers on the way out."""
        workers = self.last("shutdown-status")["shutdown"]["workers"]
        return [each for each in workers if each["leaving"]]

    def await_ends(self, number: int) -> list[str]:
        """Why sessions have ended, when so many have."""
        log = self.folder / "logs" / "access.log"
        self.await_true(lambda: len(log.read_text().splitlines()) >= number, f"{number} lines")
        return log.read_text().split()


@pytest.fixture
def backend() -> Iterator[ScriptedServer]:
    server = ScriptedServer(LETS_IN)
    yield server
    server.stop()


@pytest.fixture
def kicked(folder: Path, port: int, backend: ScriptedServer) -> Iterator[Kicked]:
    service = AuthService(accepted(backend.address))
    proxy = Kicked(folder)
    proxy.port, proxy.backend, proxy.clients = port, backend, []
    text = configuration(
        port,
        main=f"worker_processes 2; {proxy.block}",
        mail="log_format ends $session_end; access_log logs/access.log ends;",
        server=f"auth_http {service.address}/;",
    )
    proxy.serve(text, workers=2)
    yield proxy
    for client in proxy.clients:
        client.close()
    proxy.stop()
    service.stop()


def links(pid: int, kind: str) -> set[str]:
    """Its unix sockets of this type that have no name."""
    rows = (line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:])
    all_of_them = {f"socket:[{row[6]}]" for row in rows if row[4] == kind and len(row) == 7}
    return all_of_them.intersection(opened(pid))


def owners(kicked: Kicked) -> list[Any]:
    """Whether sessions are those of another program; empty where nobody answers, as one of two programs ends."""
    with suppress(OSError, ValueError):
        return [each.get("foreign") for each in kicked.sessions()]
    return []


def test_sessions_are_listed_before_login_in_it_and_relayed(kicked: Kicked) -> None:
    kicked.hang("slow@example.com")
    before, inside = kicked.connect(), kicked.log_in("bob@example.com")
    by_state = {each["state"]: each for each in kicked.await_sessions(3)}
    assert {*by_state} == {"login", "upstream", "relay"}
    assert by_state["login"]["client"] == f"127.0.0.1:{before.address[1]}"
    relay = by_state["relay"]
    assert relay["client"] == f"127.0.0.1:{inside.address[1]}"
    assert (relay["user"], relay["proto"], relay["server"]) == ("bob@example.com", "imap", f"127.0.0.1:{kicked.port}")
    assert relay["upstream"] == str(kicked.backend.address)
    assert [each["id"] for each in kicked.sessions(id=relay["id"])] == [relay["id"]]
    ran = kicked.ctl("sessions", "bob*", "--json")
    assert json.loads(ran.stdout)["id"] == relay["id"]
    assert kicked.ctl("who", "bob*").stdout.splitlines()[1].split() == ["bob@example.com", "1", "imap", "(127.0.0.1)"]


def test_exactly_one_users_sessions_end_in_whatever_state(kicked: Kicked) -> None:
    bobs = [kicked.hang("Bob@example.com"), *(kicked.log_in("bob@example.com") for _ in range(4))]
    others = [kicked.connect(), *(kicked.log_in(f"{name}@example.com") for name in ("alice", "bobby", "b"))]
    assert kicked.ctl("kick", "bob@example.com", "--dry-run").stdout.count("bob@example.com") >= 4
    assert len(kicked.sessions()) == 9
    ran = kicked.ctl("kick", "bob@example.com", "--reason", "password stolen")
    assert (ran.returncode, ran.stdout) == (0, "kicked 5 sessions\n")
    for client in bobs:
        client.rest()
    assert all(map(is_alive, others))
    kicked.await_sessions(4)
    assert kicked.await_ends(5) == ["kicked"] * 5
    kicked.await_line(
        r'\[notice\] .* control: uid \d+ kicked 5 sessions of user "bob@example.com" \(password stolen\)$'
    )
    kicked.await_line(r"\[info\] .*kicked by uid \d+ \(password stolen\)", 5)
    assert kicked.ctl("kick", "bob@example.com").returncode == 1


def test_sessions_before_their_login_end_too(kicked: Kicked) -> None:
    clients = [kicked.connect() for _ in range(3)]
    inside = kicked.log_in("alice")
    kicked.await_sessions(4)
    assert kicked.last("kick", state="login")["kicked"] == 3
    for client in clients:
        client.rest()
    assert is_alive(inside)
    assert kicked.await_ends(3) == ["kicked"] * 3


def test_a_rate_spreads_the_ends(kicked: Kicked) -> None:
    clients = [kicked.log_in(f"user{number}") for number in range(8)]
    kicked.await_sessions(8)
    ends: list[float] = []

    def wait_for(client: Peer) -> None:
        client.rest()
        ends.append(time.monotonic())

    threads = [threading.Thread(target=wait_for, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    lines = kicked.ask("kick", user="user*", rate=10)
    assert lines[-1] == {"ok": True, "kicked": 8, "foreign": 0}
    assert [line["kicked"] for line in lines[:-1]] == [*range(1, 8)]
    for thread in threads:
        thread.join()
    assert max(ends) - min(ends) >= 0.6


def test_without_a_choice_nobody_ends(kicked: Kicked) -> None:
    client = kicked.log_in("bob")
    for arguments in ((), ("--reason", "x"), ("--rate", "5"), ("--dry-run",)):
        assert kicked.ctl("kick", *arguments).returncode == 2
    assert kicked.last("kick", usr="bob") == {"error": 'unknown key "usr"'}
    assert is_alive(client)
    assert kicked.ctl("kick", "--all").stdout == "kicked 1 session\n"


def test_sessions_of_a_former_cycle_are_listed_and_end_too(kicked: Kicked) -> None:
    former = kicked.log_in("bob")
    assert kicked.last("reload")["ok"]
    kicked.await_true(lambda: len(kicked.leaving()) == 1, "the worker that has a session still")
    later = kicked.log_in("bob")
    assert len(kicked.await_sessions(2, user="bob")) == 2
    assert [each["sessions"] for each in kicked.leaving()] == [1]
    assert kicked.last("kick", user="bob")["kicked"] == 2
    former.rest()
    later.rest()


def test_sessions_of_the_program_before_end_too_whether_it_leaves_or_not(kicked: Kicked) -> None:
    waiting = kicked.connect()
    former = [kicked.log_in(name) for name in ("bob", "alice", "bob")]
    old, new = kicked.change_binary()
    others = kicked.log_in("alice")
    kicked.await_sessions(2, user="bob")
    assert kicked.last("kick", user="bob") == {"ok": True, "kicked": 2, "foreign": 0}
    former[0].rest()
    former[2].rest()
    assert is_alive(former[1])
    os.kill(old, signal.SIGQUIT)
    kicked.await_line("gracefully shutting down$", 2)
    later = kicked.log_in("alice")
    assert kicked.last("kick", state="login") == {"ok": True, "kicked": 1, "foreign": 0}
    waiting.rest()
    assert kicked.last("kick", user="alice", rate=1000) == {"ok": True, "kicked": 3, "foreign": 0}
    for client in (former[1], others, later):
        client.rest()
    wait_until(lambda: has_ended(old), "its end")
    assert kicked.last("kick", all=True) == {"ok": True, "kicked": 0, "foreign": 0}
    assert new == kicked.pid


def test_no_child_has_a_link_between_the_masters(kicked: Kicked) -> None:
    old, new = kicked.upgrade()
    kicked.await_workers(2, master=new)
    os.kill(old, signal.SIGTTIN)
    kicked.await_workers(3, master=old)
    for master in (old, new):
        messages, streams = links(master, DATAGRAM), links(master, STREAM)
        children = [child.pid for child in psutil.Process(master).children() if child.pid != new]
        assert len(messages) == len(children) + 1  # a link to each child, and one to the other master
        assert len(streams) == 1  # which is the one that the other master's turn comes by
        assert not messages & {link for child in children for link in links(child, DATAGRAM)}
        assert not streams & {link for child in children for link in links(child, STREAM)}


def test_a_program_that_has_given_up_leaves_the_one_before_its_sessions(kicked: Kicked) -> None:
    former = kicked.log_in("bob")
    old, new = kicked.change_binary()
    os.kill(new, signal.SIGTERM)
    kicked.await_true(lambda: owners(kicked) == [None], "the list of the old one")
    assert kicked.last("kick", user="bob") == {"ok": True, "kicked": 1, "foreign": 0}
    former.rest()
    assert kicked.upgrade()[0] == old  # it can start another one


def test_every_session_that_lives_at_both_ends_of_a_list_is_listed_once(kicked: Kicked) -> None:
    held = [kicked.connect() for _ in range(60)]
    over = threading.Event()

    def come_and_go() -> None:
        while not over.is_set():
            with socket.create_connection(("127.0.0.1", kicked.port)) as client:
                client.recv(100)

    threads = [threading.Thread(target=come_and_go) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        kicked.await_true(lambda: len(kicked.sessions()) >= 60, "all of them")
        for _ in range(30):
            found = Counter(line["session"]["client"] for line in kicked.ask("sessions")[:-1])
            assert all(found[f"127.0.0.1:{client.address[1]}"] == 1 for client in held)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert re.fullmatch(r"kicked \d+ sessions\n", kicked.ctl("kick", "-a", "127.0.0.0/8", "--rate", "100000").stdout)
    for client in held:
        client.rest()


def test_a_kick_that_its_asker_leaves_ends_no_more_sessions(kicked: Kicked) -> None:
    for number in range(6):
        kicked.log_in(f"user{number}")
    with socket.socket(socket.AF_UNIX) as asker:
        asker.connect(str(kicked.path))
        asker.sendall(b'{"cmd":"kick","user":"user*","rate":2}\n')
        heard = b""
        while b'"kicked": 1' not in heard:
            heard += asker.recv(4096)
    kicked.await_line(r"control: uid \d+ kicked (1 session|2 sessions) of user")
    assert len(kicked.sessions()) >= 3
