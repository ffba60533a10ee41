"""The checks that hold for every directive, and the files and blocks around them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mailworker.config.load import load
from mailworker.errors import ConfigError, UnreadableError
from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.model import Level
from tests.config.conftest import Load


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nosuch;", 'unknown directive "nosuch" in {path}:1'),
        ("\n\nlisten\n25;", '"listen" directive is not allowed here in {path}:4'),
        ("events { daemon on; }", '"daemon" directive is not allowed here in {path}:1'),
        ("events;", 'directive "events" has no opening "{{" in {path}:1'),
        ("daemon on {", 'directive "daemon" is not terminated by ";" in {path}:1'),
        ("daemon;", 'invalid number of arguments in "daemon" directive in {path}:1'),
        ("events x {}", 'invalid number of arguments in "events" directive in {path}:1'),
        ("daemon on; daemon on;", '"daemon" directive is duplicate in {path}:1'),
        ("events {} events {}", '"events" directive is duplicate in {path}:1'),
        ("daemon x;", 'invalid value "x" in "daemon" directive, it must be "on" or "off" in {path}:1'),
        ("worker_rlimit_nofile x;", '"worker_rlimit_nofile" directive invalid number in {path}:1'),
        ("timer_resolution x;", '"timer_resolution" directive invalid value in {path}:1'),
        ("debug_points x;", 'invalid value "x" in {path}:1'),
        ("}", 'unexpected "}}" in {path}:1'),
        ("events {\n", 'unexpected end of file, expecting "}}" in {path}:2'),
        ("include nosuch;", 'open() "{folder}/nosuch" failed (2: No such file or directory) in {path}:1'),
        ("daemon off;", 'no "events" section in configuration'),
    ],
)
def test_a_directive_that_cannot_stand_is_refused(load_text: Load, tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(text)
    assert str(caught.value) == message.format(path=tmp_path / "mailworker.conf", folder=tmp_path)


def test_a_missing_main_file_has_no_position(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "nosuch", protocols=PROTOCOLS, prefix=tmp_path)
    assert str(caught.value) == f'open() "{tmp_path}/nosuch" failed (2: No such file or directory)'


def test_a_folder_a_device_or_a_pipe_is_no_configuration(load_text: Load, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnreadableError, match=r"pread\(\) .* failed \(21: Is a directory\)$"):
        load_text("include .;")
    assert load_text("include /dev/zero; include pipe; events {}").core.daemon


def test_warnings_before_an_error_are_reported(load_text: Load, tmp_path: Path) -> None:
    warnings: list[tuple[Level, str]] = []
    with pytest.raises(ConfigError, match="unknown directive"):
        load_text(
            "mail { imap_auth plain plain; }\nnosuch;",
            on_warning=lambda level, message: warnings.append((level, message)),
        )
    assert warnings == [(Level.WARN, f'duplicate value "plain" in {tmp_path}/mailworker.conf:1')]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "events {}\nmail {\n server {\n lisen 143;\n }\n}",
            'unknown directive "lisen" in {path}:4, did you mean "listen"?',
        ),
        ("worker_proceses 2;", 'unknown directive "worker_proceses" in {path}:1, did you mean "worker_processes"?'),
        ("events { multiaccept on; }", 'unknown directive "multiaccept" in {path}:1, did you mean "multi_accept"?'),
        (
            "mail { server { protocol managesieve; } }",
            'unknown protocol "managesieve" in {path}:1, known are imap, pop3, sieve, smtp',
        ),
        ("timout 1s;", 'unknown directive "timout" in {path}:1, did you mean "timeout"?'),
        ("location / {}", 'unknown directive "location" in {path}:1'),
        (
            "events {}\nmail { auth_http 127.0.0.1:9; server { listen 143; set $a $remote_usr; } }",
            'unknown "remote_usr" variable in {path}:2, did you mean "remote_user"?',
        ),
        (
            "events {}\nmail { auth_http 127.0.0.1:9; server { listen 143; set $office a; set $a $ofice; } }",
            'unknown "ofice" variable in {path}:2, did you mean "office"?',
        ),
    ],
)
def test_an_unknown_name_leads_to_one_that_may_stand_there(
    load_text: Load, tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(text)
    assert str(caught.value) == message.format(path=f"{tmp_path}/mailworker.conf")
