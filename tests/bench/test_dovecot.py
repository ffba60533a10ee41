"""Dovecot's login proxy serves the same clients as we do, and all of its processes are counted."""

import shutil

import psutil
import pytest

from bench.arena import Arena
from bench.dovecot import dovecot
from tests.support.daemon import ServerUnavailable


def test_clients_reach_the_backend_through_one_login_process(arena: Arena) -> None:
    with dovecot(arena, "imap", logs=True) as server:
        assert server.clients.run(server.load("imap", count=20, at_once=4)).logins == 20
        names = [psutil.Process(pid).name() for pid in server.tree.pids]
        assert {"dovecot", "auth", "anvil", "log", "stats"} < set(names)
        assert names.count("imap-login") == 1


def test_a_system_without_dovecot_says_so(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_args, **_details: None)
    with pytest.raises(ServerUnavailable, match="dovecot is not installed"), dovecot(arena, "imap"):
        pass
