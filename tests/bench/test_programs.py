"""The programs in C compile, and speak with a mailworker between them."""

import socket
from contextlib import ExitStack

import pytest

from bench.arena import PROTOCOLS, Arena, Setup
from bench.attack import LIMITS, Crowd, Pace, Paced, Siege
from bench.logins import CACHE, TICKETS
from bench.programs import Load, Outcome, build
from tests.support.patience import PATIENCE


def test_a_load_is_told_in_the_order_of_the_program() -> None:
    load = Load(143, "pop3", "bulk", 10, 2, "TLSv1.2", True, 5, "ALL", False, True)
    assert " ".join(load.arguments()) == "bulk 143 pop3 10 2 12 1 5 ALL 0 1"


def test_an_outcome_is_read() -> None:
    assert Outcome.read("10 9 1.5 2.5 0.25\n") == Outcome(10, 9, 1.5, 2.5, 0.25)


@pytest.mark.parametrize(("path", "different"), [("auth", 1), ("varied", 3)])
def test_the_auth_service_repeats_its_answer_or_gives_another_each_time(
    arena: Arena, path: str, different: int
) -> None:
    address = ("127.0.0.1", int(arena.peers.line.split()[0]))
    answers = set()
    for _ in range(3):
        with socket.create_connection(address, PATIENCE) as connection:
            connection.sendall(f"GET /{path} HTTP/1.0\r\nAuth-Protocol: imap\r\n\r\n".encode())
            answers.add(connection.makefile("rb").read())
    assert len(answers) == different
    assert all(b"Auth-Status: OK\r\n" in answer for answer in answers)


def test_clients_log_in_by_every_protocol_and_load(arena: Arena) -> None:
    with arena.running("mailworker", Setup()) as server:
        for protocol in PROTOCOLS:
            for version in ("", "TLSv1.2", "TLSv1.3"):
                assert server.clients.run(server.load(protocol, version, count=3, at_once=2)).logins == 3
        for version in ("", "TLSv1.3"):
            server.clients.run(server.load("imap", version, mode="bulk", count=2, at_once=2, amount=1))
            server.clients.run(server.load("imap", version, mode="dialogue", count=2, at_once=2, amount=3))
        with server.clients.stay(server.load("imap", mode="idle", count=2)) as idle:
            assert Outcome.read(idle.line).logins == 2


@pytest.mark.parametrize("extra", [CACHE, TICKETS])
def test_clients_resume_sessions(arena: Arena, extra: str) -> None:
    with arena.running("mailworker", Setup(extra=extra)) as server:
        for version in ("TLSv1.2", "TLSv1.3"):
            assert server.clients.run(server.load("imap", version, count=4, at_once=2, resume=True)).resumed == 4


def test_cpu_time_is_that_of_all_processes(arena: Arena) -> None:
    with arena.running("mailworker", Setup(workers=2)) as server:
        assert len(server.tree.workers) == 2
        assert server.cpu_of(server.load(count=20)) > 0
        assert server.tree.pss() > 0


def test_clients_come_at_a_pace_and_tell_what_has_become_of_them(arena: Arena) -> None:
    assert Paced.read("9 1 2 3 3 0.500 1.250\n") == Paced(9, 1, 2, 3, 3, 0.5, 1.25)
    program = build("paced", arena.new_folder("paced"))
    with arena.running("mailworker", Setup(extra=LIMITS)) as server:
        siege = Siege(server, program)
        assert siege.honest(0.2, attacked=False) > 0.0
        made = Crowd(program, server.port("imap", tls=False), Pace("word-", 200, 0.3, 2, 1)).outcome()
    assert (made.came, made.let_in, made.wrong + made.later + made.closed) == (60, 0, 60)
    assert 12 <= made.wrong < 60


def test_clients_that_are_greeted_together_guess_different_passwords(arena: Arena) -> None:
    program = build("paced", arena.new_folder("paced"))
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        listener.settimeout(PATIENCE)
        crowd = Crowd(program, listener.getsockname()[1], Pace("word-", 100, 0.05, 5, 1))
        clients = [stack.enter_context(listener.accept()[0]) for _ in range(5)]
        for client in clients:
            client.sendall(b"* OK\r\n")
        words = {client.recv(128).split()[-1] for client in clients}
        for client in clients:
            client.sendall(b"a NO\r\n")
        assert crowd.outcome().wrong == 5
    assert words == {b"word-%d" % number for number in range(5)}
