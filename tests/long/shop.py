"""What the trials of packages share: the source, bare systems, and what the documentation has people type."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

from mailworker import __version__
from tests.support.bare_root import BareRoots, in_root, run
from tests.support.mail_host import MailHost

ROOT = Path(__file__).resolve().parents[2]
INSTALL = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
QUICK_START = (ROOT / "docs" / "quick-start.md").read_text(encoding="utf-8")
PACKAGE = f"mailworker_{__version__}_amd64.deb"
DOWNLOADED = ("PIP_NO_INDEX=1", "PIP_FIND_LINKS=/wheels")
BUILD = (
    "apt-get -q update; apt-get -qy install --no-install-recommends build-essential; cd /src; apt-get -qy build-dep ./"
)


class Shop:
    """Where packages are made and bare systems are kept; `folder` is for what is thrown away."""

    def __init__(self, folder: Path, roots: BareRoots, host: MailHost) -> None:
        self.folder = folder
        self.roots = roots
        self.host = host
        self.source = folder / "source"
        copy_source(self.source)

    def build(self, suite: str) -> Path:
        """The Debian package of a suite, by the commands of docs/install.md."""
        root = self.folder / f"{suite}-build" / "root"
        self.roots.unpack(suite, root, added="build", script=BUILD, source=self.source)
        shutil.copytree(self.source, root / "src")
        *_, make = commands("## Debian").splitlines()
        in_root(root, "sh", "-exc", f"cd /src; {make}")
        package = self.folder / suite / PACKAGE
        package.parent.mkdir()
        shutil.copy(root / "src" / "dist" / PACKAGE, package)
        shutil.rmtree(root)
        return package


def commands(heading: str, number: int = 0, page: str = INSTALL) -> str:
    """What a page has people type below a heading."""
    _, _, section = page.partition(f"\n{heading}\n")
    section, *_ = re.split(r"^## ", section, maxsplit=1, flags=re.MULTILINE)
    blocks: list[str] = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return blocks[number]


def copy_source(target: Path) -> None:
    """What git knows of the tree, as it stands."""
    target.mkdir(parents=True)
    names = run("git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    for name in names:
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def fetch_wheels(root: Path, *what: str | Path) -> None:
    """Put distributions, and what they need to be built and run, where DOWNLOADED lets pip look for them."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    needed = ("setuptools>=64", "cffi", "wheel")
    run(*pip, "download", "--dest", root / "wheels", *what, *needed, environment=dict(os.environ))


def fetch_packages(root: Path, *packages: str) -> None:
    """Put packages where apt finds them, as a box has no way to a mirror; those of a Debian package's needs, too."""
    command = ["apt-get", "-qy", "--download-only", "install", *packages]
    in_root(root, "sh", "-ec", 'apt-get -q update; "$@"', "sh", *command)
    (root / "etc/apt/apt.conf.d/90box").write_text('APT::Get::Assume-Yes "true";\n')  # nobody is there to be asked
