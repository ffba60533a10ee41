"""Every Python of this machine installs mailworker from its source archive and serves: `make smoke`.

In an environment of its own, mailworker is started, logs in a client by IMAPS and one by SMTP with STARTTLS, is
reloaded, logs them in again, and is stopped.
"""

from __future__ import annotations

import imaplib
import os
import re
import signal
import smtplib
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.long.pythons import Python, pyenv_folder, pythons
from tests.support.auth_service import AuthService
from tests.support.backend import ScriptedServer
from tests.support.certificates import CertificateAuthority, ecdsa_key
from tests.support.daemon import wait_until
from tests.support.mailbox import Account
from tests.support.patience import PATIENCE
from tests.support.peer import Peer
from tests.support.ports import Ports
from tests.support.process import written_pid

ROOT = Path(__file__).parents[2]
USER, PASSWORD = "user@example.com", "100% of it"
_FAULT = re.compile(r"\[(alert|emerg|crit|error)\]|Traceback")
_LITERAL = re.compile(rb"\{(\d+)\}\r\n\Z")
_SMTP_REPLIES = {
    b"EHLO": b"250-backend\r\n250 XCLIENT NAME ADDR LOGIN\r\n",
    b"XCLI": b"220 again\r\n",
    b"QUIT": b"221 2.0.0 bye\r\n",
}
_CONFIGURATION = """
    error_log logs/error.log info;
    worker_processes 2;
    events {{ }}
    mail {{
        server_name localhost;
        auth_http 127.0.0.1:{auth}/auth;
        ssl_certificate mail.crt;
        ssl_certificate_key mail.key;
        server {{ listen 127.0.0.1:{imap} ssl; protocol imap; }}
        server {{ listen 127.0.0.1:{smtp}; protocol smtp; starttls only; }}
    }}
"""


def main() -> int:
    """Tries as many at once as there are processors; returns the exit code."""
    with TemporaryDirectory(prefix="mailworker-smoke-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        archive = make_archive(folder)
        found = pythons(os.environ.get("PATH", os.defpath), pyenv_folder())
        folders = [folder / str(number) for number in range(len(found))]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            served = list(pool.map(_try, found, repeat(archive), folders))
    return 0 if all(served) else 1


def _try(python: Python, archive: Path, folder: Path) -> bool:
    begun = time.monotonic()
    try:
        program = install(python.program, archive, folder)
        installed = time.monotonic()
        serve(program, folder / "prefix")
    except subprocess.CalledProcessError as error:
        print(f"{python}: {error}\n{error.stdout}{error.stderr}", flush=True)
        return False
    except (OSError, AssertionError, imaplib.IMAP4.error, smtplib.SMTPException) as error:
        print(f"{python}: {error!r}\n{_log(folder / 'prefix')}", flush=True)
        return False
    now = time.monotonic()
    print(f"{python}: installed in {installed - begun:.0f} s, served in {now - installed:.0f} s", flush=True)
    return True


def make_archive(folder: Path) -> Path:
    """The source archive of this tree."""
    _run(sys.executable, "-m", "build", "--sdist", "--outdir", folder, ROOT)
    (archive,) = folder.glob("*.tar.gz")
    return archive


def install(python: Path, archive: Path, folder: Path) -> Path:
    """Makes a virtual environment in `folder` and installs into it; returns the program."""
    _run(python, "-m", "venv", folder)
    _run(folder / "bin" / "python", "-m", "pip", "install", "--disable-pip-version-check", archive)
    return folder / "bin" / "mailworker"


def serve(program: Path, prefix: Path) -> None:
    """Starts `program` in the background, logs in, reloads, logs in again and stops; raises where anything fails."""
    with _site(prefix) as (ports, trusting):
        command = (program, "-p", prefix)
        _run(*command, "-t")
        _run(*command)
        try:
            pid = _await_pid(prefix)
            _log_in(ports, trusting)
            os.kill(pid, signal.SIGHUP)
            wait_until(lambda: "gracefully shutting down" in _log(prefix), "a reload")
            _log_in(ports, trusting)
        finally:
            _run(*command, "-s", "quit")
            wait_until(lambda: written_pid(prefix / "logs" / "mailworker.pid") is None, "the end")
    assert not _FAULT.search(_log(prefix)), "the log tells of a fault"


@contextmanager
def _site(prefix: Path) -> Iterator[tuple[Ports, ssl.SSLContext]]:
    """The configuration, an auth service and backends; gives the ports and who trusts the certificate."""
    for name in ("conf", "logs"):
        (prefix / name).mkdir(parents=True)
    authority = CertificateAuthority(prefix)
    certificate = authority.issue_server("mail", ecdsa_key(), ("localhost", "127.0.0.1"))
    for path in (certificate.certificate, certificate.key):
        path.rename(prefix / "conf" / path.name)
    backends = {"imap": ScriptedServer(_imap), "smtp": ScriptedServer(_smtp)}
    service = AuthService([Account(USER, PASSWORD, prefix)])
    service.route("/auth", {name: (backend.address.host, backend.address.port) for name, backend in backends.items()})
    ports = Ports()
    text = _CONFIGURATION.format(auth=service.port, imap=ports["imap"], smtp=ports["smtp"])
    (prefix / "conf" / "mailworker.conf").write_text(text)
    try:
        yield ports, ssl.create_default_context(cafile=authority.path)
    finally:
        ports.close()
        service.stop()
        for backend in backends.values():
            backend.stop()


def _log_in(ports: Ports, trusting: ssl.SSLContext) -> None:
    with imaplib.IMAP4_SSL("localhost", ports["imap"], ssl_context=trusting, timeout=PATIENCE) as imap:
        imap.login(USER, PASSWORD)
        assert imap.noop()[0] == "OK"
    with smtplib.SMTP("localhost", ports["smtp"], "client.example.com", timeout=PATIENCE) as smtp:
        smtp.starttls(context=trusting)
        smtp.login(USER, PASSWORD)
        assert smtp.noop()[0] == 250


def _imap(peer: Peer) -> None:
    """A backend that says OK to everything."""
    peer.send(b"* OK backend\r\n")
    while line := peer.line():
        tag = line.partition(b" ")[0]
        while (literal := _LITERAL.search(line)) is not None:
            peer.send(b"+ go\r\n")
            peer.skip(int(literal[1]))
            line = peer.line()
        if line.upper().endswith(b" CAPABILITY\r\n"):  # imaplib of Python 3.14 asks after a login, too
            peer.send(b"* CAPABILITY IMAP4rev1\r\n")
        peer.send(tag + b" OK done\r\n")


def _smtp(peer: Peer) -> None:
    """A backend that knows XCLIENT, and says yes to everything."""
    peer.send(b"220 backend ESMTP\r\n")
    while line := peer.line():
        peer.send(_SMTP_REPLIES.get(line[:4].upper(), b"250 2.0.0 OK\r\n"))


def _await_pid(prefix: Path) -> int:
    wait_until(lambda: written_pid(prefix / "logs" / "mailworker.pid") is not None, "start")
    pid = written_pid(prefix / "logs" / "mailworker.pid")
    assert pid is not None
    return pid


def _log(prefix: Path) -> str:
    path = prefix / "logs" / "error.log"
    return path.read_text() if path.exists() else ""


def _run(*command: str | Path) -> None:
    """Raises CalledProcessError with what it said; no folder of ours is where a Python looks for modules."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    subprocess.run(command, env=environment, capture_output=True, text=True, check=True)


if __name__ == "__main__":
    sys.exit(main())
