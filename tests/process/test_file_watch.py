"""Files of users, by the real binary: read as root, read again when they change, and told to workers that serve."""

from __future__ import annotations

import errno
import os
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from itertools import count, takewhile
from pathlib import Path
from unittest.mock import Mock

import psutil
import pytest

from mailworker.process.certificate_folders import CertificateFolders
from mailworker.process.cycle import Cycle
from mailworker.process.file_watch import FileWatch
from mailworker.process.link import USERS, FileUpdate
from mailworker.process.system.inherited_state import close_all_but, foreign_descriptors
from mailworker.process.user_files import UserFiles
from mailworker.process.watched_files import WatchedFiles
from mailworker.shm.sealed import seal
from tests.process.conftest import Install
from tests.support.backend import ScriptedServer
from tests.support.peer import Peer
from tests.support.process import GREETING, Mailworker, has_ended, is_called
from tests.support.recorded_log import RecordedLog
from tests.support.settings import configuration

WRONG = b"a NO [AUTHENTICATIONFAILED] Authentication failed\r\n"


@pytest.fixture
def backend() -> Iterator[ScriptedServer]:
    """It lets everybody in."""

    def script(peer: Peer) -> None:
        peer.send(b"* OK backend\r\n")
        peer.line()
        for answer in (b"+ go\r\n", b"+ go\r\n", b"a OK at the backend\r\n"):
            peer.send(answer)
            peer.line()

    server = ScriptedServer(script)
    yield server
    server.stop()


class Site:
    """A running mailworker whose users stand in a file that root alone may read."""

    def __init__(self, install: Install, folder: Path, port: int, backend: ScriptedServer) -> None:
        self.port = port
        self.users = folder / "users"
        self.backend = f"host=127.0.0.1 port={backend.address.port}"
        self.write("anna:{PLAIN}secret")
        self.mailworker: Mailworker = install(self.configuration())

    def configuration(self, main: str = "worker_sandbox on;", workers: int = 2) -> str:
        return f"""
            error_log logs/error.log info;
            worker_processes {workers};
            {main}
            events {{}}
            mail {{
                auth_user_file {self.users};
                server {{ listen 127.0.0.1:{self.port}; protocol imap; }}
            }}
        """

    def write(self, *lines: str) -> None:
        self.users.touch(mode=0o600)
        self.users.write_text("".join(f"{line}::::::{self.backend}\n" for line in lines))

    def log_in(self, name: str, password: str) -> bytes:
        """What a client hears of a login."""
        client = Peer.connect(("127.0.0.1", self.port))
        try:
            client.expect(GREETING)
            client.send(f"a LOGIN {name} {password}\r\n".encode())
            return client.line()
        finally:
            client.close()

    def reader(self) -> psutil.Process | None:
        found = [p for p in psutil.Process(self.mailworker.pid).children() if is_called(p, "file reader")]
        return found[0] if found else None


@pytest.fixture
def site(install: Install, folder: Path, port: int, backend: ScriptedServer) -> Site:
    site = Site(install, folder, port, backend)
    site.mailworker.start()
    site.mailworker.await_workers(2)
    return site


def test_users_of_a_file_that_root_alone_may_read_log_in_at_a_fenced_worker(site: Site) -> None:
    assert site.log_in("anna", "secret") == b"a OK at the backend\r\n"
    assert site.log_in("anna", "Secret") == site.log_in("nobody", "secret") == WRONG


def test_a_client_that_was_wrong_may_try_again_until_it_was_so_too_often(site: Site) -> None:
    client = Peer.connect(("127.0.0.1", site.port))
    client.expect(GREETING)
    client.talk(*[(b"a LOGIN anna wrong\r\n", WRONG)] * 4, (b"a LOGIN anna secret\r\n", b"a OK at the backend\r\n"))
    client.close()
    client = Peer.connect(("127.0.0.1", site.port))
    client.expect(GREETING)
    client.talk(*[(b"a LOGIN anna wrong\r\n", WRONG)] * 5)
    assert client.rest() == b""
    client.close()
    site.mailworker.await_line(r"\[info\] .*client failed to log in too many times.*, login: \"anna\"")


