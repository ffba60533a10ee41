from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from mailworker.control.client import DEFAULT, VARIABLE, Client, NoAnswer, Refusal, default_path
from tests.control.conftest import GREETING, Server

OK = {"ok": True}


def test_questions_of_one_client_go_by_one_connection(scripted: Server) -> None:
    server = scripted([{"a": 1}, {"b": 2}, OK], [{"ok": True, "count": 0}])
    with Client(server.path) as client:
        assert [*client.ask("sessions", user="x", limit=None)] == [{"a": 1}, {"b": 2}, OK]
        assert client.last("who") == {"ok": True, "count": 0}
        assert client.version == "9.9"
    assert server.requests == [{"cmd": "sessions", "user": "x"}, {"cmd": "who"}]


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has two options")
def test_systems_of_32_bits_with_times_of_64_have_another_option_for_the_timeout(
    scripted: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian 13's armhf, and musl; any Linux knows it since 5.1."""
    monkeypatch.setattr(socket, "SO_SNDTIMEO", 67)
    server = scripted([OK])
    with Client(server.path) as client:
        assert client.last("who") == OK


def test_lines_may_come_in_pieces(scripted: Server) -> None:
    server = scripted([b'{"a"', b': 1}\n{"ok"', b": true}\n"])
    with Client(server.path) as client:
        assert [*client.ask("a")] == [{"a": 1}, OK]


def test_a_refusal_is_raised_with_its_text(scripted: Server) -> None:
    server = scripted([{"a": 1}, {"error": "no"}])
    with Client(server.path) as client:
        answer = client.ask("a")
        assert next(answer) == {"a": 1}
        with pytest.raises(Refusal, match=r"^no$"):
            next(answer)


def test_a_connection_that_ends_before_an_answer_is_made_once_more(scripted: Server) -> None:
    server = scripted([None], [OK])
    with Client(server.path) as client:
        assert client.last("a") == OK
    assert len(server.requests) == 2


def test_a_connection_that_ends_in_an_answer_is_not(scripted: Server) -> None:
    server = scripted([{"a": 1}, None], [OK])
    with Client(server.path) as client, pytest.raises(NoAnswer, match="the connection has ended"):
        client.last("a")


def test_a_connection_that_was_kept_for_too_long_is_made_anew(scripted: Server) -> None:
    server = scripted([OK, None], [OK])
    with Client(server.path) as client:
        assert client.last("a") == client.last("b") == OK


@pytest.mark.parametrize(
    ("greeting", "why"),
    [
        ({**GREETING, "control": 2}, "it is not a control socket of this version"),
        ({}, "it is not a control socket of this version"),
        ([], "it is not a control socket"),
        (b"220 mail.example ESMTP\r\n", "it is not a control socket"),
        (b"\xff\n", "it is not a control socket"),
        ({"error": "too many connections"}, "too many connections"),
    ],
)
def test_a_server_of_another_kind_is_no_answer(scripted: Server, greeting: object, why: str) -> None:
    server = scripted([OK], [OK], greeting=greeting)
    with Client(server.path) as client, pytest.raises(NoAnswer, match=f"^{server.path}: {why}$"):
        client.last("a")


def test_a_server_that_says_nothing_is_given_up_and_asked_only_once(scripted: Server) -> None:
    server = scripted([], [OK])
    with Client(server.path, 0.05) as client, pytest.raises(NoAnswer, match=r"no answer within 0\.05 seconds"):
        client.last("kick", all=True)
    assert server.requests in ([], [{"cmd": "kick", "all": True}])


def test_where_nobody_listens_there_is_no_answer(tmp_path: Path) -> None:
    with Client(tmp_path / "none") as client, pytest.raises(NoAnswer, match="none: No such file or directory"):
        client.last("a")


def test_the_environment_names_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert default_path() == DEFAULT
    monkeypatch.setenv(VARIABLE, "")
    assert default_path() == DEFAULT
    monkeypatch.setenv(VARIABLE, "/run/other")
    assert default_path() == Path("/run/other")
