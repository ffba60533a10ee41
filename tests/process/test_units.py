"""conf/mailworker.service and conf/mailworker.socket under a real systemd, installed as the README says."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from tests.support.certificates import self_signed
from tests.support.daemon import ServerUnavailable, find_program
from tests.support.process import GREETING
from tests.support.systemd_box import PROGRAM, ROOT, SystemdBox

SERVICE, SOCKET = ROOT / "conf" / "mailworker.service", ROOT / "conf" / "mailworker.socket"
PATHS = (PROGRAM, "/etc/mailworker", "/run/mailworker", "/var/log/mailworker")
PID_FILE = "/run/mailworker/mailworker.pid"
LOG = "/var/log/mailworker/error.log"
# As `systemd-analyze security` counts, in tenths.
WORST_SCORE = 27
CONFIGURATION = f"""
    error_log {LOG} info;
    user nobody nogroup;
    worker_processes 2;
    worker_sandbox on;
    events {{ }}
    mail {{
        server_name mail.example;
        auth_http 127.0.0.1:9/;
        ssl_certificate cert.pem;
        ssl_certificate_key cert.key;
        server {{ listen 143; listen [::]:143; protocol imap; }}
        server {{ listen 993 ssl; listen [::]:993 ssl; protocol imap; }}
    }}