def test_all_workers_know_users_that_are_new_without_a_reload(site: Site) -> None:
    workers = site.mailworker.await_workers(2)
    site.write("anna:{PLAIN}other", "berta:{PLAIN}new", "carla:{HMAC}x")
    site.mailworker.await_line(r'\[notice\] .*user file ".*/users" has changed, 2 users')
    site.mailworker.await_true(lambda: site.log_in("berta", "new").startswith(b"a OK"), "the new user")
    for _ in range(8):
        assert site.log_in("berta", "new") == b"a OK at the backend\r\n"
        assert site.log_in("anna", "secret") == WRONG
    assert site.mailworker.lines(r'\[error\] .*unknown password scheme "HMAC" in .*/users:3$')
    assert site.mailworker.await_workers(2) == workers
    os.kill(workers[0], signal.SIGKILL)
    site.mailworker.alerts.append("exited on signal 9")
    site.mailworker.await_workers(2, workers[:1])
    for _ in range(8):
        assert site.log_in("anna", "other") == b"a OK at the backend\r\n"


def test_a_file_that_is_taken_away_leaves_the_users_as_they_were(site: Site) -> None:
    site.users.rename(site.users.with_name("elsewhere"))
    site.mailworker.await_line(r'\[error\] .*open\(\) ".*/users" failed \(2: .*\), the users stay as they were')
    assert site.log_in("anna", "secret") == b"a OK at the backend\r\n"
    site.write("anna:{PLAIN}back")
    site.mailworker.await_true(lambda: site.log_in("anna", "back").startswith(b"a OK"), "the file's return")


