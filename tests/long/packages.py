"""From each kind of package to mail that was fetched and sent, as a newcomer would: `make check-packages`.

What docs/install.md has people type is typed in bare Debian systems, in front of a real Dovecot and Postfix: install,
configure, fetch, send, upgrade while a session goes on, purge. As root, with apt's network and lintian. `python -m
tests.long.packages deb-bookworm` does that kind alone. The bare systems are kept in MAILWORKER_ROOTS, else in
build/roots.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from mailworker import __version__
from tests.long.shop import (
    BUILD,
    DOWNLOADED,
    PACKAGE,
    QUICK_START,
    ROOT,
    Shop,
    commands,
    fetch_packages,
    fetch_wheels,
)
from tests.support import container
from tests.support.bare_root import BareBox, BareRoots, booted, run
from tests.support.certificates import self_signed
from tests.support.daemon import wait_until
from tests.support.mail_host import MailHost
from tests.support.patience import PATIENCE

LATER = f"{__version__}.1"
SECONDS, LINES = 60, 10
PID_FILE = "/run/mailworker/mailworker.pid"
# What Debian's own programs keep of what they have done.
_KEPT = re.compile(
    r"/(proc|sys|dev|run|tmp|old)(/|$)|/var/(cache|log|tmp)/|/var/lib/(apt|dpkg|systemd|ucf|python)/|/root/"
)


def try_deb(shop: Shop, suite: str) -> None:
    """Check, install, configure, fetch, send, upgrade, purge."""
    package = shop.build(suite)
    run("lintian", "--allow-root", "--fail-on", "error,warning", package)
    folder = shop.folder / f"{suite}-box"
    shop.roots.unpack(suite, folder / "root")
    typed = _of_last_mail(commands("## Debian", 1))
    assert len(typed.splitlines()) <= LINES
    shutil.copy(package, folder / "root" / "etc" / PACKAGE)
    fetch_packages(folder / "root", f"/etc/{PACKAGE}", "ssl-cert", "curl", "logrotate")
    with booted(folder) as box:
        shop.host.join(box.pid)
        box.shell("apt-get -qy install --no-install-recommends ssl-cert curl logrotate")  # stay when ours is purged
        shop.host.deliver(f"from {suite}")
        begun = time.monotonic()
        seen = box.shell(typed, "/etc")
        took = time.monotonic() - begun
        assert f"Subject: from {suite}" in seen
        print(f"{suite}: {PACKAGE} to first mail in {took:.0f} s, {len(typed.splitlines())} lines typed", flush=True)
        assert took <= SECONDS * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))  # others compute, too
        _send(shop, box.pid)
        _upgrade(box, _renumbered(package, shop.folder / f"{suite}-new"))
        _try_service(box)
        box.shell(f"apt-get -qy purge mailworker; apt-get -qy autoremove --purge; rm /etc/{PACKAGE}")
        assert _traces(box) == []
        assert "mailworker" not in box.shell("getent passwd; getent group; systemctl list-unit-files")
        assert _programs(box) == []
    print(
        f"{suite}: sent, upgraded under a session, reloaded, logs rotated, stopped, purged without a trace", flush=True
    )


def try_make_install(shop: Shop) -> None:
    """From the source tree into /usr/local, with Debian's libraries, and away again."""
    folder = shop.folder / "make-box"
    shop.roots.unpack("bookworm", folder / "root", added="build", script=BUILD, source=shop.source)
    shutil.copytree(shop.source, folder / "root" / "src")
    fetch_packages(folder / "root", "curl", "openssl", *commands("## make install").replace("\\\n", "").split()[2:])
    with booted(folder) as box:
        shop.host.join(box.pid)
        box.shell(commands("## make install") + "apt install -y curl openssl")
        before = _files(box)
        begun = time.monotonic()
        box.shell("umask 077\n" + commands("## make install", 1), "/src")
        assert box.shell("find /usr/local -not -perm -o=r") == ""
        _configure(box, "/etc/mailworker", "/usr/local/share/mailworker")
        box.shell("mailworker -t; systemctl reload mailworker")
        shop.host.deliver("by make")
        _await_mail(box, "by make")
        print(f"make install: to first mail in {time.monotonic() - begun:.0f} s", flush=True)
        _send(shop, box.pid)
        _try_service(box)
        box.shell("systemctl disable --now mailworker; make uninstall; userdel mailworker", "/src")
        left = {path for path in _files(box) - before if not path.startswith(("/src/", "/etc/mailworker"))}
        assert left <= {"/usr/local/lib/systemd", "/usr/local/lib/systemd/system"} | _folders(left), left
    print("make install: sent, reloaded, stopped, uninstalled", flush=True)


