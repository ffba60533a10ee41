"""The checks that hold for every directive, and the files and blocks around them."""

from __future__ import annotations

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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("daemon off", 'unexpected end of parameter, expecting ";" in command line'),
        ("events {}", "block directives are not supported in -g option in command line"),
        ("}", 'unexpected "}" in command line'),
        ("x;", 'unknown directive "x" in command line'),
    ],
)
def test_bad_text_of_the_command_line_is_refused(load_text: Load, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text("events {}", globals_=text)
    assert str(caught.value) == message


def test_directives_of_the_command_line_count_as_the_file_s_own(load_text: Load) -> None:
    assert load_text("events {}", globals_="daemon off; worker_processes 3;").core.worker_processes == 3
    with pytest.raises(ConfigError, match='"daemon" directive is duplicate'):
        load_text("events {} daemon on;", globals_="daemon off;")


def test_a_missing_main_file_has_no_position(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "nosuch", protocols=PROTOCOLS, prefix=tmp_path)
    assert str(caught.value) == f'open() "{tmp_path}/nosuch" failed (2: No such file or directory)'


def test_includes_are_read_in_byte_order_and_kept_once(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/b.conf").write_text("env B;")
    (tmp_path / "d/A.conf").write_text("env A; include d/c.txt;")
    (tmp_path / "d/c.txt").write_text("env C;")
    settings = load_text("events {} include d/*.conf; include d/b.conf;")
    assert settings.core.env == ("A", "C", "B", "B")
    assert [path.name for path, _ in settings.files] == ["mailworker.conf", "A.conf", "c.txt", "b.conf"]
    assert settings.files[2][1] == b"env C;"


def test_an_error_in_an_included_file_names_that_file(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "inner").write_text("\nnosuch;")
    with pytest.raises(ConfigError) as caught:
        load_text("include inner;")
    assert caught.value.where == f"{tmp_path}/inner:2"


def test_a_file_that_includes_itself_runs_out_of_files(load_text: Load) -> None:
    with pytest.raises(ConfigError, match=r"failed \(24: Too many open files\) in .*mailworker.conf:1"):
        load_text("include mailworker.conf;")


def test_a_folder_or_a_device_is_no_configuration(load_text: Load, tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match=r"pread\(\) .* failed \(21: Is a directory\)$"):
        load_text("include .;")
    assert load_text("include /dev/zero; events {}").core.daemon


def test_long_messages_are_cut(load_text: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text("a" * 4000 + ";")
    assert len(caught.value.message) == 1024


def test_warnings_before_an_error_are_reported(load_text: Load, tmp_path: Path) -> None:
    warnings: list[tuple[Level, str]] = []
    with pytest.raises(ConfigError, match="unknown directive"):
        load_text(
            "mail { imap_auth plain plain; }\nnosuch;",
            on_warning=lambda level, message: warnings.append((level, message)),
        )
    assert warnings == [(Level.WARN, f'duplicate value "plain" in {tmp_path}/mailworker.conf:1')]


def test_the_syntax_is_ok_before_the_sections_are_missed(load_text: Load) -> None:
    seen: list[str] = []
    with pytest.raises(ConfigError, match='no "events" section'):
        load_text("daemon on;", on_syntax_ok=lambda: seen.append("ok"))
    assert seen == ["ok"]
    with pytest.raises(ConfigError, match="unknown directive"):
        load_text("nosuch;", on_syntax_ok=lambda: seen.append("ok"))
    assert seen == ["ok"]
