"""Dovecot and Postfix read what the page says about them; tests/real/test_readme.py runs its proxy in front of both."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.recipes.stage import RECIPES
from tests.support.daemon import ServerUnavailable, find_program

BLOCKS = dict(
    zip(
        ("proxy", "trust", "service", "one machine"),
        re.findall(r"^```\w*\n(.*?)^```$", (RECIPES / "dovecot-postfix.md").read_text(encoding="utf-8"), re.M | re.S),
        strict=True,
    )
)


def asked(program: str, *arguments: str) -> str:
    try:
        command = [find_program(program), *arguments]
    except ServerUnavailable as error:
        pytest.skip(str(error))
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("name", ["trust", "one machine"])
def test_dovecot_trusts_the_proxy(tmp_path: Path, name: str) -> None:
    (tmp_path / "dovecot.conf").write_text(f"ssl = no\n{BLOCKS[name]}")
    trusted = asked("doveconf", "-c", str(tmp_path / "dovecot.conf"), "-h", "login_trusted_networks")
    assert trusted.strip() == ("192.0.2.1" if name == "trust" else "127.0.0.1")


def test_dovecot_leaves_the_ports_of_tls_on_one_machine(tmp_path: Path) -> None:
    (tmp_path / "dovecot.conf").write_text(f"ssl = no\n{BLOCKS['one machine']}")
    text = asked("doveconf", "-c", str(tmp_path / "dovecot.conf"), "-n")
    assert "\nlisten = 127.0.0.1\n" in text
    assert re.findall(r"inet_listener (\w+) \{\s+port = 0\s+\}", text) == ["imaps", "pop3s"]


def test_postfix_knows_each_setting_of_its_service(tmp_path: Path) -> None:
    (tmp_path / "main.cf").touch()
    service = BLOCKS["service"].replace("submission", "127.0.0.1:10587", 1)
    (tmp_path / "master.cf").write_text(service)
    assert asked("postconf", "-c", str(tmp_path), "-M").split()[:2] == ["127.0.0.1:10587", "inet"]
    known = set(asked("postconf", "-c", str(tmp_path), "-dH").split())
    names = re.findall(r"-o (\w+)=", service)
    assert len(names) == 4
    assert set(names) <= known
