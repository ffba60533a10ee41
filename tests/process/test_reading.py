"""A configuration that is read in a process of its own comes over whole, or is refused with the reason."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import psutil
import pytest

from mailworker.config.load import load
from mailworker.config.settings import Settings
from mailworker.errors import ConfigError, StartError, UnreadableError
from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.process import reading
from mailworker.process.invocation import Invocation
from mailworker.process.steps import at_once
from mailworker.process.user_files import UserFiles
from tests.support.recorded_log import RecordedLog

# The master has no threads, but pytest's workers have one more.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

INVOCATION = Invocation(("mailworker",), Path("/prefix"), Path("/prefix/conf/mailworker.conf"), None)

EXAMPLE = """
    error_log stderr info;
    events { worker_connections 100; debug_connection 192.0.2.1/24; }
    mail {
        auth_http localhost:80/path;
        auth_http_header X-Secret value;
        ssl_password_file password;
        ssl_session_cache shared:one:1m;
        resolver 127.0.0.1 valid=3s;
        set_real_ip_from 192.0.2.0/24;
        server { listen 127.0.0.1:10143; protocol imap; imap_capabilities A B; proxy_ssl on; }
        server { listen unix:socket; protocol smtp; proxy_protocol on; timeout 3; }
    }
"""


def read(
    invocation: Invocation = INVOCATION, log: RecordedLog | None = None, users: UserFiles | None = None
) -> Settings:
    children = set(psutil.Process().children())
    steps = reading.Reader(reading.read_configuration(invocation, users or UserFiles())).read(
        (log or RecordedLog()).log
    )
    try:
        while True:
            time.sleep(next(steps))
    except StopIteration as end:
        settings: Settings = end.value
        return settings
    finally:
        assert set(psutil.Process().children()) <= children  # nobody is left, not even as a zombie


def test_all_settings_come_over_as_they_were_read(tmp_path: Path) -> None:
    """Warnings come with them, and are logged by whoever asked."""
    path = tmp_path / "mailworker.conf"
    path.write_text(EXAMPLE)
    (tmp_path / "password").write_text("secret\n")
    log = RecordedLog()
    settings = read(Invocation(("mailworker",), tmp_path, path, None, "pid here;"), log)
    assert settings == load(path, protocols=PROTOCOLS, prefix=tmp_path, globals_="pid here;", error_log=None)
    assert log.lines == [f"[{level.name.lower()}] {text}" for level, text in settings.warnings] != []


@pytest.mark.parametrize("error", [ConfigError("no luck", "FILE:7"), UnreadableError("no file")], ids=repr)
def test_why_it_is_refused_comes_over(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("mailworker.process.invocation.load", fail)
    with pytest.raises(type(error)) as caught:
        read()
    assert str(caught.value) == str(error)


def test_a_reader_that_dies_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailworker.process.invocation.load", lambda *_, **__: os._exit(9))
    with pytest.raises(StartError, match=r"^process \d+ that reads the configuration has ended, reading a file$"):
        read()


@pytest.mark.parametrize(
    ("call", "number", "text"),
    [("fork", errno.EAGAIN, "11: Resource temporarily unavailable"), ("pipe", errno.EMFILE, "24: Too many open files")],
)
def test_a_reader_that_cannot_be_made_is_an_error(
    monkeypatch: pytest.MonkeyPatch, call: str, number: int, text: str
) -> None:
    def fail() -> None:
        raise OSError(number, "")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(StartError) as caught:
        read()
    assert str(caught.value) == f"{call}() failed while reading the configuration ({text})"


FOLDERS = "checking the folders of sockets and of the pid file"


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("mail { ssl_password_file fifo; }", "reading a file"),
        (
            "events { } mail { auth_http auth.example:80; server { listen 127.0.0.1:1; } }",
            'looking up "auth.example"',
        ),
        *(
            (f"pid pid; error_log stderr; events {{ }} mail {{ auth_http 127.0.0.1; {blocks} }}", FOLDERS)
            for blocks in (
                "server { listen unix:/slow/s; protocol imap; }",
                "} control { listen unix:/slow/s;",
                "} status { listen unix:/slow/s;",
            )
        ),
    ],
)
def test_what_cannot_be_read_in_time_is_refused_and_the_step_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, step: str
) -> None:
    os.mkfifo(tmp_path / "fifo")  # nobody will write to it
    path = tmp_path / "mailworker.conf"
    path.write_text(text)
    monkeypatch.setattr(reading, "DEADLINE", 0.2)
    monkeypatch.setattr(reading, "system_addresses", lambda host: time.sleep(60.0))
    monkeypatch.setattr("os.path.lexists", lambda path: time.sleep(60.0 if str(path) == "/slow/s" else 0.0))
    with pytest.raises(StartError) as caught:
        read(Invocation(("mailworker",), tmp_path, path, None))
    assert str(caught.value) == f"configuration could not be read within 0.2 seconds, {step}"


def test_a_file_of_users_that_has_not_changed_is_not_read_again(tmp_path: Path) -> None:
    """It was told of when it was read, and a million users take seconds."""
    users = tmp_path / "users"
    users.write_text("anna:{PLAIN}a\nbroken:{HMAC}x\n")
    users.chmod(0o600)
    path = tmp_path / "mailworker.conf"
    server = "server { listen 127.0.0.1:10143; protocol imap; }"
    path.write_text(f"events {{}} mail {{ auth_user_file users; proxy_pass 127.0.0.1:143; server_name x; {server} }}")
    invocation = Invocation(("mailworker",), tmp_path, path, None, "")
    log = RecordedLog()
    settings = read(invocation, log)
    assert log.lines == [f'[error] unknown password scheme "HMAC" in {users}:2']
    known = at_once(UserFiles.read([server.source for server in settings.servers], lambda *_: None))
    log = RecordedLog()
    read(invocation, log, known)
    assert log.lines == []
