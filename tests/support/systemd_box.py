"""A real systemd as process 1 of its own namespaces, for tests of units.

It shares no files, processes, ports or control groups with the machine: see systemd_box.sh.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from tests.support.daemon import ServerUnavailable, find_program, wait_until
from tests.support.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_suffix(".sh")
PROGRAM = "/opt/mailworker/bin/mailworker"
# Only these units exist beside the tested ones: the distribution's units would set up a whole machine.
TARGETS = ("basic", "multi-user", "network-online", "nss-lookup", "shutdown", "sockets", "sysinit", "timers")
ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "SYSTEMD_ENVIRONMENT_GENERATOR_PATH": "/nonexistent",
    "SYSTEMD_GENERATOR_PATH": "/nonexistent",
    "SYSTEMD_UNIT_PATH": "/etc/systemd/system",
    "container": "test",
}
_NEW_NETWORK = 0x40000000  # CLONE_NEWNET


class SystemdBox:
    """`folder` belongs to the test alone; `etc` maps paths in /etc to texts of files.

    The checkout is installed in /opt/mailworker. Raises ServerUnavailable where systemd or a privilege is missing.
    """

    def __init__(self, folder: Path, etc: Mapping[str, str]) -> None:
        systemd = find_program("systemd", "/lib/systemd")
        _install(folder, etc)
        python = "/usr" if sys.base_prefix == "/usr" else sys.base_prefix
        packages = next(path for path in sys.path if path.endswith("site-packages"))
        self._boot(folder, [str(ROOT), packages, python, systemd], ENVIRONMENT)

    def _boot(self, folder: Path, what: list[str], environment: Mapping[str, str]) -> None:
        if os.geteuid() != 0:
            raise ServerUnavailable("only root can mount")
        self._folder = folder
        self._environment = environment
        self._group = _new_control_group(folder)
        enter = ["unshare", "--pid", "--mount", "--cgroup", "--ipc", "--uts", "--net", "--fork", "--kill-child=KILL"]
        make = ["sh", str(SCRIPT), str(folder)]
        run = [*what, "--system", "--unit=basic.target", "--log-target=kmsg", "--show-status=no"]
        with (folder / "output").open("wb") as output:
            self._process = subprocess.Popen(
                ["sh", "-c", 'echo $$ > "$0/cgroup.procs"; exec "$@"', str(self._group), *enter, *make, *run],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self.await_true(lambda: self.succeeds("systemctl", "is-active", "basic.target"), "systemd's start")

    @property
    def root(self) -> Path:
        """The box's files, as seen from outside."""
        return Path(f"/proc/{self._first.pid}/root")

    @property
    def _first(self) -> psutil.Process:
        """The box's process 1."""
        children = psutil.Process(self._process.pid).children()
        if not children:
            raise AssertionError(f"systemd has ended: {self.output}")
        return children[0]

    @property
    def output(self) -> str:
        """The output of systemd."""
        return (self._folder / "output").read_text(errors="replace")

    def read(self, path: str) -> str:
        """The text of a file in the box; empty if there is none, or if its process has just ended."""
        with suppress(FileNotFoundError, ProcessLookupError):
            return (self.root / path.removeprefix("/")).read_text(errors="replace")
        return ""

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program in the box to its end."""
        enter = ["nsenter", f"--target={self._first.pid}", "--all", "--"]
        return subprocess.run(
            [*enter, *command], env=self._environment, capture_output=True, text=True, timeout=PATIENCE, check=False
        )

    def succeeds(self, *command: str) -> bool:
        """Whether a program in the box succeeds."""
        return not self._starting and self.run(*command).returncode == 0

    @property
    def _starting(self) -> bool:
        children = psutil.Process(self._process.pid).children()
        return not children or children[0].name() != "systemd"

    def systemctl(self, *arguments: str) -> str:
        """Run systemctl, which must succeed; returns its output."""
        done = self.run("systemctl", "--no-pager", *arguments)
        assert done.returncode == 0, f"{done.stderr}\n{self.story}"
        return done.stdout.strip()

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.systemctl("show", "--value", f"--property={name}", unit)

    @property
    def story(self) -> str:
        """All output and logs of the box."""
        return "\n".join((self.output, self.read("/var/log/unit.log"), self.read("/var/log/mailworker/error.log")))

    def connect(self, port: int, host: str = "127.0.0.1") -> socket.socket:
        """A connection to a port of the box."""
        made = socket_in_network(self._first.pid, socket.AF_INET6 if ":" in host else socket.AF_INET)
        made.settimeout(PATIENCE)
        try:
            made.connect((host, port))
        except OSError as error:
            made.close()
            raise AssertionError(f"{host}:{port}: {error}\n{self.story}") from error
        return made

    def await_true(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until `condition` returns true; shows all logs if it does not."""
        try:
            wait_until(lambda: self._process.poll() is not None or condition(), what)
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{self.story}") from None
        assert self._process.poll() is None, self.output

    def stop(self) -> None:
        """End all in the box at once."""
        self._process.kill()  # with it process 1 ends, and with that all others
        self._process.wait()
        wait_until(lambda: "populated 0" in (self._group / "cgroup.events").read_text(), "the box's end")
        for group in sorted(self._group.glob("**/"), reverse=True):
            group.rmdir()


def socket_in_network(pid: int, family: socket.AddressFamily) -> socket.socket:
    """A new socket in the network of a process; it stays in there."""
    made: list[socket.socket] = []

    def make() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        with Path(f"/proc/{pid}/ns/net").open() as namespace:
            if libc.setns(namespace.fileno(), _NEW_NETWORK) != 0:
                return
        made.append(socket.socket(family))

    entering = threading.Thread(target=make)  # only this thread enters the namespace
    entering.start()
    entering.join()
    return made[0]


def _new_control_group(folder: Path) -> Path:
    """A control group below ours in the unified hierarchy; raises ServerUnavailable where that is not mounted."""
    lines = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    mount = next((place for _, place, kind, *_ in lines if kind == "cgroup2"), None)
    if mount is None:
        raise ServerUnavailable("the unified control group hierarchy is not mounted")
    ours = next(line for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
    group = Path(mount, ours.removeprefix("0::/"), f"mailworker-{os.getpid()}-{folder.name}")
    try:
        group.mkdir()
    except OSError as error:
        raise ServerUnavailable(f"no control group of our own: {error}") from None
    return group


def _install(folder: Path, etc: Mapping[str, str]) -> None:
    """Install what the README's commands install, from the checkout and the libraries that run the tests."""
    units = {f"systemd/system/{name}.target": f"[Unit]\nDescription={name}\n" for name in TARGETS}
    for name, text in {**units, **etc}.items():
        path = folder / "etc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    program = folder / "opt" / "mailworker"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    home = "/usr/bin" if sys.base_prefix == "/usr" else "/opt/python/bin"
    packages = program / "lib" / version / "site-packages"
    packages.mkdir(parents=True)
    (packages / "mailworker.pth").write_text("/opt/mailworker/checkout\n/opt/mailworker/packages\n")
    (program / "pyvenv.cfg").write_text(f"home = {home}\ninclude-system-site-packages = false\n")
    (program / "bin").mkdir()
    (program / "bin" / "python").symlink_to(f"{home}/{version}")
    script = program / "bin" / "mailworker"
    script.write_text("#!/opt/mailworker/bin/python\nimport sys\nfrom mailworker.cli import main\nsys.exit(main())\n")
    script.chmod(0o755)
