from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mailworker.errors import ConfigError
from mailworker.model import Level
from mailworker.process.invocation import Invocation

TEXT = "pid logs/pid; events { } mail { auth_http auth.example; server { listen 127.0.0.1:1143; protocol imap; } }"


@pytest.fixture
def invocation(tmp_path: Path) -> Invocation:
    path = tmp_path / "mailworker.conf"
    path.write_text(TEXT)
    return Invocation(("mailworker",), tmp_path / "prefix", path, None)


def ignore(level: Level, message: str) -> None:
    """Nobody wants to be warned."""


def test_the_configuration_is_read_under_the_prefix_with_all_protocols(invocation: Invocation) -> None:
    asked: list[str] = []

    def resolve(host: str) -> list[str]:
        asked.append(host)
        return ["192.0.2.1"]

    settings = invocation.read(ignore, resolve=resolve)
    assert settings.core.pid == invocation.prefix / "logs/pid"
    assert [server.protocol for server in settings.servers] == ["imap"]
    assert asked == ["auth.example"]


def test_what_stands_on_the_command_line_is_read_too(invocation: Invocation) -> None:
    given = replace(invocation, globals="worker_processes 3;", error_log=invocation.prefix / "other.log")
    settings = given.read(ignore, resolve=lambda host: ["192.0.2.1"])
    assert settings.core.worker_processes == 3
    assert str(invocation.prefix / "other.log") in repr(settings.core.error_log)


def test_what_is_wrong_is_an_error_with_its_place(invocation: Invocation) -> None:
    invocation.configuration.write_text("nonsense;")
    read: list[str] = []
    with pytest.raises(ConfigError) as caught:
        invocation.read(ignore, on_syntax_ok=lambda: read.append("syntax"))
    assert str(caught.value) == f'unknown directive "nonsense" in {invocation.configuration}:1'
    assert read == []
