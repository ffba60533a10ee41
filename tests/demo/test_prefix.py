from pathlib import Path

import pytest

from mailworker.demo.prefix import prepare_prefix


def test_prefix_has_nginx_layout_and_links_the_configuration(tmp_path: Path) -> None:
    configuration = tmp_path / "a.conf"
    configuration.write_text("# first\n")
    path = prepare_prefix(tmp_path / "prefix", configuration)
    assert path == tmp_path / "prefix" / "conf" / "mailworker.conf"
    configuration.write_text("# edited\n")
    assert path.read_text() == "# edited\n"
    names = sorted(str(found.relative_to(tmp_path / "prefix")) for found in (tmp_path / "prefix").rglob("*"))
    assert names == ["conf", "conf/mailworker.conf", "conf/mailworker.crt", "conf/mailworker.key", "logs"]


def test_prefix_can_be_used_again_with_another_configuration(tmp_path: Path) -> None:
    for name in ("a.conf", "b.conf"):
        (tmp_path / name).write_text(name)
        path = prepare_prefix(tmp_path / "prefix", tmp_path / name)
        assert path.read_text() == name


def test_a_missing_configuration_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        prepare_prefix(tmp_path / "prefix", tmp_path / "absent.conf")
