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
from mailworker.config.events import METHOD
from mailworker.config.logs import FileLog, LogTarget, MemoryLog, StderrLog, SyslogLog
from mailworker.errors import ConfigError
from mailworker.model import Level
from mailworker.process.notices import event_method
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


def test_use_names_the_method_that_workers_use_and_no_other(load_text: Load) -> None:
    assert load_text(f"events {{ use {METHOD}; }}").events.use == METHOD == event_method()
    for other in {"epoll", "kqueue", "/dev/poll", "eventport", "poll", "select", "rtsig", "Epoll", ""} - {METHOD}:
        with pytest.raises(ConfigError, match=f'invalid event type "{other}" in'):
            load_text(f"events {{ use '{other}'; }}")


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
    assert ["ignored" in text for _, text in settings.warnings[:2]] == [True, True]


@pytest.mark.parametrize(
    ("words", "target"),
    [
        ("stderr", StderrLog(Level.ERROR)),
        ("''", StderrLog(Level.ERROR)),
        ("stderr debug_mail debug_core", StderrLog(Level.DEBUG)),
        ("/x.log info", FileLog(Path("/x.log"), Level.INFO)),
        ("memory:1m debug", MemoryLog(2**20, Level.DEBUG)),
        ("syslog:server=127.0.0.1", SyslogLog(("127.0.0.1", 514), 23, "mailworker", False, Level.ERROR)),
        (
            "syslog:server=[::1]:99,facility=mail,severity=info,tag=a_1,nohostname warn",
            SyslogLog(("::1", 99), 2, "a_1", True, Level.WARN),
        ),
        ("syslog:server=unix:/dev/log", SyslogLog("/dev/log", 23, "mailworker", False, Level.ERROR)),
    ],
)
def test_error_log_targets(load_text: Load, words: str, target: LogTarget) -> None:
    assert load_text(f"error_log {words}; events {{}}").core.error_log[0] == target


def test_the_log_of_the_command_line_serves_where_no_file_is_named(load_text: Load) -> None:
    named = FileLog(Path("/given.log"), Level.ERROR)
    assert load_text("events {}", error_log=Path("/given.log")).core.error_log == (named,)
    assert load_text("events {}", error_log=None).core.error_log == (StderrLog(Level.ERROR),)
    assert load_text("events {} error_log /own.log;", error_log=None).core.error_log == (
        FileLog(Path("/own.log"), Level.ERROR),
    )
    beside_syslog = load_text("events {} error_log syslog:server=127.0.0.1;", error_log=Path("/given.log"))
    assert beside_syslog.core.error_log[1:] == (named,)


@pytest.mark.parametrize(
    ("text", "affinity"),
    [
        ("auto", CpuAffinity(True, ())),
        ("auto '0 11'", CpuAffinity(True, (0b11,))),
        ("1", CpuAffinity(False, (1,))),
    ],
)
def test_worker_cpu_affinity(load_text: Load, text: str, affinity: CpuAffinity) -> None:
    assert load_text(f"worker_cpu_affinity {text}; events {{}}").core.worker_cpu_affinity == affinity


def test_empty_names_are_not_set(load_text: Load, tmp_path: Path) -> None:
    core = load_text("pid ''; lock_file ''; working_directory ''; events {}").core
    assert (core.pid, core.lock_file) == (tmp_path / "logs/mailworker.pid", tmp_path / "logs/mailworker.lock")
    assert core.working_directory is None


def test_masks_and_workers_of_different_number_are_warned_of(load_text: Load) -> None:
    (warning,) = load_text("worker_processes 3; worker_cpu_affinity 1 10; events {}").warnings
    assert "using last mask for remaining worker processes" in warning[1]


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
        ("worker_cpu_affinity 012;", 'invalid character "2" in "worker_cpu_affinity"'),
        ("worker_cpu_affinity auto 1 1;", 'invalid number of arguments in "worker_cpu_affinity" directive'),
        ("worker_cpu_affinity " + "1" * 1025 + ";", '"worker_cpu_affinity" supports up to 1024 CPUs only'),
        ("events { worker_connections x; }", 'invalid number "x"'),
        ("events { use nosuch; }", 'invalid event type "nosuch"'),
        ("events { debug_connection nosuch; }", 'host not found in debug_connection "nosuch"'),
        ("error_log stderr loud;", 'invalid log level "loud"'),
        ("error_log stderr info warn;", 'duplicate log level "warn"'),
        ("error_log memory:1;", 'invalid buffer size "1"'),
        ("error_log syslog:tag=a;", "no syslog server specified"),
        ("error_log syslog:server=nosuch;", 'host not found in syslog server "nosuch"'),
        ("error_log syslog:tag=a-b;", 'syslog "tag" only allows alphanumeric characters and underscore'),
        ("error_log syslog:x;", 'unknown syslog parameter "x"'),
        ("error_log syslog:facility=x;", 'unknown syslog facility "x"'),
    ],
)
def test_bad_values_are_refused(load_text: Load, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(text)
    assert caught.value.message == message


def test_every_listening_socket_needs_a_connection_and_one_is_left(load_text: Load) -> None:
    mail = "mail {{ auth_http 127.0.0.1; server {{ protocol imap; {} }} }}"
    counts = {
        "listen 127.0.0.1:143; listen 127.0.0.2:143;": 2,
        "listen 143; listen 127.0.0.2:143;": 1,
        "listen 143; listen 127.0.0.2:143 bind; listen [::1]:143;": 3,
        "listen unix:/a; listen unix:/b; listen 143-145;": 5,
    }
    for listens, count in counts.items():
        load_text(f"events {{ worker_connections {count + 1}; }}" + mail.format(listens))
        with pytest.raises(ConfigError) as caught:
            load_text(f"events {{ worker_connections {count}; }}" + mail.format(listens))
        assert str(caught.value) == f"{count} worker_connections are not enough for {count} listening sockets"
