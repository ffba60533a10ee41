import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import mailworker
from tests.support.daemon import wait_until
from tests.support.patience import PATIENCE

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\]\(([^)]*)\)")


def test_every_folder_with_modules_is_a_package_and_so_ships() -> None:
    folders = {path.parent for path in (ROOT / "mailworker").rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def metadata(*fields: str, repository: str = "") -> str:
    """What setup.py says of the distribution."""
    command = [sys.executable, "-W", "ignore", "setup.py", *(f"--{field}" for field in fields)]
    environment = os.environ | {"MAILWORKER_REPOSITORY": repository}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout


def _setup(*words: str | Path) -> None:
    command = [sys.executable, "-W", "ignore", "setup.py", "--quiet", *words]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="only git knows what the tree has")
def test_the_source_archive_has_all_of_the_tree(tmp_path: Path) -> None:
    _setup("egg_info", "--egg-base", tmp_path, "sdist", "--formats=tar", "--dist-dir", tmp_path)
    (path,) = tmp_path.glob("*.tar")
    with tarfile.open(path) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {*tracked.splitlines()} - packed == {".gitignore"}


def test_what_is_installed_has_no_sources_in_c(tmp_path: Path) -> None:
    _setup("build_py", "--build-lib", tmp_path)
    names = {path.suffix for path in tmp_path.rglob("*.*")}
    assert names == {".html", ".md", ".py", ".pyi", ".typed"}


def test_setup_and_package_name_the_same_version() -> None:
    assert metadata("name", "version").split() == ["mailworker-proxy", mailworker.__version__]


def test_extras_are_those_of_our_own_distribution() -> None:
    assert re.findall(r'"mailworker\[', (ROOT / "setup.py").read_text(encoding="utf-8")) == []


def test_changelog_starts_with_what_is_not_released_and_has_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[(.+?)\]", changelog, re.MULTILINE)
    assert headings[:2] == ["Unreleased", mailworker.__version__]


def test_links_of_the_description_lead_to_the_repository_at_the_version() -> None:
    text = metadata("long-description", repository="https://forge.example/mailworker/")
    assert f"(https://forge.example/mailworker/blob/v{mailworker.__version__}/docs/tls.md#backends-over-tls)" in text
    assert [link for link in LINK.findall(text) if not link.startswith("https://")] == []


def test_links_of_the_description_are_text_where_the_repository_is_unknown() -> None:
    text = metadata("long-description")
    assert [link for link in LINK.findall(text) if not link.startswith("https://nginx.org/")] == []
    assert "Changes are in CHANGELOG.md" in text


def test_a_release_names_every_python_that_it_runs_on() -> None:
    classifiers = metadata("classifiers").splitlines()
    assert f"Programming Language :: Python :: 3.{sys.version_info.minor}" in classifiers
    assert "Operating System :: POSIX :: Linux" in classifiers


@pytest.mark.parametrize("name", ["mailworker", "mailworker-tune"])
def test_a_source_tree_that_is_not_built_says_how_to_build_it(tmp_path: Path, name: str) -> None:
    ran = _run_unbuilt(tmp_path, name, "sys.version_info")
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
    assert ran.stderr.startswith(f"{name}: {sys.executable} cannot run it: No module named 'mailworker.native.")
    assert "`make run`" in ran.stderr
    assert "`pip install .`" in ran.stderr


@pytest.mark.parametrize("name", ["mailworker", "mailworker-tune"])
def test_a_python_that_is_too_old_is_named(tmp_path: Path, name: str) -> None:
    ran = _run_unbuilt(tmp_path, name, "(3, 9, 18)")
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
    assert ran.stderr.startswith(f"{name}: it needs Python 3.10 or later, and {sys.executable} is ")


def _run_unbuilt(folder: Path, name: str, version: str) -> subprocess.CompletedProcess[str]:
    """Runs bin/`name` of a tree without compiled modules, by a Python that takes itself for `version`."""
    shutil.copytree(ROOT / "mailworker", folder / "mailworker", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    script = shutil.copytree(ROOT / "bin", folder / "bin") / name
    code = f"import runpy, sys; sys.version_info = {version}; runpy.run_path({str(script)!r}, run_name='__main__')"
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)


def _run_maintainer_script(folder: Path, name: str, *words: str, **programs: str) -> str:
    """What debian/mailworker.`name` says when it succeeds; `programs`, shell lines, take the place of the system's."""
    script = (ROOT / "debian" / f"mailworker.{name}").read_text(encoding="utf-8")
    for path in ("/etc/mailworker", "/var/log/mailworker", "/run/mailworker"):
        script = script.replace(path, f"{folder}{path}")
    (folder / name).write_text(script, encoding="utf-8")
    for program, line in programs.items():
        (folder / program).write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
        (folder / program).chmod(0o755)
    environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}
    command = ["sh", str(folder / name), *words]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return ran.stdout + ran.stderr


