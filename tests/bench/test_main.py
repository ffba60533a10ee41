import subprocess
import sys
from subprocess import PIPE

import pytest

from bench import __main__ as bench
from bench import attack, logins, memory, names, operation, relays, sites, status
from bench.__main__ import all_measures, main
from tests.support.daemon import ServerUnavailable


def test_every_measure_has_a_name_of_its_own() -> None:
    count = sum(
        len(list(module.measures())) for module in (logins, relays, memory, operation, sites, names, status, attack)
    )
    assert len(all_measures()) == count


def test_measures_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    assert f"{'imap-login':<28} CPU per plain IMAP login, us\n" in capsys.readouterr().out


def test_a_reader_of_the_list_may_leave() -> None:
    """As `head` does."""
    with subprocess.Popen([sys.executable, "-m", "bench", "--list"], stdout=PIPE, stderr=PIPE) as listing:
        assert listing.stdout is not None and listing.stderr is not None
        listing.stdout.close()
        assert listing.stderr.read() == b""
    assert listing.returncode == 0


def test_an_unknown_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["imap-login", "imap-logout"])
    assert raised.value.code == 2
    assert "no measure is named imap-logout" in capsys.readouterr().err


def test_instructions_are_those_of_a_login(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["--instructions", "imaps-wall"])
    assert raised.value.code == 2
    assert "no measure is named imaps-wall" in capsys.readouterr().err


def test_what_cannot_be_measured_is_told_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> None:
        raise ServerUnavailable("nginx is not installed")

    monkeypatch.setattr(bench, "opened_arena", refuse)
    assert main(["imap-login"]) == 1
    assert capsys.readouterr().err == "cannot measure: nginx is not installed\n"
