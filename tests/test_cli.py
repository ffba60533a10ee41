"""The command line's own part; what the binary does with it is tested in tests/process."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mailworker import __version__, cli
from mailworker.process import start
from mailworker.process.invocation import Invocation


@pytest.mark.parametrize(
    ("arguments", "flags", "parameters"),
    [
        ([], "", {}),
        (["-"], "", {}),
        (["-t"], "t", {}),
        (["-tq"], "tq", {}),
        (["-t", "-q", "-T"], "tTq", {}),
        (["-c", "file"], "", {"c": "file"}),
        (["-cfile"], "", {"c": "file"}),
        (["-tcfile"], "t", {"c": "file"}),
        (["-tc", "file", "-q"], "tq", {"c": "file"}),
        (["-p", "prefix", "-e", "log", "-g", "daemon off;"], "", {"p": "prefix", "e": "log", "g": "daemon off;"}),
        (["-sreload"], "", {"s": "reload"}),
        (["-s", "stop"], "", {"s": "stop"}),
        (["-c", "one", "-c", "two"], "", {"c": "two"}),
        (["-c", ""], "", {"c": ""}),
        (["-c", "-t"], "", {"c": "-t"}),
    ],
)
def test_switches_are_read_as_nginx_reads_them(arguments: list[str], flags: str, parameters: dict[str, str]) -> None:
    options = cli.parse(arguments)
    assert options.flags == set(flags)
    assert options.parameters == parameters


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-x"], 'invalid option: "x"'),
        (["-tx"], 'invalid option: "x"'),
        (["--x"], 'invalid option: "-"'),
        (["--helpx"], 'invalid option: "-"'),
        (["start"], 'invalid option: "start"'),
        (["-s", "foo"], 'invalid option: "-s foo"'),
        (["-sfoo"], 'invalid option: "-s foo"'),
        (["-c"], 'option "-c" requires file name'),
        (["-e"], 'option "-e" requires file name'),
        (["-p"], 'option "-p" requires directory name'),
        (["-g"], 'option "-g" requires parameter'),
        (["-s"], 'option "-s" requires parameter'),
    ],
)
def test_nonsense_is_refused_in_the_words_of_nginx(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["mailworker", *arguments]) == 1
    assert capsys.readouterr() == ("", f"mailworker: {message}\n")


@pytest.mark.parametrize("switch", ["-v", "--version", "-V", "-h", "--help", "-?", "-hv"])
def test_the_version_goes_to_stderr(switch: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["mailworker", switch]) == 0
    output, error = capsys.readouterr()
    assert output == ""
    assert error.splitlines()[0] == f"mailworker version: mailworker/{__version__}"
    assert ("Usage: mailworker" in error) == (switch not in ("-v", "--version", "-V"))
    assert ("configure arguments:" in error) == (switch == "-V")
    assert bool(re.search("^built with OpenSSL [0-9]", error, re.MULTILINE)) == (switch == "-V")


def test_a_version_asked_for_with_a_test_comes_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def test(invocation: Invocation, *, quiet: bool, dump: bool) -> int:
        assert (quiet, dump) == (False, True)
        return 7

    monkeypatch.setattr(start, "test", test)
    assert cli.main(["mailworker", "-vT"]) == 7
    assert capsys.readouterr().err.startswith("mailworker version:")


@pytest.mark.parametrize(
    ("arguments", "prefix", "configuration", "error_log"),
    [
        (
            [],
            "/usr/local/mailworker",
            "/usr/local/mailworker/conf/mailworker.conf",
            "/usr/local/mailworker/logs/error.log",
        ),
        (["-p", "/srv"], "/srv", "/srv/conf/mailworker.conf", "/srv/logs/error.log"),
        (["-p", "/srv", "-c", "a.conf"], "/srv", "/srv/a.conf", "/srv/logs/error.log"),
        (["-p", "/srv", "-c", "/etc/a.conf", "-e", "e.log"], "/srv", "/etc/a.conf", "/srv/e.log"),
        (["-p", "/srv", "-e", "stderr"], "/srv", "/srv/conf/mailworker.conf", None),
        (["-p", "/srv", "-e", ""], "/srv", "/srv/conf/mailworker.conf", None),
        (["-p", "sub"], "{cwd}/sub", "{cwd}/sub/conf/mailworker.conf", "{cwd}/sub/logs/error.log"),
    ],
)
def test_paths_start_from_the_prefix(
    arguments: list[str],
    prefix: str,
    configuration: str,
    error_log: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Invocation] = []

    def take(invocation: Invocation) -> int:
        seen.append(invocation)
        return 0

    def path(text: str) -> Path:
        return Path(text.replace("{cwd}", str(Path.cwd())))

    monkeypatch.setattr(start, "start", take)
    assert cli.main(["mailworker", *arguments]) == 0
    assert seen == [
        Invocation(
            arguments=("mailworker", *arguments),
            prefix=path(prefix),
            configuration=path(configuration),
            error_log=None if error_log is None else path(error_log),
        )
    ]