def try_pip(shop: Shop, archive: str) -> None:
    """A source archive or a wheel, by docs/quick-start.md word for word, but for the address and the user."""
    folder = shop.folder / f"{archive}-box"
    shop.roots.unpack("bookworm", folder / "root", added="build", script=BUILD, source=shop.source)
    ours = folder / "root" / "wheels" / "ours"
    run(sys.executable, "-m", "build", f"--{archive}", "--outdir", ours, shop.source, environment=dict(os.environ))
    (made,) = ours.iterdir()
    fetch_wheels(folder / "root", made)
    if archive == "sdist":
        run("tar", "--extract", "--file", made, "--directory", folder / "root")
    else:
        shutil.copytree(shop.source / "conf", folder / "root" / "mailworker" / "conf")
    (source,) = (path for path in (folder / "root").glob("mailworker*"))
    fetch_packages(folder / "root", "curl", "openssl", "python3-venv")
    with booted(folder) as box:
        shop.host.join(box.pid)
        box.shell("apt-get -qy install --no-install-recommends curl openssl python3-venv")
        shop.host.deliver(f"by {archive}")
        typed = commands("## 1. Install", page=QUICK_START)
        typed = typed if archive == "sdist" else typed.replace("install .", f"install /wheels/ours/{made.name}")
        begun = time.monotonic()
        box.shell(typed + commands("## 2. A certificate", page=QUICK_START), f"/{source.name}", variables=DOWNLOADED)
        configuration = re.findall(r"^```nginx\n(.*?)^```$", QUICK_START, re.MULTILINE | re.DOTALL)[0]
        (box.root / "etc/mailworker/mailworker.conf").write_text(configuration.replace("192.0.2.10", "192.0.2.7"))
        box.shell(
            "".join(commands(step, page=QUICK_START) for step in ("## 4. Test it", "## 5. Start it")), f"/{source.name}"
        )
        fetch = commands("## 6. Fetch a mail", page=QUICK_START).replace("you@example.com", "anna@example.test:secret")
        assert f"Subject: by {archive}" in box.shell(_of_last_mail(fetch))
        print(f"{archive}: to first mail in {time.monotonic() - begun:.0f} s", flush=True)
        _send(shop, box.pid)
        box.shell("systemctl stop mailworker")
    print(f"{archive}: sent, stopped", flush=True)


def try_container(shop: Shop) -> None:
    """The steps of Containerfile, and what it starts: no root, nothing to write to, no capability."""
    folder = shop.folder / "container"
    image = container.build(ROOT / "Containerfile", shop.source, folder, shop.roots.unpack)
    etc = image.root / "etc" / "mailworker"
    certificate = self_signed(folder, "cert", "/CN=localhost")
    shutil.copy(certificate.certificate, etc / "cert.pem")
    shutil.copy(certificate.key, etc / "cert.key")
    shutil.chown(etc / "cert.key", *map(int, image.words["USER"].split(":")))
    text = (ROOT / "install" / "one-server.conf").read_text().replace("192.0.2.10", "192.0.2.7")
    (etc / "mailworker.conf").write_text(f"status {{ listen 127.0.0.1:9143; }}\n{text}")
    begun = time.monotonic()
    with container.running(image, folder / "output") as running:
        shop.host.join(running.pid)
        wait_until(running.is_healthy, "health")
        users = {each.uids().real for each in psutil.Process(running.pid).children(recursive=True)}
        assert users == {int(image.words["USER"].split(":")[0])}
        shop.host.deliver("by a container")
        fetch = _of_last_mail(commands("## Debian", 1)).splitlines()[-1]
        assert "Subject: by a container" in run("nsenter", f"--net=/proc/{running.pid}/ns/net", "sh", "-c", fetch)
        print(f"container: start to first mail in {time.monotonic() - begun:.1f} s", flush=True)
        _send(shop, running.pid)
        assert running.stop() == 0
        assert not re.search(r"\[(alert|emerg|crit)\]", running.output.read_text()), running.output.read_text()
    print("container: healthy, sent, stopped by its signal", flush=True)


