from __future__ import annotations

import os
import resource
from dataclasses import replace

import pytest

from mailworker import __version__
from mailworker.config.events import METHOD
from mailworker.config.source import ByBackendSettings
from mailworker.errors import ConfigError, StartError, UnreadableError
from mailworker.process.notices import event_method, log_event_method, log_refusal, log_room, log_system, log_trust
from tests.support.recorded_log import RecordedLog
from tests.support.settings import configuration, mail_server


def test_a_start_tells_who_we_are_and_where_we_run() -> None:
    log = RecordedLog()
    log_event_method(log.log)
    log_system(log.log)
    system, (soft, hard) = os.uname(), resource.getrlimit(resource.RLIMIT_NOFILE)
    assert log.lines == [
        f'[notice] using the "{METHOD}" event method',
        f"[notice] mailworker/{__version__}",
        f"[notice] OS: {system.sysname} {system.release}",
        f"[notice] getrlimit(RLIMIT_NOFILE): {soft}:{hard}",
    ]


def test_the_method_is_the_one_that_use_names() -> None:
    assert event_method() == METHOD


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ConfigError("unknown directive", "a:1"), "[emerg] unknown directive in a:1"),
        (StartError("bind() failed"), "[emerg] bind() failed"),
        (UnreadableError("pread() failed"), "[crit] pread() failed"),
    ],
)
def test_only_a_folder_in_place_of_a_file_is_no_emergency(error: ConfigError | StartError, line: str) -> None:
    log = RecordedLog()
    log_refusal(log.log, error)
    assert log.lines == [line]


@pytest.mark.parametrize(("connections", "descriptors", "told"), [(101, 100, 1), (100, 100, 0), (5, None, 0)])
def test_more_connections_than_descriptors_are_told_as_nginx_tells_them(
    connections: int, descriptors: int | None, told: int
) -> None:
    settings = configuration(worker_connections=connections)
    log = RecordedLog()
    log_room(log.log, replace(settings, core=replace(settings.core, worker_rlimit_nofile=descriptors)))
    assert log.lines == ["[warn] 101 worker_connections exceed open file resource limit: 100"] * told


def test_without_a_limit_of_ours_the_systems_counts() -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    log = RecordedLog()
    log_room(log.log, configuration(worker_connections=most + 1))
    assert log.lines == [f"[warn] {most + 1} worker_connections exceed open file resource limit: {most}"]


@pytest.mark.parametrize(("protocol", "told"), [("smtp", 1), ("imap", 0), ("pop3", 0)])
def test_each_start_says_that_smtp_backends_must_not_trust_us(protocol: str, told: int) -> None:
    log = RecordedLog()
    log_trust(log.log, configuration(mail_server(protocol), mail_server(protocol, source=ByBackendSettings())))
    assert len(log.lines) == told
    assert all(line.startswith('[notice] "auth_upstream" is on for SMTP') for line in log.lines)


def test_a_proxy_whose_clients_an_auth_service_knows_says_nothing_of_trust() -> None:
    log = RecordedLog()
    log_trust(log.log, configuration(mail_server("smtp")))
    assert not log.lines
