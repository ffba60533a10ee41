"""Containerfile without an engine: its steps run in bare roots, and the container in namespaces.

Only the instructions that our file uses are supported. The container has a read-only root, a network and processes of
its own, and no capabilities.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.support.bare_root import ENVIRONMENT, in_root
from tests.support.daemon import wait_until

_ENTER = ["unshare", "--pid", "--mount", "--ipc", "--uts", "--net", "--fork", "--kill-child=KILL"]
_RUN = """
mount --make-rprivate /
mount --bind "$0" "$0"
mount -t proc proc "$0/proc"
mount -t tmpfs tmpfs "$0/dev"
for name in null zero random urandom; do cp -a "/dev/$name" "$0/dev/"; done
mkdir -p "$0/run/mailworker"
mount -o remount,bind,ro "$0"
mount -t tmpfs -o mode=1777 tmpfs "$0/run/mailworker"
ip link set lo up
echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start
set -- --clear-groups --bounding-set=-all --no-new-privs "$@"
exec chroot "$0" setpriv "--reuid=${USER%:*}" "--regid=${USER#*:}" "$@"
"""


@dataclass(slots=True)
class Image:
    """A root, and the other instructions of the file."""

    root: Path
    folder: str = "/"
    words: dict[str, str] = field(default_factory=dict)

    def command(self, name: str) -> list[str]:
        """The words of an instruction in JSON form, such as ENTRYPOINT."""
        found: list[str] = json.loads(self.words[name][self.words[name].index("[") :])
        return found


def build(file: Path, context: Path, folder: Path, unpack: Callable[[str, Path], None]) -> Image:
    """Run the steps; `unpack` makes the root of a suite. Returns the last image. Raises CalledProcessError."""
    images: dict[str, Image] = {}
    image = Image(folder)
    for name, words in _instructions(file.read_text(encoding="utf-8")):
        if name == "FROM":
            suite, _, stage = words.partition(" AS ")
            image = images[stage] = Image(folder / (stage or "image"))
            unpack(suite.removeprefix("debian:").removesuffix("-slim"), image.root)
        elif name == "WORKDIR":
            image.folder = words
        elif name == "RUN":
            in_root(image.root, "sh", "-ec", f"cd {image.folder}; {words}")
        elif name == "COPY":
            _copy(words, context, images, image)
        elif name in ("USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"):
            image.words[name] = words
        else:
            raise ValueError(f"{name} is not known")
    return image


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    lines = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    for line in filter(None, lines):
        name, _, words = line.partition(" ")
        yield name, " ".join(words.split())


def _copy(words: str, context: Path, images: dict[str, Image], image: Image) -> None:
    *stage, source, target = words.split()
    place = image.root / target.removeprefix("/")
    if not stage:
        shutil.copytree(context / source, place, dirs_exist_ok=True)
        return
    for path in images[stage[0].removeprefix("--from=")].root.glob(source.removeprefix("/")):
        shutil.copy(path, place)


class Container:
    """A container started from an image; `pid` is its first process, by its id outside."""

    def __init__(self, image: Image, output: Path) -> None:
        self._image = image
        self.output = output
        command = [*image.command("ENTRYPOINT"), *image.command("CMD")]
        with output.open("wb") as writing:
            self._process = subprocess.Popen(
                [*_ENTER, "sh", "-ec", _RUN, str(image.root), *command],
                env=ENVIRONMENT | {"USER": image.words["USER"]},
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
            )
        wait_until(lambda: self._process.poll() is not None or self._served(), "the container")
        assert self._process.poll() is None, output.read_text()
        (first,) = psutil.Process(self._process.pid).children()
        self.pid = first.pid

    def _served(self) -> bool:
        return "start worker processes" in self.output.read_text()

    def is_healthy(self) -> bool:
        """The result of the health check."""
        enter = ["nsenter", f"--target={self.pid}", "--net", "--mount", "--root", "--wd"]
        check = self._image.command("HEALTHCHECK")
        return subprocess.run([*enter, *check], env=ENVIRONMENT, capture_output=True, check=False).returncode == 0

    def stop(self) -> int:
        """Stop it as an engine does, by STOPSIGNAL; returns the exit code."""
        name = self._image.words["STOPSIGNAL"].removeprefix("SIG")
        subprocess.run(["kill", f"-{name}", str(self.pid)], check=True)
        return self._process.wait(timeout=60)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def running(image: Image, output: Path) -> Iterator[Container]:
    """A container that is killed at the end."""
    container = Container(image, output)
    try:
        yield container
    finally:
        container.kill()