"""
# There is no journal in the box.
OUTPUT = "[Service]\nStandardOutput=append:/var/log/unit.log\nStandardError=append:/var/log/unit.log\n"

Boot = Callable[..., SystemdBox]


@pytest.fixture
def boot(tmp_path: Path) -> Iterator[Boot]:
    """Boots a systemd that has our units, and further files in /etc."""
    booted: list[SystemdBox] = []

    def make(**etc: str) -> SystemdBox:
        certificate = self_signed(tmp_path, "server", "/CN=mail.example")
        files = {
            "mailworker/mailworker.conf": CONFIGURATION,
            "mailworker/cert.pem": certificate.certificate.read_text(),
            "mailworker/cert.key": certificate.key.read_text(),
            "systemd/system/mailworker.service": SERVICE.read_text(),
            "systemd/system/mailworker.socket": SOCKET.read_text(),
            "systemd/system/mailworker.service.d/output.conf": OUTPUT,
        }
        drop_ins = {f"systemd/system/mailworker.service.d/{name}.conf": text for name, text in etc.items()}
        try:
            booted.append(SystemdBox(tmp_path, {**files, **drop_ins}))
        except ServerUnavailable as error:
            pytest.skip(str(error))
        return booted[-1]

    yield make
    for box in booted:
        box.stop()


@pytest.fixture
def box(boot: Boot) -> SystemdBox:
    """A systemd that runs the service."""
    box = boot()
    box.systemctl("start", "mailworker")
    return box


def greeted(box: SystemdBox, host: str = "127.0.0.1") -> bytes:
    with closing(box.connect(143, host)) as client:
        try:
            return client.recv(100)
        except OSError as error:
            raise AssertionError(f"{host}: {error}\n{box.story}") from error


def upgrade(box: SystemdBox) -> tuple[str, str]:
    """Change the binary; the process ids of the old master and of the new one, in the box."""
    old = box.show("mailworker", "MainPID")
    box.systemctl("kill", "--kill-who=main", "--signal=USR2", "mailworker")
    box.await_true(lambda: box.read(PID_FILE).strip() not in ("", old), "the new master's pid file")
    return old, box.read(PID_FILE).strip()


def assert_stops_when_the_session_ends(box: SystemdBox) -> None:
    """Stopping waits for a session, in whose way nothing comes, and for nothing else."""
    with closing(box.connect(143)) as client:
        assert client.recv(100) == GREETING
        box.systemctl("stop", "--no-block", "mailworker")
        box.await_true(lambda: "gracefully shutting down" in box.read(LOG), "the end to begin")
        client.sendall(b"a NOOP\r\n")
        assert client.recv(100) == b"a OK completed\r\n"
        assert box.show("mailworker", "ActiveState") == "deactivating"
        client.sendall(b"b LOGOUT\r\n")
        assert client.recv(100).endswith(b"b OK completed\r\n")
        left = time.monotonic()
    box.await_true(lambda: box.show("mailworker", "ActiveState") == "inactive", "the end")
    assert time.monotonic() - left < 10  # ExecStop waits 20 s, and systemd 30 s
    assert box.show("mailworker", "Result") == "success"
    assert "SIGKILL" not in box.output
    assert "[alert]" not in box.read(LOG)


def test_the_unit_starts_reloads_and_stops_in_peace(box: SystemdBox) -> None:
    assert greeted(box) == greeted(box, host="::1") == GREETING
    main = box.show("mailworker", "MainPID")
    for worker in box.run("pgrep", "--parent", main).stdout.split():
        status = box.read(f"/proc/{worker}/status")
        assert re.search(r"^Seccomp:\t2$", status, re.MULTILINE)
        assert re.search(r"^Uid:\t65534\t", status, re.MULTILINE)
    box.systemctl("reload", "mailworker")
    box.await_true(lambda: box.read(LOG).count("start worker processes") == 2, "the reload")
    assert greeted(box) == GREETING
    assert box.show("mailworker", "MainPID") == main
    assert_stops_when_the_session_ends(box)


def test_systemd_leaves_a_worker_that_lacks_memory_to_the_master(box: SystemdBox) -> None:
    """By default it stops a service if the kernel kills any process of it for lack of memory."""
    assert box.show("mailworker", "OOMPolicy") == "continue"


def test_logs_of_the_unit_begin_anew_again_and_again(box: SystemdBox) -> None:
    """The file is the workers' then, and still root's to open."""
    for told in (3, 6):  # the master and two workers
        box.systemctl("kill", "--kill-who=main", "--signal=USR1", "mailworker")
        box.await_true(partial(lambda count: box.read(LOG).count(": reopening logs") == count, told), "all to hear")
    box.systemctl("restart", "mailworker")
    assert greeted(box) == GREETING
    assert "[emerg]" not in box.read(LOG)


def test_a_changed_binary_becomes_the_main_process_and_is_stopped_in_peace(box: SystemdBox) -> None:
    old, new = upgrade(box)
    assert box.show("mailworker", "MainPID") == old
    assert box.run("kill", "-QUIT", old).returncode == 0
    box.await_true(lambda: box.show("mailworker", "MainPID") == new, "another main process")
    box.await_true(lambda: not box.read(f"/proc/{old}/status"), "the old master's end")
    assert greeted(box) == GREETING
    (box.root / LOG.removeprefix("/")).write_text("")
    assert_stops_when_the_session_ends(box)
    assert "reception only permitted for main PID" not in box.output


def test_both_masters_are_stopped_in_peace(box: SystemdBox) -> None:
    upgrade(box)
    assert_stops_when_the_session_ends(box)


def test_a_reload_reaches_the_new_binary_while_the_old_one_still_has_sessions(box: SystemdBox) -> None:
    with closing(box.connect(143)) as client:
        assert client.recv(100) == GREETING
        old, new = upgrade(box)
        assert box.run("kill", "-QUIT", old).returncode == 0
        box.await_true(lambda: box.show("mailworker", "MainPID") == new, "another main process")
        begun = box.read(LOG).count("start worker processes")
        box.systemctl("reload", "mailworker")
        box.await_true(lambda: box.read(LOG).count("start worker processes") == begun + 1, "the reload")
        assert box.read(f"/proc/{old}/status")
        client.sendall(b"a NOOP\r\n")
        assert client.recv(100) == b"a OK completed\r\n"


def test_sessions_that_stay_are_ended_without_a_kill(boot: Boot) -> None:
    hurry = SERVICE.read_text().replace("seq 200", "seq 5")
    stop = re.search(r"^ExecStop=.*$", hurry, re.MULTILINE)
    assert stop is not None
    box = boot(hurry=f"[Service]\nExecStop=\n{stop[0]}\n")
    box.systemctl("start", "mailworker")
    with closing(box.connect(143)) as client:
        assert client.recv(100) == GREETING
        box.systemctl("stop", "mailworker")
    assert box.show("mailworker", "Result") == "success"
    assert "SIGKILL" not in box.output
    assert "[alert]" not in box.read(LOG)


def test_only_the_main_process_is_heard(box: SystemdBox) -> None:
    main = box.show("mailworker", "MainPID")
    worker = box.run("pgrep", "--parent", main).stdout.split()[0]
    join = "echo $$ >/sys/fs/cgroup/system.slice/mailworker.service/cgroup.procs"
    lie = f"NOTIFY_SOCKET=/run/systemd/notify systemd-notify MAINPID={worker} WATCHDOG=trigger"
    assert box.run("sh", "-c", f"{join} && {lie}").returncode == 0
    box.await_true(lambda: "reception only permitted for main PID" in box.output, "the lie to be heard")
    assert box.show("mailworker", "MainPID") == main
    assert box.show("mailworker", "ActiveState") == "active"


def test_sockets_of_systemd_are_served_without_root(boot: Boot) -> None:
    """With the drop-in that docs/running.md shows."""
    drop_in = re.search(r"```ini\n(\[Service\]\nUser=.*?)```", (ROOT / "docs" / "running.md").read_text(), re.DOTALL)
    assert drop_in is not None
    box = boot(unprivileged=drop_in[1].replace("User=mailworker", "User=nobody"))
    (box.root / "etc/mailworker/cert.key").chmod(0o644)
    box.systemctl("start", "mailworker.socket")
    assert box.show("mailworker", "ActiveState") == "inactive"
    assert greeted(box) == greeted(box, host="::1") == GREETING  # which has started it
    main = box.show("mailworker", "MainPID")
    assert re.search(r"^Uid:\t65534\t65534\t", box.read(f"/proc/{main}/status"), re.MULTILINE)
    assert re.search(r"^CapEff:\t0+$", box.read(f"/proc/{main}/status"), re.MULTILINE)
    assert "using 4 sockets of the service manager" in box.read("/var/log/unit.log")
    box.systemctl("reload", "mailworker")
    box.await_true(lambda: box.read(LOG).count("start worker processes") == 2, "the reload")
    with closing(box.connect(143)) as client:
        assert client.recv(100) == GREETING


def test_the_unit_is_as_closed_as_it_is_said_to_be() -> None:
    try:
        analyze = find_program("systemd-analyze")
    except ServerUnavailable as error:
        pytest.skip(str(error))
    command = [analyze, "security", "--no-pager", "--offline=true", f"--threshold={WORST_SCORE}", str(SERVICE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("page", ["README.md", "docs/running.md"])
def test_the_documents_and_the_unit_agree_on_paths(page: str) -> None:
    text = (ROOT / page).read_text()
    assert [path for path in PATHS if path not in text] == []


def test_the_start_is_tried_with_the_settings_of_the_start() -> None:
    tried, started = (
        re.search(rf"^{key}=(.*)$", SERVICE.read_text(), re.MULTILINE) for key in ("ExecStartPre", "ExecStart")
    )
    assert tried is not None
    assert started is not None
    assert tried[1].replace(" -t -q", "") == started[1]
    assert all(path in SERVICE.read_text() for path in PATHS)
