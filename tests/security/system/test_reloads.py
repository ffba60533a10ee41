"""Row 57: a configuration that is wrong in any way leaves the one that serves in place, and is told."""

from __future__ import annotations

import re
import signal
import socket
from functools import partial
from pathlib import Path

import psutil

from tests.process.conftest import Install
from tests.support.process import GREETING, Mailworker, configuration, greeting


def broken(port: int, busy: int, folder: Path) -> dict[str, str]:
    """Texts of configurations and what the log says of each."""

    def with_server(directives: str) -> str:
        return configuration(port, server=directives)

    good = configuration(port)
    tls = f"ssl_certificate {folder}/no.crt; ssl_certificate_key {folder}/no.key;"
    (folder / "rubbish").write_bytes(b"\0rubbish")
    rubbish = folder / "rubbish"
    return {
        "": 'no "events" section in configuration',
        "\0\xff": "unexpected end of file",
        good + "}": 'unexpected "}"',
        good.rstrip().removesuffix("}"): 'unexpected end of file, expecting "}"',
        configuration(port, events=";"): 'unexpected ";"',
        good + "worker_processes two;": '"worker_processes" directive invalid value',
        good + "no_such_directive on;": 'unknown directive "no_such_directive"',
        good + "include missing/*x/y.conf; include missing.conf;": r'open\(\) ".*missing.conf" failed \(2: ',
        good + 'error_log "unterminated;': 'unexpected end of file, expecting ";"',
        good + "error_log logs/missing/error.log;": r'open\(\) ".*/logs/missing/error.log" failed \(2: ',
        with_server("listen 70000;"): 'invalid port in "70000"',
        with_server("listen 300.1.1.1:25;"): 'host not found in "300.1.1.1:25"',
        with_server(f"listen 127.0.0.1:{port};"): "duplicate",
        with_server(f"listen 127.0.0.1:{busy};"): "still could not bind",
        with_server("protocol http;"): 'unknown protocol "http"',
        with_server("timeout soon;"): '"timeout" directive invalid value',
        with_server("imap_auth magic;"): 'invalid value "magic"',
        with_server(f"listen 127.0.0.1:{busy} ssl;"): '"ssl_certificate" is (not )?defined',
        with_server(f"starttls on; {tls}"): 'cannot load certificate ".*no.crt"',
        with_server(
            f"starttls on; ssl_certificate {rubbish}; ssl_certificate_key {rubbish};"
        ): "cannot load certificate",
        with_server(f"starttls on; ssl_ciphers NONSENSE; {tls}"): "cannot load certificate|no cipher match",
        with_server("ssl_session_cache shared:SSL:1;"): 'session cache "',
    }


def tells(mailworker: Mailworker, before: int, said: str) -> bool:
    """Whether the log has said it behind its first `before` lines of that kind."""
    return any(re.search(said, line) for line in mailworker.lines(r"\[emerg\]")[before:])


def test_twenty_wrong_configurations_change_nothing(install: Install, port: int, folder: Path) -> None:
    mailworker = install(configuration(port))
    mailworker.start()
    workers = mailworker.await_workers(1)
    master, descriptors = psutil.Process(mailworker.pid), 0
    with socket.create_server(("127.0.0.1", 0)) as busy, socket.create_connection(("127.0.0.1", port), 20) as client:
        assert client.recv(100) == GREETING
        texts = broken(port, busy.getsockname()[1], folder)
        assert len(texts) >= 20
        for text, said in texts.items():
            mailworker.configure(text)
            before = len(mailworker.lines(r"\[emerg\]"))
            mailworker.signal(signal.SIGHUP)
            mailworker.await_true(partial(tells, mailworker, before, said), said)
            assert mailworker.await_workers(1) == workers
            assert greeting(port) == GREETING
            descriptors = descriptors or master.num_fds()
            assert master.num_fds() == descriptors
        client.sendall(b"a NOOP\r\n")
        assert client.recv(100) == b"a OK completed\r\n"
    mailworker.configure(configuration(port))
    mailworker.signal(signal.SIGHUP)
    mailworker.await_workers(1, without=workers)
    assert greeting(port) == GREETING
