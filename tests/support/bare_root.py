"""Bare Debian systems, made by debootstrap and kept as archives, and a systemd that runs in one.

Debian's packages come from the mirror that apt uses.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.systemd_box import SystemdBox

# Packages for a systemd in a root that begins as bare as Debian's smallest installation.
INCLUDED = ("systemd", "systemd-sysv", "iproute2", "util-linux")
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "DEBIAN_FRONTEND": "noninteractive",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "SYSTEMD_GENERATOR_PATH": "/nonexistent",
    "container": "test",
}
# A process namespace of its own: nothing started there can meet processes of this machine.
_ENTER = ("unshare", "--pid", "--mount", "--ipc", "--uts", "--fork", "--kill-child=KILL")
_MOUNT = 'mount -t proc proc "$0/proc" && cp -L /etc/resolv.conf "$0/etc/resolv.conf" && exec chroot "$0" "$@"'


class BareRoots:
    """Archives in `folder`, by suite and addition."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def unpack(self, suite: str, root: Path, *, added: str = "", script: str = "", source: Path | None = None) -> None:
        """Make `root`: a suite to which `script` has added something called `added`, with access to `source`.

        A root made before is unpacked from its archive. Raises CalledProcessError.
        """
        archive = self._folder / f"{suite}{added and '-'}{added}.tar"
        root.mkdir(parents=True)
        if archive.exists():
            run("tar", "--extract", "--file", archive, "--directory", root)
            return
        if not added:
            run("debootstrap", "--variant=minbase", f"--include={','.join(INCLUDED)}", suite, root, mirror())
        else:
            root.rmdir()
            self.unpack(suite, root)
            if source is not None:
                shutil.copytree(source, root / "src")
            in_root(root, "sh", "-ec", script)
            shutil.rmtree(root / "src", ignore_errors=True)
        unfinished = archive.with_suffix(".new")
        run("tar", "--create", "--one-file-system", "--file", unfinished, "--directory", root, ".")
        unfinished.rename(archive)


class BareBox(SystemdBox):
    """systemd as process 1 of `folder`/root, in a network of its own with only the links that are added to it."""

    def __init__(self, folder: Path) -> None:
        self._boot(folder, ["", "", "/usr", "/lib/systemd/systemd"], ENVIRONMENT)

    @property
    def pid(self) -> int:
        """The box's process 1, by its process id outside."""
        return self._first.pid

    @property
    def story(self) -> str:
        return self.output + self.run("journalctl", "--no-pager", "--lines=100").stdout

    def shell(self, script: str, folder: str = "/root", *, variables: Sequence[str] = ()) -> str:
        """Run lines of shell, each of which must succeed; returns their output. Raises AssertionError."""
        enter = ["nsenter", f"--target={self.pid}", "--all", "--", "env", f"--chdir={folder}", *variables]
        done = subprocess.run(
            [*enter, "sh", "-ex"], input=script, env=ENVIRONMENT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}\n{self.story}"
        return done.stdout


@contextmanager
def booted(folder: Path) -> Iterator[BareBox]:
    """A box that is stopped at the end."""
    box = BareBox(folder)
    try:
        yield box
    finally:
        box.stop()


def in_root(root: Path, *command: str | Path) -> str:
    """Run a program in a root with this machine's network, for apt; returns its output."""
    return run(*_ENTER, "sh", "-c", _MOUNT, root, *command)


def run(*command: str | Path, environment: dict[str, str] | None = None, folder: Path | None = None) -> str:
    """Run a program; returns its output. Raises CalledProcessError, which shows the output."""
    try:
        done = subprocess.run(
            command, env=ENVIRONMENT | (environment or {}), cwd=folder, capture_output=True, text=True, check=True
        )
    except subprocess.CalledProcessError as error:
        error.add_note(f"{error.stdout[-3000:]}\n{error.stderr[-3000:]}") if hasattr(error, "add_note") else None
        raise
    return done.stdout


def mirror() -> str:
    """The mirror that apt takes Debian's own packages from."""
    lines = run("apt-get", "indextargets", "--format", "$(ORIGIN) $(LABEL) $(REPO_URI)", "Created-By: Packages")
    (found, *_) = [line.split()[-1] for line in lines.splitlines() if line.startswith("Debian Debian ")]
    return found
