"""debian/ agrees with setup.py, and what is installed with what is documented."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import mailworker
from mailworker.config.load import load
from mailworker.mail.protocols.table import PROTOCOLS

ROOT = Path(__file__).parents[2]
# A distribution on the Python package index -> its package in Debian.
PACKAGES = {"cffi": "python3-cffi-backend", "pyOpenSSL": "python3-openssl", "python-daemon": "python3-daemon"}


def text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def test_the_package_has_our_version() -> None:
    assert text("debian/changelog").startswith(f"mailworker ({mailworker.__version__}) ")


def test_what_people_type_names_our_version() -> None:
    assert set(re.findall(r"mailworker_([\d.]+)_", text("docs/install.md"))) == {mailworker.__version__}


def test_the_package_needs_what_setup_py_needs() -> None:
    required = re.search(r"install_requires=\[(.*?)\]", text("setup.py"), re.DOTALL)
    assert required is not None
    control = text("debian/control")
    for name, version in re.findall(r'"([\w-]+)>=([\d.]+)"', required[1]):
        assert f" {PACKAGES.get(name, f'python3-{name}')} (>= {version.removesuffix('.0')})," in control


def test_a_build_needs_what_make_install_imports() -> None:
    libraries = re.search(r"DEBIAN_LIBRARIES := (.*?)\n\n", text("install/install.mk"), re.DOTALL)
    assert libraries is not None
    control = text("debian/control")
    assert [name for name in libraries[1].replace("\\", "").split() if f" {name}" not in control] == []


@pytest.mark.parametrize("target", ["install", "man"])
def test_make_names_the_packages_that_are_missing(target: str, tmp_path: Path) -> None:
    made = subprocess.run(
        ["make", target, "PYTHON=false", f"DESTDIR={tmp_path}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert made.returncode == 2
    assert "Please install what is missing; Debian: apt install python3-cffi " in made.stderr
    assert "install.man" not in made.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("script", ["mailworker.postinst", "mailworker.postrm"])
def test_maintainer_scripts_are_scripts(script: str) -> None:
    assert text(f"debian/{script}").count("#DEBHELPER#") == 1
    subprocess.run(["sh", "-n", ROOT / "debian" / script], check=True)


def test_the_example_is_the_readme_s() -> None:
    block = re.search(r"^```nginx\n(.*?)^```$", text("README.md"), re.MULTILINE | re.DOTALL)
    assert block is not None
    _, _, example = text("install/one-server.conf").partition("\n\n")
    assert example == block[1]


@pytest.mark.parametrize("uncommented", [False, True])
def test_the_first_configuration_loads(tmp_path: Path, uncommented: bool) -> None:
    path = tmp_path / "mailworker.conf"
    active, _, block = text("install/mailworker.conf").partition("#mail {")
    path.write_text(active + ("mail {" + block.replace("\n#", "\n") if uncommented else ""))
    settings = load(path, protocols=PROTOCOLS, prefix=tmp_path)
    assert [server.protocol for server in settings.servers] == (["imap", "pop3", "smtp", "smtp"] if uncommented else [])
    assert settings.warnings == ()


def test_documents_have_the_installed_logrotate_file() -> None:
    shown = re.search(r"```\n(.*?)```", text("docs/recipes/logrotate.md"), re.DOTALL)
    assert shown is not None
    assert shown[1] == text("install/logrotate")
