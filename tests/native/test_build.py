from __future__ import annotations

import pytest
from cffi import PkgConfigError

from mailworker.native import build


def test_warnings_are_errors_only_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAILWORKER_WERROR", raising=False)
    assert "-Werror" not in build.compiler_settings().get("extra_compile_args", [])
    monkeypatch.setenv("MAILWORKER_WERROR", "1")
    assert "-Werror" in build.compiler_settings()["extra_compile_args"]


def test_openssl_is_found_without_pkg_config(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(names: list[str]) -> None:
        raise PkgConfigError("pkg-config is not installed")

    monkeypatch.setattr(build, "flags_from_pkgconfig", missing)
    settings = build.compiler_settings()
    assert settings["libraries"] == ["ssl", "crypto"]
    assert str(build.HERE / "tls") in settings["include_dirs"]
