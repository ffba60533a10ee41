"""The real binary and its control socket."""

from __future__ import annotations

import errno
import json
import os
import pwd
import random
import signal
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest

from mailworker.status.control_server import MOST
from tests.process.steered import Steered
from tests.support.backend import ScriptedServer, conversation
from tests.support.certificates import CertificateAuthority, ecdsa_key
from tests.support.daemon import wait_until
from tests.support.patience import PATIENCE
from tests.support.ports import Ports
from tests.support.process import GREETING, configuration, greeting, has_ended

Start = Callable[..., Steered]


@pytest.fixture
def start(folder: Path, port: int) -> Iterator[Start]:
    steered = Steered(folder)

    def start(main: str = "", control: str = "", **blocks: str) -> Steered:
        text = f"worker_processes 2; {control or steered.block} {main}"
        steered.serve(configuration(port, main=text, **blocks), workers=2)
        return steered

    yield start
    steered.stop()


def answers(steered: Steered) -> bool:
    with suppress(OSError, ValueError):
        return bool(steered.last("shutdown-status")["ok"])
    return False


def test_it_is_there_without_a_status_block_and_counts_nothing(start: Start, port: int) -> None:
    steered = start("worker_sandbox on;")
    steered.await_true(lambda: pids(steered) == {*steered.await_workers(2)}, "its workers")
    found = steered.last("shutdown-status")["shutdown"]
    assert found["stopping"] is False
    assert [(each["worker"], each["leaving"]) for each in found["workers"]] == [(0, False), (1, False)]
    assert greeting(port) == GREETING
    process = steered.await_status_process()
    assert process.uids() == psutil.Process(steered.await_workers(2)[0]).uids()
    assert process.memory_full_info().pss < 40 << 20
    assert process.num_threads() == 1


def test_the_socket_is_roots_alone_and_goes_with_the_master(start: Start) -> None:
    steered = start()
    state = steered.path.stat()
    assert (stat.S_IMODE(state.st_mode), state.st_uid) == (0o600, os.geteuid())
    assert stat.S_IMODE(Path(f"{steered.path}.ro").stat().st_mode) == 0o666
    steered.signal(signal.SIGQUIT)
    assert steered.await_exit() == 0
    assert not steered.path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_others_cannot_come_in_but_where_they_may(start: Start) -> None:
    steered = start()
    for path, error in ((str(steered.path), errno.EACCES), (f"{steered.path}.ro", 0)):
        child = os.fork()
        if child == 0:
            os.setuid(pwd.getpwnam("nobody").pw_uid)
            os._exit(socket.socket(socket.AF_UNIX).connect_ex(path))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == error


@pytest.mark.parametrize("folder_mode", [0o777, 0o1777, 0o775])
def test_a_folder_that_others_can_write_is_refused(start: Start, folder_mode: int) -> None:
    steered = start()
    (steered.folder / "open").mkdir()
    (steered.folder / "open").chmod(folder_mode)
    text = (steered.folder / "conf" / "mailworker.conf").read_text()
    steered.configure(text.replace(f"listen unix:{steered.path};", f"listen unix:{steered.folder}/open/c.sock;"))
    tested = steered.run("-t")
    assert tested.returncode == 1
    assert b"which other users can write to" in tested.stderr
    answer = steered.last("reload")
    assert answer["ok"] is False
    assert "which other users can write to" in answer["reload"]["error"]
    assert steered.last("shutdown-status")["ok"]


def test_a_reload_is_waited_for_and_told_of(start: Start) -> None:
    steered = start()
    former = steered.await_workers(2)
    ran = steered.ctl("reload")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("configuration 2, last read at ")
    steered.await_workers(2, without=former)
    steered.await_line(r"\[notice\] .* control: uid \d+ reloads$")
    text = (steered.folder / "conf" / "mailworker.conf").read_text()
    steered.configure("nonsense;\n" + text)
    ran = steered.ctl("reload")
    assert ran.returncode == 1
    assert f'unknown directive "nonsense" in {steered.folder}/conf/mailworker.conf:1' in ran.stdout
    assert 'unknown directive "nonsense"' in steered.ctl("reload-status").stdout
    steered.configure(text)
    assert steered.ctl("reload").returncode == 0
    assert steered.last("reload-status")["reload"]["generation"] == 3


def test_no_request_is_refused_over_reloads(start: Start) -> None:
    steered = start()
    for number in range(3):
        assert steered.last("reload")["reload"]["generation"] == number + 2
        for _ in range(20):
            assert steered.ctl("shutdown-status").returncode == 0 if number == 0 else answers(steered)
    steered.await_true(lambda: len(steered.status_processes()) == 1, "the end of the former ones")


def test_a_reload_can_bring_and_take_away_sockets(start: Start) -> None:
    steered = start()
    text = (steered.folder / "conf" / "mailworker.conf").read_text()
    other = steered.path.with_name("other")
    steered.configure(text.replace(f"listen unix:{steered.path}.ro mode=0666 readonly;", f"listen unix:{other};"))
    assert steered.last("reload")["ok"]
    assert steered.ask("shutdown-status", other)[-1]["ok"]
    assert not Path(f"{steered.path}.ro").exists()
    steered.configure(text.replace(steered.block, ""))
    assert steered.last("reload")["ok"]
    steered.await_true(lambda: not steered.status_processes(), "the end of the status process")
    assert not steered.path.exists()