@pytest.mark.parametrize("kind", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_what_never_ends_in_place_of_the_file_keeps_nobody_waiting(site: Site, kind: Callable[[Path], None]) -> None:
    """Its owner may be another user than root, which also reads everybody's certificates."""
    site.users.unlink()
    kind(site.users)
    site.mailworker.await_line(r'\[error\] .*".*/users" is not a regular file, the users stay as they were')
    assert site.log_in("anna", "secret") == b"a OK at the backend\r\n"
    assert f'"{site.users}" is not a regular file' in site.mailworker.run("-t").stderr.decode()
    site.users.unlink()
    site.write("anna:{PLAIN}back")
    site.mailworker.await_true(lambda: site.log_in("anna", "back").startswith(b"a OK"), "the file's return")


def test_a_reader_that_is_killed_is_replaced_and_goes_with_its_master(site: Site) -> None:
    site.mailworker.alerts.append("file reader .* has ended")
    site.mailworker.await_true(lambda: site.reader() is not None, "the reader")
    first = site.reader()
    assert first is not None
    first.kill()
    site.mailworker.await_line("file reader .* has ended")
    site.mailworker.await_true(lambda: site.reader() not in (None, first), "another reader")
    site.write("anna:{PLAIN}later")
    site.mailworker.await_true(lambda: site.log_in("anna", "later").startswith(b"a OK"), "the change")
    second = site.reader()
    assert second is not None
    site.mailworker.signal(signal.SIGKILL)
    site.mailworker.alerts.append("master process is gone")
    site.mailworker.await_true(lambda: has_ended(second.pid), "the reader's end")


def test_news_reach_a_worker_whose_descriptors_are_used_up(site: Site) -> None:
    """A message without its descriptors was lost for good, so whoever opened enough connections kept old passwords."""
    mailworker = site.mailworker
    mailworker.configure(site.configuration("worker_sandbox on; worker_rlimit_nofile 40;", workers=1))
    mailworker.signal(signal.SIGHUP)
    mailworker.await_true(lambda: len(mailworker.workers()) == 1, "the only worker")
    refused = r"accept4\(\) failed \(24: Too many open files\)"
    with ExitStack() as clients:
        for number in takewhile(lambda _: not mailworker.lines(refused), range(1, 40)):
            clients.enter_context(closing(socket.create_connection(("127.0.0.1", site.port))))
            mailworker.await_line(f"connected to|{refused}", number)
        assert mailworker.lines(refused)
        site.write("anna:{PLAIN}changed")
        mailworker.await_line(r'\[notice\] .*: user file ".*" has changed, 1 user$')
        mailworker.error_log.rename(mailworker.error_log.with_suffix(".1"))
        mailworker.signal(signal.SIGUSR1)
        mailworker.await_true(mailworker.error_log.exists, "the new log")
    assert site.log_in("anna", "secret") == WRONG
    assert site.log_in("anna", "changed") == b"a OK at the backend\r\n"
    mailworker.await_line('client logged in, .* login: "anna"')


def test_news_reach_a_master_whose_descriptors_are_used_up(site: Site) -> None:
    master = site.mailworker.pid
    used = {int(path.name) for path in Path(f"/proc/{master}/fd").iterdir()}
    before = resource.prlimit(master, resource.RLIMIT_NOFILE)
    resource.prlimit(master, resource.RLIMIT_NOFILE, (next(n for n in count() if n not in used), before[1]))
    site.write("anna:{PLAIN}changed")
    site.mailworker.await_line(r'\[notice\] .*: user file ".*" has changed, 1 user$')
    resource.prlimit(master, resource.RLIMIT_NOFILE, before)
    assert site.log_in("anna", "changed") == b"a OK at the backend\r\n"


def test_a_reload_reads_the_file_and_tells_of_its_broken_lines(site: Site) -> None:
    site.users.write_text(f"broken:{{HMAC}}x\nberta:{{PLAIN}}b::::::{site.backend}\n")
    site.mailworker.signal(signal.SIGHUP)
    site.mailworker.await_true(lambda: site.log_in("berta", "b").startswith(b"a OK"), "the reload")
    assert site.mailworker.lines(r"\[error\] .*unknown password scheme .HMAC. in .*/users:1$")


def test_a_worker_of_a_former_cycle_is_not_troubled_by_files_of_the_next_one(site: Site) -> None:
    workers = site.mailworker.await_workers(2)
    client = Peer.connect(("127.0.0.1", site.port))
    client.expect(GREETING)
    site.users = site.users.with_name("others")
    site.write("berta:{PLAIN}b")
    site.mailworker.configure(site.configuration())
    site.mailworker.signal(signal.SIGHUP)
    site.mailworker.await_true(lambda: site.log_in("berta", "b").startswith(b"a OK"), "the reload")
    site.write("carla:{PLAIN}c")
    site.mailworker.await_true(lambda: site.log_in("carla", "c").startswith(b"a OK"), "the change")
    client.talk((b"a LOGIN anna secret\r\n", b"a OK at the backend\r\n"))
    client.close()
    site.mailworker.await_line("exited with code 0", 2)
    assert not set(site.mailworker.await_workers(2)) & set(workers)


def test_a_single_process_reads_its_users_again_too(
    install: Install, folder: Path, port: int, backend: ScriptedServer
) -> None:
    site = Site(install, folder, port, backend)
    site.mailworker.configure(site.configuration("master_process off;"))
    site.mailworker.start()
    site.mailworker.await_true(lambda: site.reader() is not None, "the reader")
    assert site.log_in("anna", "secret") == b"a OK at the backend\r\n"
    site.write("berta:{PLAIN}new")
    site.mailworker.await_true(lambda: site.log_in("berta", "new").startswith(b"a OK"), "the new user")
    assert site.log_in("anna", "secret") == WRONG
    former = site.reader()
    assert former is not None
    site.mailworker.signal(signal.SIGHUP)
    site.mailworker.await_true(lambda: not psutil.pid_exists(former.pid), "the former reader is no zombie")


def test_a_test_of_the_configuration_tells_what_is_wrong_with_the_file(
    install: Install, folder: Path, port: int, backend: ScriptedServer
) -> None:
    site = Site(install, folder, port, backend)
    site.users.write_text("anna:{PLAIN}secret\nberta:{HMAC}x\ncarla:$2y$12$" + "a" * 53 + "\n")
    site.users.chmod(0o644)
    tested = site.mailworker.run("-t")
    assert tested.returncode == 0
    text = tested.stderr.decode()
    assert f'[error] unknown password scheme "HMAC" in {site.users}:2' in text
    assert "[warn] password by BLF-CRYPT with cost 12 takes " in text
    assert f"to check: logins with it fail in {site.users}:3" in text
    assert f'[warn] user file "{site.users}" is open to others than its owner (mode 0644)' in text
    assert "secret" not in text
    site.users.unlink()
    tested = site.mailworker.run("-t")
    assert tested.returncode == 1
    assert f'[emerg] open() "{site.users}" failed (2: No such file or directory)' in tested.stderr.decode()


@pytest.mark.parametrize("called", [True, False])
def test_a_process_that_is_called_does_not_look_for_messages(called: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A master that looked was woken up twice a second."""

    def live(link: socket.socket, _cycle: Cycle) -> int:
        close_all_but(link.fileno())
        return len(link.recv(1))

    monkeypatch.setattr("mailworker.process.file_watch._run_child", live)
    timers, links, users = list[float](), list[socket.socket](), UserFiles()
    users.users["users"] = Mock()
    cycle = Cycle(configuration(), (), RecordedLog().log)
    cycle.watched = WatchedFiles(users, CertificateFolders())

    watch = FileWatch(
        lambda _timed, seconds: timers.append(seconds), lambda found: None, links.append if called else None
    )
    watch.follow(cycle)
    watch.receive()
    assert timers == ([] if called else [0.5, 0.5])
    assert links == ([watch._link] if called else [])
    child, link = watch._pid, watch._link
    watch.leave()
    assert link is not None
    assert link.fileno() < 0
    watch.close()
    watch.receive()
    watch.expire()
    assert len(timers) == (0 if called else 2)
    with suppress(ChildProcessError):
        os.waitpid(child, 0)


def test_a_reader_that_ends_again_and_again_is_replaced_later_and_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was killed once a month was missing for a minute in the end; where fork() failed, the log filled up."""
    now, timers, log, users = [1000.0], list[float](), RecordedLog(), UserFiles()
    monkeypatch.setattr("mailworker.process.file_watch.monotonic", lambda: now[0])
    monkeypatch.setattr("os.fork", Mock(side_effect=OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))))
    users.users["users"] = Mock()
    cycle = Cycle(configuration(), (), log.log)
    cycle.watched = WatchedFiles(users, CertificateFolders())
    watch = FileWatch(lambda _timed, seconds: timers.append(seconds), lambda found: None)
    watch.follow(cycle)
    for _ in range(7):
        watch.expire()
    assert timers == [1, 2, 4, 8, 16, 32, 60, 60]

    monkeypatch.setattr("os.fork", lambda: 1 << 30)  # a child that nobody has, so its end of the link is closed
    watch.expire()
    now[0] += 61
    watch.receive()
    assert timers[-2:] == [0.5, 1]
    watch.follow(Cycle(configuration(), (), log.log))  # a reload, after which no files are watched
    watch.expire()
    assert len(timers) == 10


