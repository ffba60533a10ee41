"""-t, -T, -q and -s on the real binary."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.process.conftest import Install
from tests.support.certificates import self_signed
from tests.support.patience import PATIENCE
from tests.support.process import Mailworker, configuration


def test_a_good_configuration_passes(install: Install, port: int, folder: Path) -> None:
    mailworker = install(configuration(port))
    tested = mailworker.run("-t")
    path = folder / "conf" / "mailworker.conf"
    assert tested.returncode == 0
    assert tested.stdout == b""
    assert tested.stderr.decode() == (
        f"mailworker: the configuration file {path} syntax is ok\n"
        f"mailworker: configuration file {path} test is successful\n"
    )
    assert mailworker.pid_file.read_bytes() == b""


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("events {", ['[emerg] unexpected end of file, expecting "}" in {path}:1']),
        ("include /;", ['[crit] pread() "/" failed (21: Is a directory)']),
        ("mail {}", ["the configuration file {path} syntax is ok", '[emerg] no "events" section in configuration']),
        (
            "events {} error_log missing/error.log;",
            [
                "the configuration file {path} syntax is ok",
                '[emerg] open() "{folder}/missing/error.log" failed (2: No such file or directory)',
            ],
        ),
        (
            "events {} mail { auth_http 127.0.0.1; server { listen 192.0.2.1:143; } }",
            [
                "the configuration file {path} syntax is ok",
                "[emerg] bind() to 192.0.2.1:143 failed (99: Cannot assign requested address)",
            ],
        ),
    ],
)
def test_a_bad_configuration_fails(install: Install, folder: Path, text: str, messages: list[str]) -> None:
    tested = install(text).run("-t")
    path = folder / "conf" / "mailworker.conf"
    expected = [message.replace("{path}", str(path)).replace("{folder}", str(folder)) for message in messages]
    expected.append(f"configuration file {path} test failed")
    assert tested.returncode == 1
    assert tested.stderr.decode() == "".join(f"mailworker: {message}\n" for message in expected)


@pytest.mark.parametrize(
    ("text", "directive"),
    [
        (b"\xef\xbb\xbfevents {}", rb"\xEF\xBB\xBFevents"),
        (b"\xe9 x;", rb"\xE9"),
        (b"user\xc2\xa0a;", rb"user\xC2\xA0a"),
    ],
)
def test_bytes_that_nobody_sees_are_shown_on_stderr_and_in_the_log(
    install: Install, text: bytes, directive: bytes
) -> None:
    mailworker = install("")
    (mailworker.folder / "conf" / "mailworker.conf").write_bytes(text)
    tested = mailworker.run("-t")
    assert b'mailworker: [emerg] unknown directive "%s" in ' % directive in tested.stderr
    assert b'unknown directive "%s" in ' % directive in mailworker.error_log.read_bytes()


def test_files_for_tls_are_loaded_before_auth_http_is_missed(install: Install) -> None:
    server = "listen 127.0.0.1:1 ssl; protocol imap; ssl_certificate gone.crt; ssl_certificate_key gone.key;"
    tested = install(f"events {{}} mail {{ server {{ {server} }} }}").run("-t")
    assert re.match(rb'mailworker: \[emerg\] cannot load certificate "/.*/conf/gone\.crt": BIO_new_file', tested.stderr)


def test_a_test_passes_beside_a_running_master_and_leaves_it_alone(running: Mailworker) -> None:
    pid = running.pid
    assert running.run("-tq").returncode == 0
    assert running.pid == pid
    assert not running.lines("Address already in use")


def test_an_address_that_others_use_does_not_fail_a_test(install: Install) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        tested = install(configuration(occupied.getsockname()[1])).run("-t")
    assert tested.returncode == 0


def test_q_leaves_out_that_all_is_well(install: Install, port: int) -> None:
    tested = install(configuration(port)).run("-tq")
    assert (tested.returncode, tested.stdout, tested.stderr) == (0, b"", b"")


def test_a_dump_that_stdout_does_not_take_fails(install: Install, port: int) -> None:
    command = install(configuration(port)).command("-Tq")
    with Path("/dev/full").open("wb") as full:
        tested = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=PATIENCE, check=False)
    assert tested.returncode == 1
    assert tested.stderr == b"mailworker: [emerg] write() to stdout failed (28: No space left on device)\n"


def test_dump_prints_each_file_once(install: Install, folder: Path) -> None:
    mailworker = install("include part.conf; include part.conf;\nevents {}\n")
    part = folder / "conf" / "part.conf"
    part.write_bytes(b"env A=\xff;")
    dumped = mailworker.run("-Tq")
    assert dumped.returncode == 0
    assert dumped.stdout == (
        b"# configuration file %s/conf/mailworker.conf:\ninclude part.conf; include part.conf;\nevents {}\n\n"
        b"# configuration file %s:\nenv A=\xff;\n" % (bytes(folder), bytes(part))
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r'\[error\] open\(\) ".*/logs/mailworker.pid" failed \(2: No such file or directory\)'),
        ("", r'\[error\] invalid PID number "" in ".*/logs/mailworker.pid"'),
        ("12x\n", r'\[error\] invalid PID number "12x" in ".*/logs/mailworker.pid"'),
        ("99999999\n", r"\[alert\] kill\(99999999, 15\) failed \(3: No such process\)"),
    ],
)
def test_a_signal_that_reaches_nobody_fails(install: Install, port: int, content: str | None, message: str) -> None:
    mailworker = install(configuration(port))
    mailworker.alerts.append("kill")
    if content is not None:
        mailworker.pid_file.write_text(content)
    signalled = mailworker.run("-s", "stop")
    assert signalled.returncode == 1
    assert re.fullmatch(f"mailworker: {message}\n", signalled.stderr.decode())


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("stop", r"signal 15 \(SIGTERM\) received from \d+, exiting$"),
        ("quit", r"signal 3 \(SIGQUIT\) received from \d+, shutting down$"),
        ("reopen", r"signal 10 \(SIGUSR1\) received from \d+, reopening logs$"),
        ("reload", r"signal 1 \(SIGHUP\) received from \d+, reconfiguring$"),
    ],
)
def test_s_sends_the_signal_of_its_name(running: Mailworker, name: str, line: str) -> None:
    assert running.run("-s", name).returncode == 0
    running.await_line(line)


def test_doubts_about_a_certificate_are_told_and_do_not_fail_the_test(
    install: Install, port: int, folder: Path
) -> None:
    certificate = self_signed(folder, "mail", "/CN=mail.example")
    certificate.key.chmod(0o644)
    server = f"starttls on; ssl_certificate {certificate.certificate}; ssl_certificate_key {certificate.key};"
    tested = install(configuration(port, server=server)).run("-tq")
    warnings = tested.stderr.decode().splitlines()
    assert tested.returncode == 0
    assert f'mailworker: [warn] certificate "{certificate.certificate}" has no subject alternative name' in warnings
    assert warnings[-1].startswith(f'mailworker: [warn] certificate key "{certificate.key}" is open to others')


def test_only_a_test_loads_the_libraries_that_read_certificates() -> None:
    script = "import sys; import mailworker.cli; print(sorted({'cryptography', 'OpenSSL'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout == b"[]\n"
