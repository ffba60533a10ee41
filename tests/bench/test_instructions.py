from pathlib import Path

import pytest

import mailworker
from bench import instructions
from bench.__main__ import all_measures, main
from bench.arena import Setup, setup_for
from bench.instructions import FEW, LIMIT_CONN, MANY, NAMES, count_instructions, prepared
from bench.logins import CACHE, KEEPALIVE, TICKETS, Kind, kind_of
from bench.programs import Load


class _NoArena:
    def __init__(self, _folder: Path) -> None:
        pass

    def close(self) -> None:
        pass

    def configuration(self, setup: Setup) -> tuple[str, dict[tuple[str, bool], int]]:
        return setup.extra, {("imap", False): 143, ("imap", True): 993, ("sieve", False): 4190}


def test_without_valgrind_nothing_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["--instructions"]) == 1
    assert capsys.readouterr() == ("", "cannot measure: valgrind is not installed\n")


def test_start_and_end_do_not_count(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def run(_valgrind: str, _arena: object, server: str, name: str, logins: int) -> int:
        assert name == "pop3-login"
        assert logins in (FEW, MANY)
        return 1_000_000 + logins * (200 if server == "nginx" else 500)

    monkeypatch.setattr(instructions, "find_program", lambda name: name)
    monkeypatch.setattr(instructions, "Arena", _NoArena)
    monkeypatch.setattr(instructions, "_of_all", run)
    count_instructions(["pop3-login"])
    assert capsys.readouterr().out.splitlines()[1].split() == ["pop3-login", "200", "500", "2.5", "300"]


def test_runs_that_cannot_be_compared_are_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(instructions, "find_program", lambda name: name)
    monkeypatch.setattr(instructions, "Arena", _NoArena)
    monkeypatch.setattr(instructions, "_of_all", lambda *arguments: 3_000_000_000 - arguments[-1])
    assert main(["--instructions", "imaps-tls12-ticket"]) == 1
    said = "nginx took 2999999900 instructions for 100 logins of imaps-tls12-ticket, and 2999999600 for 400"
    assert capsys.readouterr().err == f"cannot measure: {said}\n"


def test_a_program_that_changes_meanwhile_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_valgrind: str, _arena: object, _server: str, _name: str, logins: int) -> int:
        (tmp_path / f"{logins}.py").touch()
        return logins

    monkeypatch.setattr(mailworker, "__file__", str(tmp_path / "__init__.py"))
    monkeypatch.setattr(instructions, "find_program", lambda name: name)
    monkeypatch.setattr(instructions, "Arena", _NoArena)
    monkeypatch.setattr(instructions, "_of_all", run)
    assert main(["--instructions", "imap-login"]) == 1
    assert capsys.readouterr().err == "cannot measure: mailworker has changed between two runs\n"


def test_a_server_is_started_with_its_bytecode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(mailworker, "__file__", str(package / "__init__.py"))
    monkeypatch.setattr(_NoArena, "new_folder", lambda *_: pytest.fail("started"), raising=False)
    with pytest.raises(pytest.fail.Exception, match="started"):
        instructions._of_all("valgrind", _NoArena(tmp_path), "mailworker", "imap-login", 1)  # type: ignore[arg-type]
    assert [*(package / "__pycache__").iterdir()]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("imap-login-access-json", Kind("imap")),
        ("imaps-tls13", Kind("imap", "TLSv1.3")),
        ("imaps-tls12-rsa", Kind("imap", "TLSv1.2")),
        ("pop3s-tls12-id", Kind("pop3", "TLSv1.2", resume=True, extra=CACHE)),
        ("smtps-tls13-ticket", Kind("smtp", "TLSv1.3", resume=True, extra=TICKETS)),
    ],
)
def test_a_name_tells_what_its_logins_are_like(name: str, kind: Kind) -> None:
    assert kind_of(name) == kind


@pytest.mark.parametrize(
    ("server", "name", "extra", "load"),
    [
        ("nginx", "imap-keepalive", "", Load(143, count=9)),
        ("mailworker", "imap-keepalive", KEEPALIVE, Load(143, count=9)),
        ("mailworker", "imap-login-limit-conn", LIMIT_CONN, Load(143, count=9)),
        ("mailworker", "sieve-login", "", Load(4190, "sieve", count=9)),
        ("nginx", "imaps-tls12-id", CACHE, Load(993, count=9, version="TLSv1.2", resume=True)),
    ],
)
def test_server_and_clients_are_as_the_name_says(
    tmp_path: Path, server: str, name: str, extra: str, load: Load
) -> None:
    assert prepared(_NoArena(tmp_path), server, name, 9) == (extra, load)  # type: ignore[arg-type]


@pytest.mark.parametrize("server", ["nginx", "mailworker"])
def test_a_name_tells_whether_answers_repeat(server: str) -> None:
    assert setup_for(server, "pop3-login-varied").answers == "varied"
    assert setup_for(server, "pop3-login").answers == "auth"


def test_logins_by_tls_are_measures_of_time_too() -> None:
    assert {name for name in NAMES if kind_of(name).version} <= all_measures().keys()


def test_a_rival_of_several_measures_is_counted_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs: list[str] = []

    def run(_valgrind: str, _arena: object, _server: str, name: str, logins: int) -> int:
        runs.append(name)
        return logins * (100 if name == "imap-login" else 110)

    monkeypatch.setattr(instructions, "find_program", lambda name: name)
    monkeypatch.setattr(instructions, "Arena", _NoArena)
    monkeypatch.setattr(instructions, "_of_all", run)
    count_instructions(["imap-login-status", "imap-login-control"])
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()[1:]] == ["10", "10"]
    assert runs.count("imap-login") == 2