def try_clone(shop: Shop) -> None:
    """On this machine: `git clone`, `make run`, and the first line that it gives to paste."""
    folder = shop.folder / "clone"
    begun = time.monotonic()
    run("git", "clone", "--quiet", ROOT, folder)
    output = shop.folder / "clone.output"
    with output.open("wb") as writing:
        demo = subprocess.Popen(["make", "run"], cwd=folder, stdout=writing, stderr=writing)
    try:
        wait_until(lambda: "curl -k" in output.read_text() or demo.poll() is not None, "the demo", timeout=300)
        line = re.search(r"curl -k.*imaps:.*", output.read_text())
        assert line is not None, output.read_text()
        seen = run("sh", "-c", line[0])
        assert "Subject:" in seen, seen
        print(f"clone: to first mail in {time.monotonic() - begun:.1f} s", flush=True)
    finally:
        run("kill", str(_last_child(demo.pid)))
        demo.wait()


def try_clone_in_bare_root(shop: Shop) -> None:
    """The same in a bare Debian that has a compiler, by docs/quick-start.md word for word, but for the repository."""
    folder = shop.folder / "clone-box"
    shop.roots.unpack("bookworm", folder / "root", added="build", script=BUILD, source=shop.source)
    run("git", "clone", "--quiet", "--bare", ROOT, folder / "root" / "mailworker.git")
    fetch_wheels(folder / "root", f"{shop.source}[demo]")
    fetch_packages(folder / "root", "curl", "git", "python3-venv")
    typed = commands("## Look at it first", page=QUICK_START)
    for shown, meant in (("<this repository>", "/mailworker.git"), ("make run\n", "make run >/root/output 2>&1 &\n")):
        assert shown in typed
        typed = typed.replace(shown, meant)
    with booted(folder) as box:
        box.shell("apt-get -qy install --no-install-recommends curl git python3-venv")
        begun = time.monotonic()
        box.shell(typed, variables=[*DOWNLOADED, "HOME=/root"])
        wait_until(lambda: "curl -k" in box.read("/root/output"), "the demo", timeout=300)
        line = re.search(r"curl -k.*imaps:.*", box.read("/root/output"))
        assert line is not None, box.read("/root/output")
        assert "Subject:" in box.shell(line[0])
        print(f"clone in a bare Debian: to first mail in {time.monotonic() - begun:.0f} s", flush=True)


def _files(box: BareBox) -> set[str]:
    found = box.shell("find / -xdev -not -path '*/__pycache__*'")
    return {path for path in found.splitlines() if not _KEPT.match(path)}


def _traces(box: BareBox) -> list[str]:
    """All that is called as we are, but for what apt has fetched; libraries may stay, as others may want them."""
    found = box.shell(
        "find / -xdev -iname '*mailworker*' -not -path '/var/cache/apt/*'; ls -d /run/*mailworker* || true"
    )
    return found.splitlines()


def _folders(paths: set[str]) -> set[str]:
    """Those that are there for others, too: man8, completions and so on."""
    return {path for path in paths if "mailworker" not in path}


def _configure(box: BareBox, folder: str, examples: str) -> None:
    box.shell(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 90 -subj /CN=localhost -keyout cert.key -out cert.pem\n"
        f"sed s/192.0.2.10/192.0.2.7/ {examples}/one-server.conf >mailworker.conf\n",
        folder,
    )


def _await_mail(box: BareBox, subject: str) -> None:
    line = _of_last_mail(commands("## Debian", 1)).splitlines()[-1]
    wait_until(lambda: f"Subject: {subject}" in box.run("sh", "-c", line).stdout, subject)


def _of_last_mail(typed: str) -> str:
    """The same, but for which mail is fetched: a newcomer has one, our host has those of former trials, too."""
    return typed.replace("INDEX=1", "INDEX=*")


def _send(shop: Shop, pid: int) -> None:
    """From a client outside, by submission."""
    account = shop.host.account
    arrived = account.arrivals()
    command = ["swaks", "--server", "127.0.0.1", "--port", "465", "--tls-on-connect", "--auth", "PLAIN"]
    command += ["--auth-user", account.login, "--auth-password", account.password]
    command += ["--from", account.login, "--to", account.login, "--silent"]
    sent = subprocess.run(["nsenter", f"--net=/proc/{pid}/ns/net", *command], capture_output=True, check=False)
    assert sent.returncode == 0, sent.stdout + sent.stderr
    wait_until(lambda: account.arrivals() > arrived, "the delivery")