@pytest.mark.parametrize("error", [OSError(errno.ENOMEM, ""), MemoryError()])
def test_what_there_is_no_memory_for_is_read_again_by_another_reader(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All workers kept the former users and certificates until the files changed again."""

    def tell(link: socket.socket, _cycle: Cycle) -> int:
        descriptor = seal("users", b"")
        socket.send_fds(link, [FileUpdate(USERS, "users", descriptor).message], [descriptor])
        return 0

    def lack(_watched: WatchedFiles, update: FileUpdate) -> str:
        os.close(update.descriptor)
        if adopting:
            raise error
        return ""

    monkeypatch.setattr("mailworker.process.file_watch._run_child", tell)
    monkeypatch.setattr(WatchedFiles, "adopt", lack)
    adopting, before = [True], foreign_descriptors({})
    log, timers, handed, users = RecordedLog(), list[float](), list[FileUpdate](), UserFiles()
    users.users["users"] = Mock()
    cycle = Cycle(configuration(), (), log.log)
    cycle.watched = WatchedFiles(users, CertificateFolders())
    watch = FileWatch(lambda _timed, seconds: timers.append(seconds), handed.append, lambda link: None)
    watch.follow(cycle)
    child = watch._pid
    os.waitpid(child, 0)  # so its message is there
    watch.receive()
    text = f"a message of file reader {child} could not be taken (12: Cannot allocate memory)"
    assert (log.lines, timers) == ([f"[alert] {text}"], [1.0])
    adopting.clear()
    watch.expire()
    os.waitpid(watch._pid, 0)
    watch.receive()
    (update,) = handed
    os.close(update.descriptor)
    watch.close()
    assert foreign_descriptors({}) == before
