"""The main context and `events`."""

from __future__ import annotations

import grp
import os
import pwd
from ipaddress import ip_network
from pathlib import Path

import pytest

from mailworker.config.affinity import CpuAffinity
from mailworker.config.core import User
from mailworker.config.logs import FileLog
from mailworker.errors import ConfigError
from mailworker.model import Level
from tests.config.conftest import Load


def test_defaults_are_nginx_s(load_text: Load, tmp_path: Path) -> None:
    settings = load_text("events {}")
    core, events = settings.core, settings.events
    assert (core.daemon, core.master_process, core.worker_processes, core.worker_priority) == (True, True, 1, 0)
    assert (core.pid, core.lock_file) == (tmp_path / "logs/mailworker.pid", tmp_path / "logs/mailworker.lock")
    assert core.error_log == (FileLog(tmp_path / "logs/error.log", Level.ERROR),)
    assert (core.worker_cpu_affinity, core.worker_shutdown_timeout, core.working_directory) == (None, None, None)
    assert not core.worker_sandbox
    assert (events.worker_connections, events.use, events.accept_mutex, events.accept_mutex_delay) == (
        512,
        None,
        False,
        0.5,
    )
    assert (settings.servers, settings.zones, settings.warnings) == ((), (), ())


def test_every_directive_is_taken(load_text: Load, tmp_path: Path) -> None:
    settings = load_text(
        """
        daemon off; master_process OFF; worker_processes auto; pid run/pid; lock_file /lock; env A; env B=c;
        worker_priority -5; worker_cpu_affinity 0101 10; worker_rlimit_nofile 100; worker_rlimit_core 1g;
        worker_shutdown_timeout 10s; working_directory /tmp; timer_resolution 100ms; debug_points abort; pcre_jit on;
        worker_sandbox on; ssl_engine x; ssl_object_cache_inheritable off; load_module m.so; thread_pool a threads=2;
        events { worker_connections 7; multi_accept on; accept_mutex on; accept_mutex_delay 1s; worker_aio_requests 1;
                 debug_connection 10.0.0.0/8; debug_connection unix:; debug_connection localhost; epoll_events 1; }
        """
    )
    core, events = settings.core, settings.events
    assert (core.daemon, core.master_process, core.worker_processes) == (False, False, None)
    assert (core.pid, core.lock_file, core.working_directory) == (tmp_path / "run/pid", Path("/lock"), Path("/tmp"))
    assert (core.env, core.worker_priority) == (("A", "B=c"), -5)
    assert core.worker_cpu_affinity == CpuAffinity(False, (0b101, 0b10))
    assert (core.worker_rlimit_nofile, core.worker_rlimit_core) == (100, 2**30)
    assert (core.worker_sandbox, core.worker_shutdown_timeout, core.timer_resolution) == (True, 10.0, 0.1)
    assert (events.worker_connections, events.multi_accept, events.accept_mutex) == (7, True, True)
    assert events.accept_mutex_delay == 1.0
    assert events.debug_connection == (
        ip_network("10.0.0.0/8"),
        "unix:",
        ip_network("127.0.0.1"),
        ip_network("::1"),
    )
    where = f"in {tmp_path}/mailworker.conf:5"
    assert [text for _, text in settings.warnings[:2]] == [
        f'all modules are built in, the "load_module" directive is ignored {where}',
        f'a mail proxy reads no files, the "thread_pool" directive is ignored {where}',
    ]


def test_empty_names_are_not_set(load_text: Load, tmp_path: Path) -> None:
    core = load_text("pid ''; lock_file ''; working_directory ''; events {}").core
    assert (core.pid, core.lock_file) == (tmp_path / "logs/mailworker.pid", tmp_path / "logs/mailworker.lock")
    assert core.working_directory is None


def test_user_is_looked_up_as_root(load_text: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    group = grp.getgrgid(0).gr_name
    assert load_text(f"user nobody {group}; events {{}}").core.user == User("nobody", pwd.getpwnam("nobody").pw_uid, 0)
    default = load_text("events {}").core.user
    assert default is not None
    assert default.name == "nobody"
    for directive, call in (("user nosuchuser", "getpwnam"), ("user nobody nosuchgroup", "getgrnam")):
        with pytest.raises(ConfigError, match=rf'{call}\("nosuch\w+"\) failed in'):
            load_text(f"{directive}; events {{}}")


def test_user_is_ignored_without_super_user_privileges(load_text: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    settings = load_text("user nosuchuser; events {}")
    assert settings.core.user is None
    assert "makes sense only if the master process runs with super-user privileges, ignored" in settings.warnings[0][1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("worker_processes x;", '"worker_processes" directive invalid value'),
        ("worker_priority 5-;", '"worker_priority" directive invalid number'),
        ("worker_priority 1; worker_priority 1;", '"worker_priority" directive is duplicate'),
        ("events { debug_connection nosuch; }", 'host not found in debug_connection "nosuch"'),
    ],
)
def test_bad_values_are_refused(load_text: Load, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(text)
    assert caught.value.message == message
