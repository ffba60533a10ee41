"""mailworker-tune itself, for as short as possible."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mailworker import __version__
from mailworker.tune.load import Kind
from mailworker.tune.main import main
from mailworker.tune.trial import Result, Trial
from tests.support.certificates import self_signed

BINARY = Path(__file__).resolve().parents[2] / "bin" / "mailworker-tune"
CONFIGURATION = """
events {{ }}
mail {{
    auth_http 127.0.0.1:9/;
    server {{ listen 127.0.0.1:1 ssl; protocol imap; ssl_certificate {}; ssl_certificate_key {}; }}
}}
"""


def tune(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BINARY), *arguments]
    return subprocess.run(command, capture_output=True, timeout=60, check=False, text=True)


@pytest.fixture
def configuration(tmp_path: Path) -> str:
    certificate = self_signed(tmp_path, "mail", "/CN=mail.example")
    path = tmp_path / "mailworker.conf"
    path.write_text(CONFIGURATION.format(certificate.certificate, certificate.key))
    return str(path)


def test_each_kind_is_measured_and_directives_are_recommended(configuration: str) -> None:
    tuned = tune("--json", "--workers", "2", "--seconds", "0.3", configuration)
    assert (tuned.returncode, tuned.stderr) == (0, "")
    report = json.loads(tuned.stdout)
    measured = [(measurement["kind"], measurement["workers"]) for measurement in report["measurements"]]
    assert measured == [(kind, n) for kind in ("handshakes", "logins", "relayed_bytes") for n in (1, 2)]
    assert all(measurement["rate"] > 0 for measurement in report["measurements"])
    assert report["recommended"]["worker_processes"] in (1, 2)
    assert report["recommended"]["ssl_session_cache"].startswith("shared:mail:")


def test_people_get_tables_and_directives(configuration: str) -> None:
    tuned = tune("--workers", "1", "--seconds", "0.3", configuration)
    assert (tuned.returncode, tuned.stderr) == (0, "")
    assert [line for line in tuned.stdout.splitlines() if line.endswith("per second")] == [
        "Full handshakes per second",
        "Logins per second",
        "Megabytes relayed per second",
    ]
    assert "    worker_processes 1;" in tuned.stdout


FOLDERS = """
events {{ }}
mail {{
    server_name mail.example;
    auth_http 127.0.0.1:9/;
    ssl_certificate_directory {0};
    server {{ listen 127.0.0.1:1 ssl; protocol imap; ssl_reject_handshake on; }}
    server {{ listen 127.0.0.1:2 ssl; protocol imap; }}
}}
"""


@pytest.mark.parametrize("name", ["mail.example", "another.example"])
def test_certificates_of_a_folder_are_measured(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder := tmp_path / "certificates").mkdir()
    made = self_signed(folder, "mail", f"/CN={name}")
    path = tmp_path / "mailworker.conf"
    path.write_text(FOLDERS.format(folder))
    measured = []

    def run(trial: Trial, kind: Kind, workers: int) -> Result:
        measured.append(trial.ssl)
        return Result(kind, workers, rate=1.0, processor=1.0)

    monkeypatch.setattr(Trial, "run", run)
    assert main(["--workers", "1", str(path)]) == 0
    assert len(measured) == len(Kind)
    for tls in measured:
        assert tls is not None
        assert (tls.certificates, tls.certificate_keys) == ((str(made.certificate),), (str(made.key),))


@pytest.mark.parametrize(("processors", "loads"), [(1, 1), (2, 2), (8, 3)])
def test_no_more_processes_put_load_on_it_than_there_are_processors(
    configuration: str, monkeypatch: pytest.MonkeyPatch, processors: int, loads: int
) -> None:
    tried = []

    def run(trial: Trial, kind: Kind, workers: int) -> Result:
        tried.append((trial.loads, workers))
        return Result(kind, workers, rate=1.0, processor=1.0)

    monkeypatch.setattr(Trial, "run", run)
    monkeypatch.setattr("mailworker.tune.main.usable_processors", lambda: processors)
    assert main(["--workers", "3", configuration]) == 0
    assert tried == [(loads, workers) for workers in (1, 2, 3)] * len(Kind)


def test_a_configuration_may_have_regular_expressions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mailworker.conf"
    path.write_text("""
        events { }
        mail {
            auth_http 127.0.0.1:9/;
            map $remote_addr $inside { ~^10\\. yes; }
            server { listen 127.0.0.1:1; protocol imap; server_name ~^mail; }
        }
    """)
    monkeypatch.setattr(Trial, "run", lambda _trial, kind, workers: Result(kind, workers, rate=1.0, processor=1.0))
    assert main(["--workers", "1", str(path)]) == 0


def test_a_folder_without_certificates_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder := tmp_path / "certificates").mkdir()
    path = tmp_path / "mailworker.conf"
    path.write_text(FOLDERS.format(folder))
    assert main([str(path)]) == 1
    warning = f'mailworker-tune: [warn] certificate directory "{folder}" has no certificate'
    assert capsys.readouterr().err == f"{warning}\nmailworker-tune: no certificate in {folder}\n"


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mailworker.conf"
    path.write_text(FOLDERS.format(tmp_path / "none"))
    assert main([str(path)]) == 1
    told = f'mailworker-tune: cannot read certificate directory "{tmp_path}/none" (2: No such file or directory)\n'
    assert capsys.readouterr().err == told


def test_a_bad_configuration_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.conf"
    path.write_text("nonsense;")
    tuned = tune(str(path))
    assert tuned.returncode == 1
    assert tuned.stderr == f'mailworker-tune: unknown directive "nonsense" in {path}:1\n'


def test_a_certificate_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mailworker.conf"
    path.write_text(CONFIGURATION.format("gone.crt", "gone.key"))
    tuned = tune("--workers", "1", "--seconds", "0.1", str(path))
    assert tuned.returncode == 1
    assert "mailworker did not start: " in tuned.stderr
    assert "gone.crt" in tuned.stderr


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("--workers", "0", 'invalid number "0"'),
        ("--workers", "-1", 'invalid number "-1"'),
        ("--workers", "x", 'invalid number "x"'),
        ("--seconds", "0", 'invalid time "0"'),
        ("--seconds", "-1", 'invalid time "-1"'),
        ("--seconds", "nan", 'invalid time "nan"'),
        ("--seconds", "inf", 'invalid time "inf"'),
        ("--seconds", "x", 'invalid time "x"'),
    ],
)
def test_without_workers_or_time_nothing_is_measured_or_recommended(
    option: str, value: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([option, value, "a.conf"])
    assert ended.value.code == 2
    output, error = capsys.readouterr()
    assert output == ""
    assert error.endswith(f"mailworker-tune: error: argument {option}: {complaint}\n")


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"mailworker-tune {__version__}\n"
