from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest

from bench import turns
from bench.arena import Arena, Running
from tests.real.proxy import LAUNCHER
from tests.support.daemon import ServerUnavailable


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder like that of another checkout, with this launcher and this Python."""
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/mailworker").symlink_to(LAUNCHER)
    return tmp_path


def test_each_round_measures_nginx_this_mailworker_and_the_other_one(
    arena: Arena, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs: list[str] = []

    def cost(server: Running, protocol: str, version: str, *, resume: bool) -> float:
        assert (protocol, version, resume) == ("pop3", "", False)
        command = " ".join(psutil.Process(server.pid).cmdline())
        programs.append("nginx" if server.name == "nginx" else "other" if str(checkout) in command else "mailworker")
        return float(len(programs))

    monkeypatch.setattr(turns, "ROUNDS", 3)
    monkeypatch.setattr(turns, "cost", cost)
    assert turns.in_turns(arena, checkout, "pop3-login") == [7.0, 8.0, 9.0]
    assert programs == ["nginx", "mailworker", "other"] * 4


def test_a_checkout_without_an_environment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServerUnavailable, match=r"has no \.venv"):
        turns.compare(tmp_path, ["imap-login"])