def test_the_level_of_the_log_is_set_in_all_processes_until_a_reload(start: Start, port: int) -> None:
    steered = start(mail="pop3_auth plain;")
    assert steered.ctl("log-level").stdout == "info\n"
    assert steered.ctl("log-level", "debug").stdout == "debug\n"
    assert steered.ctl("log-level", "error").stdout == "error\n"
    for worker in steered.await_workers(2):  # a successor has the level, too
        steered.alerts.append(f"worker process {worker} exited on signal 9")
        os.kill(worker, signal.SIGKILL)
        steered.await_workers(2, without=(worker,))
        assert steered.last("log-level")["level"] == "error"
    before = len(steered.lines("client"))
    for _ in range(6):
        assert greeting(port) == GREETING
    assert len(steered.lines("client")) == before
    assert steered.ctl("log-level", "default").stdout == "info\n"
    steered.await_true(lambda: bool(greeting(port)) and len(steered.lines("connected to")) > before, "lines as before")
    before = len(steered.lines("client"))
    assert steered.ctl("log-level", "error").stdout == "error\n"
    assert steered.last("reload")["ok"]
    assert steered.last("log-level")["level"] == "info"
    steered.await_true(lambda: bool(greeting(port)) and len(steered.lines("client")) > before, "lines as before")
    assert steered.ctl("log-level", "default").stdout == "info\n"
    said = [line.partition("log to ")[2] for line in steered.lines("control: uid .* level of the error log to")]
    assert said == ["debug", "error", "the configured one", "error", "the configured one"]


def test_a_readonly_socket_changes_nothing(start: Start) -> None:
    steered = start()
    path = Path(f"{steered.path}.ro")
    for command, keys in (("reload", {}), ("kick", {"all": True}), ("log-level", {"level": "debug"})):
        assert steered.ask(command, path, **keys) == [{"error": "this socket is read-only"}]
    assert steered.ask("log-level", path) == [{"ok": True, "level": "info"}]
    assert steered.ask("reload-status", path)[-1]["reload"]["generation"] == 1
    assert not steered.lines("control: ")


def test_requests_that_are_none_are_refused(start: Start) -> None:
    steered = start()
    assert steered.last("kick")["error"].startswith('"kick" needs a selector')
    assert steered.last("kick", usr="bob")["error"] == 'unknown key "usr"'
    assert steered.last("exec")["error"] == 'unknown command "exec"'
    assert steered.ctl("kick").returncode == 2


def test_certificates_are_listed_with_those_of_folders(start: Start, folder: Path, port: int, ports: Ports) -> None:
    authority = CertificateAuthority(folder)
    one = authority.issue_server("one", ecdsa_key(), ("one.example", "alias.example"))
    (folder / "live" / "two.example").mkdir(parents=True)
    two = authority.issue_server("two", ecdsa_key(), ("two.example",))
    (folder / "live" / "two.example" / "fullchain.pem").write_bytes(two.certificate.read_bytes())
    (folder / "live" / "two.example" / "privkey.pem").write_bytes(two.key.read_bytes())
    server = (
        f"listen 127.0.0.1:{ports['tls']} ssl; ssl_certificate {one.certificate}; ssl_certificate_key {one.key};"
        f"ssl_certificate_directory {folder}/live;"
    )
    steered = start("worker_sandbox on;", server=server)
    *found, last = (line.get("certificate") for line in steered.ask("certificates"))
    assert last is None
    assert [(each["server"], each["names"], each["path"]) for each in found] == [
        (f"127.0.0.1:{port}", ["one.example", "alias.example"], str(one.certificate)),
        (None, ["two.example"], f"{folder}/live/two.example/fullchain.pem"),
    ]
    assert all(each["days"] >= 0 and each["ends"] > time.time() for each in found)
    (folder / "live" / "three.example").mkdir()
    three = authority.issue_server("three", ecdsa_key(), ("three.example",))
    (folder / "live" / "three.example" / "privkey.pem").write_bytes(three.key.read_bytes())
    (folder / "live" / "three.example" / "fullchain.pem").write_bytes(three.certificate.read_bytes())
    steered.await_true(lambda: "three.example" in steered.ctl("certificates").stdout, "what has come meanwhile")
    (folder / "live" / "two.example" / "fullchain.pem").write_bytes(one.certificate.read_bytes())
    (folder / "live" / "four.pem").symlink_to("nowhere")
    steered.await_true(lambda: "does not exist" in steered.ctl("certificates").stdout, "what is wrong now")
    steered.await_true(lambda: "without its key" in steered.ctl("certificates").stdout, "what else is wrong now")
    found = [line.get("certificate") for line in steered.ask("certificates")]
    faults = {each["path"].removeprefix(f"{folder}/live/"): each.get("fault") for each in found[1:-1]}
    assert faults == {
        "two.example/fullchain.pem": "is a certificate without its key",
        "two.example/privkey.pem": "is the key of no certificate beside it",
        "three.example/fullchain.pem": None,
        "four.pem": "is a link to a file that does not exist",
    }