@contextmanager
def _running(folder: Path, title: str, *names: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process with that title, which SIGUSR2 ends, and its pid files of these names."""
    pids = folder / "run" / "mailworker"
    pids.mkdir(parents=True)
    with subprocess.Popen([title, "1h"], executable=shutil.which("sleep")) as process:
        try:
            for name in names:
                (pids / name).write_text(f"{process.pid}\n")
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("tested", "why"),
    [
        ("true", "as sessions of the version before it have not ended; when {}/mailworker.pid.oldbin is gone,"),
        ("false", "see the log, then"),
    ],
)
def test_an_upgrade_that_cannot_change_the_binary_now_tells_how_to_later(tmp_path: Path, tested: str, why: str) -> None:
    programs = {"adduser": "true", "mailworker": tested}
    with _running(tmp_path, "mailworker: master process", "mailworker.pid", "mailworker.pid.oldbin") as master:
        said = _run_maintainer_script(tmp_path, "postinst", "configure", "0.1.0", **programs)
        assert master.poll() is None
    why = why.format(tmp_path / "run" / "mailworker")
    assert said == f"mailworker: the earlier version goes on, {why} run: dpkg-reconfigure mailworker\n"


def test_an_upgrade_sends_no_signal_to_a_process_that_has_got_the_id_of_a_master(tmp_path: Path) -> None:
    with _running(tmp_path, "another: mailworker: master process", "mailworker.pid") as other:
        assert not _run_maintainer_script(tmp_path, "postinst", "configure", "0.1.0", adduser="true", mailworker="true")
        assert other.poll() is None


# A program with the signals of a master, even where those that started it ignore SIGQUIT.
_MASTER = """\
import os, signal, sys
held = {signal.SIGUSR2, signal.SIGQUIT}
signal.pthread_sigmask(signal.SIG_BLOCK, held)
for number in held:
    signal.signal(number, signal.SIG_DFL)  # an ignored signal would not become pending
with open(sys.argv[1], "w") as file:
    file.write(f"{os.getpid()}\\n")
signal.sigwait({signal.SIGUSR2})
os.replace(f"{sys.argv[1]}.new", sys.argv[1])
signal.sigwait({signal.SIGQUIT})
"""


def test_an_upgrade_changes_the_binary_of_the_running_master(tmp_path: Path) -> None:
    """The new master takes the pid file, and only then the old one is told to leave."""
    pid_file = tmp_path / "run" / "mailworker" / "mailworker.pid"
    with _running(tmp_path, "mailworker: master process", "mailworker.pid.new"):
        command = ["mailworker: master process", "-c", _MASTER, str(pid_file)]
        with subprocess.Popen(command, executable=sys.executable) as master:
            try:
                wait_until(lambda: pid_file.exists() and pid_file.read_text() != "", "the pid file")
                programs = {"adduser": "true", "mailworker": "true"}
                assert not _run_maintainer_script(tmp_path, "postinst", "configure", "0.1.0", **programs)
                assert master.wait(PATIENCE) == 0
            finally:
                master.kill()


def test_purging_succeeds_where_the_user_cannot_be_removed(tmp_path: Path) -> None:
    programs = {"getent": "true", "deluser": "echo userdel: user mailworker is currently used >&2; exit 1"}
    said = _run_maintainer_script(tmp_path, "postrm", "purge", **programs)
    assert said.splitlines() == [
        "userdel: user mailworker is currently used",
        "mailworker: the user mailworker stays, see above",
    ]


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_says_what_it_does_before_each_step_that_takes_long(tmp_path: Path) -> None:
    steps = subprocess.run(
        ["make", "--dry-run", "run", f"VENV={tmp_path}"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for said, done in (("Creating", "-m venv"), ("Building", "pip install"), ("Starting", "mailworker.demo")):
        step = next(number for number, line in enumerate(steps) if done in line)
        assert steps[step - 1].startswith(f"echo '{said} ")


def test_the_installed_command_settles_what_it_has_inherited_before_the_package_is_loaded() -> None:
    installed = Path(sys.executable).with_name("mailworker").read_text(encoding="utf-8").splitlines()
    assert installed[1:] == (ROOT / "bin" / "mailworker").read_text(encoding="utf-8").splitlines()[1:]
    steps = [line.strip() for line in installed]
    assert steps.index("sys.dont_write_bytecode = True") < steps.index("settle()")
    assert steps.index("settle()") < steps.index("from mailworker.cli import main")
