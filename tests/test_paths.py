"""mailworker/paths.py, and what `make install` makes of it."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

from mailworker import paths

ROOT = Path(__file__).parents[1]


def installed(folder: Path, *variables: str) -> dict[str, object]:
    """The names of the installed module."""
    command = ["make", "--silent", "install-paths", f"DESTDIR={folder}", *variables]
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS")}
    subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
    (module,) = folder.rglob("paths.py")
    return {name: value for name, value in runpy.run_path(str(module)).items() if name.isupper()}


def test_a_source_tree_has_nginx_s_own_places() -> None:
    assert (paths.PREFIX, paths.CONFIGURATION, paths.ERROR_LOG, paths.PID, paths.LOCK) == (
        "/usr/local/mailworker",
        "conf/mailworker.conf",
        "logs/error.log",
        "logs/mailworker.pid",
        "logs/mailworker.lock",
    )
    assert (paths.USER, paths.GROUPS) == ("nobody", ("nobody", "nogroup"))


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_install_names_the_places_of_a_distribution(tmp_path: Path) -> None:
    assert installed(tmp_path, "PREFIX=/usr") == {
        "PREFIX": "/usr/share/mailworker",
        "CONFIGURATION": "/etc/mailworker/mailworker.conf",
        "ERROR_LOG": "/var/log/mailworker/error.log",
        "PID": "/run/mailworker/mailworker.pid",
        "LOCK": "/run/mailworker/mailworker.lock",
        "USER": "mailworker",
        "GROUPS": ("mailworker",),
    }


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_install_takes_other_places(tmp_path: Path) -> None:
    names = installed(tmp_path, "SYSCONFDIR=/usr/local/etc", "WORKER=_mail", "RUNDIR=/var/run", "LOGDIR=/var/log/mail")
    assert names["CONFIGURATION"] == "/usr/local/etc/mailworker/mailworker.conf"
    assert (names["USER"], names["GROUPS"]) == ("_mail", ("_mail",))
    assert (names["PID"], names["ERROR_LOG"]) == ("/var/run/mailworker.pid", "/var/log/mail/error.log")
    assert names["PREFIX"] == "/usr/local/share/mailworker"
