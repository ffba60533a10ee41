""".ci/prerequisites: which thing is missing, and whether a package can mend it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PREREQUISITES = Path(__file__).parents[1] / ".ci" / "prerequisites"
VERSION = "{}.{}".format(*sys.version_info[:2])

GOOD_COMPILER = "#!/bin/sh\n"
NO_OPENSSL = "#!/bin/sh\nread line\ncase $line in *openssl*) exit 1 ;; esac\n"

SYSTEM, OTHER = "/usr", "/opt/python"


def python(prefix: str = SYSTEM, lacks: str = "nothing", version: str = VERSION) -> str:
    """A Python in `prefix` that fails where `lacks` stands in what it is asked."""
    old = "exit 1" if version == "3.9" else "exit 0"
    return (
        f'#!/bin/sh\ncase $2 in *"{lacks}"*) exit 1 ;; esac\n'
        f'case $2 in *":2"*) echo {version} ;; *"(3, 10)"*) {old} ;; *base_prefix*) echo {prefix} ;;\n'
        f'*sysconfig*) echo "${{0%/*}}" ;; esac\n'
    )


class Machine:
    """A PATH with nothing but what a test puts there, and a folder where Python.h is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.installed = folder / "installed"
        (folder / "Python.h").touch()
        for name in ("id", "env"):
            (folder / name).symlink_to(shutil.which(name) or name)
        self.put("id", "#!/bin/sh\necho 0\n")

    def put(self, name: str, script: str) -> None:
        path = self.folder / name
        path.unlink(missing_ok=True)
        path.write_text(script)
        path.chmod(0o755)

    def run(self, **environment: str) -> subprocess.CompletedProcess[str]:
        path = {"PATH": str(self.folder)}
        return subprocess.run(
            ["/bin/sh", PREREQUISITES], env=path | environment, capture_output=True, text=True, check=False
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    machine.put("python3", python())
    machine.put("cc", GOOD_COMPILER)
    return machine


def test_nothing_is_said_where_all_is_there(machine: Machine) -> None:
    ran = machine.run()
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_nothing_is_said_on_this_machine() -> None:
    environment = os.environ | {"PYTHON": sys.executable}
    ran = subprocess.run(["/bin/sh", PREREQUISITES], env=environment, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


# What is on the machine, what is said to be missing, and the Debian packages for it; None where no package mends it.
MISSING = {
    "no Python": ({"python3": ""}, "Python 3.10 or later (python3 is not there)", "python3 python3-dev python3-venv"),
    "an old Python": ({"python3": python(version="3.9")}, "Python 3.10 or later (python3 is 3.9)", None),
    "a broken Python": ({"python3": "#!/bin/sh\nexit 127\n"}, "Python 3.10 or later (python3 does not run)", None),
    "no venv": ({"python3": python(lacks="venv")}, "the venv module of python3", f"python{VERSION}-venv"),
    "no venv in a Python of one's own": ({"python3": python(OTHER, "venv")}, "the venv module of python3", None),
    "no headers": (
        {"python3": python(lacks="sysconfig")},
        "the headers of python3 (Python.h)",
        f"python{VERSION}-dev",
    ),
    "no headers in a Python of one's own": (
        {"python3": python(OTHER, "sysconfig")},
        "the headers of python3 (Python.h)",
        None,
    ),
    "no headers of OpenSSL": ({"cc": NO_OPENSSL}, "the headers of OpenSSL (openssl/ssl.h)", "libssl-dev pkg-config"),
    "a compiler that does not work": ({"cc": "#!/bin/sh\nexit 1\n"}, "a C compiler", "gcc libc6-dev"),
}


@pytest.mark.parametrize(("scripts", "missing", "packages"), MISSING.values(), ids=MISSING)
def test_what_is_missing_is_told_in_one_line(
    machine: Machine, scripts: dict[str, str], missing: str, packages: str | None
) -> None:
    _put(machine, scripts)
    ran = machine.run()
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
    assert ran.stderr.startswith(f"Missing: {missing}")
    assert f"Debian: apt install {packages}" in ran.stderr if packages else "PYTHON=" in ran.stderr
    systems = [name for name in ("Debian", "Fedora", "Alpine", "macOS") if name in ran.stderr]
    assert len(systems) == (4 if packages else 0)


@pytest.mark.parametrize(("scripts", "missing", "packages"), MISSING.values(), ids=MISSING)
def test_packages_are_installed_only_for_what_they_can_mend(
    machine: Machine, scripts: dict[str, str], missing: str, packages: str | None
) -> None:
    _put(machine, scripts)
    machine.put("apt-get", f'#!/bin/sh\necho "$@" >> {machine.installed}\n')
    ran = machine.run()
    assert ran.returncode == 1  # this apt-get mends nothing
    assert missing in ran.stderr
    if packages is None:
        assert not machine.installed.exists()
    else:
        assert machine.installed.read_text().splitlines()[-1].startswith(f"-qy install {packages}")


def test_all_that_is_missing_is_told_at_once(machine: Machine) -> None:
    _put(machine, {"python3": python(lacks="sysconfig"), "cc": NO_OPENSSL})
    assert machine.run().stderr.startswith(
        "Missing: the headers of python3 (Python.h), the headers of OpenSSL (openssl/ssl.h). "
    )


def test_what_apt_has_installed_lets_the_build_go_on(machine: Machine) -> None:
    machine.put("cc", NO_OPENSSL)
    machine.put("apt-get", f"#!/bin/sh\nprintf '#!/bin/sh\\n' > {machine.folder / 'cc'}\n")
    ran = machine.run()
    assert (ran.returncode, ran.stdout) == (0, "")
    assert ran.stderr.startswith("Installing what is missing: the headers of OpenSSL")


def test_a_python_that_the_user_names_and_that_is_not_there_is_named(machine: Machine) -> None:
    ran = machine.run(PYTHON="python3.99")
    assert ran.returncode == 1
    assert ran.stderr.startswith("Missing: Python 3.10 or later (python3.99 is not there). Please name one that is")


def _put(machine: Machine, scripts: dict[str, str]) -> None:
    """Put these programs there; an empty one is taken away."""
    for name, script in scripts.items():
        if script:
            machine.put(name, script)
        else:
            (machine.folder / name).unlink()
