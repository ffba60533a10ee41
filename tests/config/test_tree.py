from __future__ import annotations

from pathlib import Path

import pytest

from mailworker.errors import ConfigError
from tests.config.conftest import Load


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


def test_long_messages_are_cut(load_text: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text("a" * 4000 + ";")
    assert len(caught.value.message) == 1024