def _renumbered(package: Path, folder: Path) -> Path:
    """The same as a later version."""
    run("dpkg-deb", "--raw-extract", package, folder)
    control = folder / "DEBIAN" / "control"
    control.write_text(control.read_text().replace(f"Version: {__version__}", f"Version: {LATER}"))
    version = folder / "usr" / "lib" / "mailworker" / "mailworker" / "__init__.py"
    version.write_text(version.read_text().replace(__version__, LATER))
    later = folder.with_suffix(".deb")
    run("dpkg-deb", "--root-owner-group", "--build", folder, later)
    return later


def _upgrade(box: BareBox, package: Path) -> None:
    """A session that is logged in goes on, and nobody is refused meanwhile."""
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    shutil.copy(package, box.root / "etc" / "later.deb")
    old = box.read(PID_FILE).strip()
    with closing(trusting.wrap_socket(box.connect(993))) as client:
        client.settimeout(PATIENCE)
        _say(client, b"", b"* OK")
        _say(client, b"a LOGIN anna@example.test secret\r\n", b"a OK")
        said = box.shell("apt-get -qy install /etc/later.deb; rm /etc/later.deb; mailworker -v 2>&1")
        assert LATER in said, said
        assert box.read(PID_FILE).strip() not in ("", old)
        _say(client, b"b NOOP\r\n", b"b OK")
        assert box.show("mailworker", "ActiveState") == "active"
        assert _say(trusting.wrap_socket(box.connect(993)), b"", b"* OK")
        _say(client, b"c LOGOUT\r\n", b"c OK")
    box.await_true(lambda: not box.read(f"/proc/{old}/status"), "the old master's end")
    assert box.show("mailworker", "MainPID") == box.read(PID_FILE).strip()


def _say(client: ssl.SSLSocket, line: bytes, answer: bytes) -> bool:
    if line:
        client.sendall(line)
    said = b""
    while answer not in said:
        received = client.recv(4096)
        assert received, said
        said += received
    return True


def _try_service(box: BareBox) -> None:
    """Reload, log rotation, stop and start."""
    main = box.show("mailworker", "MainPID")
    box.shell("sed -i '1i error_log /var/log/mailworker/error.log info;' /etc/mailworker/mailworker.conf")
    box.shell("systemctl reload mailworker")
    box.await_true(lambda: "start worker processes" in box.read("/var/log/mailworker/error.log"), "the reload")
    if box.read("/usr/sbin/logrotate"):
        box.shell("logrotate --force /etc/logrotate.d/mailworker")
        box.await_true(lambda: box.succeeds("test", "-e", "/var/log/mailworker/error.log"), "the new log")
        assert "reopening logs" in box.read("/var/log/mailworker/error.log.1")
    assert box.show("mailworker", "MainPID") == main
    worker = int(box.run("id", "--user", "mailworker").stdout)
    wait_until(lambda: _users(box) == {0, worker}, "workers that are mailworker")
    assert "[emerg]" not in box.run("journalctl", "--unit=mailworker").stdout
    box.shell("systemctl restart mailworker; systemctl stop mailworker; systemctl start mailworker")


def _programs(box: BareBox) -> list[psutil.Process]:
    """Master, workers and helpers."""
    found = []
    for each in psutil.Process(box.pid).children(recursive=True):
        with suppress(psutil.Error):  # it has just ended
            if "mailworker" in " ".join(each.cmdline()):
                found.append(each)
    return found


def _users(box: BareBox) -> set[int]:
    users = set()
    for each in _programs(box):
        with suppress(psutil.Error):
            users.add(each.uids().real)
    return users


def _last_child(pid: int) -> int:
    child = run("pgrep", "--parent", str(pid)).split()
    return int(child[0]) if child else pid


KINDS: dict[str, Callable[[Shop], None]] = {
    "deb-bookworm": lambda shop: try_deb(shop, "bookworm"),
    "deb-trixie": lambda shop: try_deb(shop, "trixie"),
    "make-install": try_make_install,
    "sdist": lambda shop: try_pip(shop, "sdist"),
    "wheel": lambda shop: try_pip(shop, "wheel"),
    "container": try_container,
    "clone": try_clone,
    "clone-bookworm": try_clone_in_bare_root,
}


def main(kinds: list[str]) -> int:
    """Try each of `kinds`, all without any; returns the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # servers are ended then, too
    roots = BareRoots(Path(os.environ.get("MAILWORKER_ROOTS", ROOT / "build" / "roots")))
    with TemporaryDirectory(prefix="mailworker-packages-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        host = MailHost(folder / "host")
        try:
            shop = Shop(folder, roots, host)
            for kind in kinds or KINDS:
                KINDS[kind](shop)
        finally:
            host.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