def test_a_backend_is_probed_behind_the_fence(start: Start, ports: Ports) -> None:
    hello = conversation(b"220 hi\r\n", b"250 me\r\n", b"250 ok\r\n", b"554 5.7.1 Relay access denied\r\n")
    server = ScriptedServer(hello)
    try:
        own = f"protocol smtp; proxy_pass {server.address};"
        smtp = f"server {{ listen 127.0.0.1:{ports['smtp']}; status_zone one; {own} }}"
        smtp += f"server {{ listen 127.0.0.1:{ports['other']}; {own} }}"
        steered = start("worker_sandbox on;", mail=smtp)
        ran = steered.ctl("probe-relay")
        said = f"{server.address} refuses as the proxy: RCPT TO:<probe@example.org> -> 554 5.7.1 Relay access denied"
        names = "one", f"127.0.0.1:{ports['other']}"
        assert (ran.returncode, ran.stdout.splitlines()) == (0, [f"server {name}: {said}" for name in names])
        server.script = conversation(b"220 hi\r\n", b"250 me\r\n", b"250 ok\r\n", b"250 ok\r\n")
        ran = steered.ctl("probe-relay", str(server.address), "--to", "a@b.example", "--json")
        assert ran.returncode == 1
        assert json.loads(ran.stdout)["verdict"] == "relays"
        steered.await_line(r"\[notice\] .* control: uid \d+ probes whether a backend relays", 2)
        for key, word, refused in (
            ("upstream", "name.example:25", '"name.example:25" is not an address'),
            ("upstream", "1.2.3.4", 'no port in "1.2.3.4"'),
            ("to", "a>b", '"a>b" is not a mail address'),
            ("server", "none", "there is no such SMTP server"),
        ):
            assert steered.last("probe-relay", **{key: word}) == {"error": refused}
    finally:
        server.stop()


def test_garbage_crowds_and_slow_readers_are_nothing_to_mail(start: Start, port: int) -> None:
    steered = start()
    with ExitStack() as clients:
        for number in range(10 * MOST):  # half as many as there may be connections read nothing of a long answer
            client = clients.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(steered.path))
            client.settimeout(PATIENCE)
            with suppress(ConnectionError):
                client.sendall(random.Random(number).randbytes(5000) if number % 20 else b'{"cmd":"help"}\n' * 500)
        assert greeting(port) == GREETING
        assert steered.last("shutdown-status")["ok"]
    process = steered.await_status_process()
    assert process.memory_full_info().pss < 40 << 20
    assert greeting(port) == GREETING


def test_it_answers_until_the_last_session_has_ended(start: Start, port: int) -> None:
    steered = start()
    with socket.create_connection(("127.0.0.1", port)) as held:
        assert held.recv(100) == GREETING
        steered.signal(signal.SIGQUIT)
        steered.await_true(lambda: steered.last("shutdown-status")["shutdown"]["stopping"], "the shutdown")
        steered.await_true(lambda: len(steered.last("shutdown-status")["shutdown"]["workers"]) == 1, "one worker")
        assert steered.last("reload")["error"] == "the master is shutting down"
        assert steered.ctl("shutdown-status").stdout.startswith("shutting down\n")
    assert steered.await_exit() == 0


def pids(steered: Steered) -> set[int]:
    with suppress(OSError, ValueError, KeyError):
        return {worker["pid"] for worker in steered.last("shutdown-status")["shutdown"]["workers"]}
    return set()


def test_a_new_binary_takes_the_socket_and_a_rollback_gives_it_back(start: Start) -> None:
    steered = start()
    old, new = steered.upgrade()
    steered.await_true(lambda: pids(steered) == {each.pid for each in steered.workers(new)}, "answers of the new one")
    refused = steered.last("reload")["error"]
    assert refused == "another master runs beside this one: end one of them first"
    os.kill(new, signal.SIGTERM)
    wait_until(lambda: not psutil.pid_exists(new), "its end")
    steered.await_true(lambda: not steered.old_pid_file.exists(), "the old one's return")
    steered.await_true(lambda: pids(steered) == {each.pid for each in steered.workers(old)}, "answers of the old one")
    assert steered.last("reload")["ok"]
    old, new = steered.upgrade()
    steered.await_true(lambda: pids(steered) == {each.pid for each in steered.workers(new)}, "answers of the new one")
    os.kill(old, signal.SIGQUIT)
    wait_until(lambda: has_ended(old), "its end")
    assert steered.last("reload")["ok"]
    assert steered.path.exists()


def test_a_killed_status_process_is_replaced_and_answers(start: Start) -> None:
    steered = start()
    steered.alerts.append("status process .* exited on signal 9$")
    process = steered.await_status_process()
    process.kill()
    steered.await_true(lambda: answers(steered), "an answer of its successor")
    assert steered.last("reload")["ok"]
