"""A protocol is added by its own files and one row: nothing else of mailworker knows of it."""

from __future__ import annotations

import signal
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.auth import AuthService, accepted
from tests.support.backend import ScriptedServer, conversation, echo
from tests.support.certificates import self_signed
from tests.support.peer import Peer
from tests.support.ports import Ports
from tests.support.process import Mailworker

START = Path(__file__).with_name("toy_mailworker.py")


class ToyMailworker(Mailworker):
    """A master and its workers, started by a script of the test's own."""

    port = 0

    def command(self, *arguments: str) -> list[str]:
        return [self.interpreter, str(START), str(self.port), "-p", str(self.folder), *arguments]


class Site:
    """The mailworker of this test, what it asks, and where it sends clients; `configure` gives it a motto."""

    def __init__(self, folder: Path) -> None:
        self._ports = Ports()
        self.backend = ScriptedServer(conversation(b"HELLO backend\r\n", b"YES come in\r\n", then=echo))
        self.auth = AuthService(accepted(self.backend.address, (b"Auth-User", b"ann@example.com")))
        self._certificate = self_signed(folder, "server", "/CN=mail.example.com")
        self.mailworker = ToyMailworker(folder, self._text('"have fun"'))
        self.mailworker.port = self._ports["toy"]

    def configure(self, motto: str) -> None:
        self.mailworker.configure(self._text(motto))

    def connect(self, name: str = "toy") -> Peer:
        return Peer.connect(("127.0.0.1", self._ports[name]))

    def close(self) -> None:
        self.mailworker.stop()
        self.auth.stop()
        self.backend.stop()
        self._ports.close()

    def _text(self, motto: str) -> str:
        return f"""
            error_log logs/error.log info;
            events {{ }}
            mail {{
                auth_http {self.auth.address};
                ssl_certificate {self._certificate.certificate};
                ssl_certificate_key {self._certificate.key};
                server {{ listen 127.0.0.1:{self._ports["toy"]}; starttls on; toy_motto {motto}; }}
                server {{ listen 127.0.0.1:{self._ports["toys"]} ssl; protocol toy; }}
            }}
        """


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(path.stat().st_mode | 0o711)  # workers may be another user
    site = Site(tmp_path)
    yield site
    site.close()


def test_a_new_protocol_is_served_by_master_and_workers(site: Site) -> None:
    site.mailworker.start()
    site.mailworker.await_workers(1)
    client = site.connect()
    client.talk((b"", b"HELLO have fun\r\n"), (b"help\r\n", b"YES LOGIN QUIT STARTTLS\r\n"))
    client.talk((b"PLAY\r\n", b"NO such command\r\n"))
    client.talk((b"LOGIN ann secret\r\n", b"YES come in\r\n"), (b"across\r\n", b"across\r\n"))
    client.close()
    assert site.auth.header(b"Auth-Protocol") == b"toy"
    assert (site.auth.header(b"Auth-User"), site.auth.header(b"Client-Host")) == (b"ann", None)
    assert site.backend.heard() == b"LOGIN ann@example.com secret\r\nacross\r\n"
    assert site.mailworker.await_line('proxied session done.* login: "ann@example.com"')


def test_a_new_protocol_is_reloaded(site: Site) -> None:
    site.mailworker.start()
    (old,) = site.mailworker.await_workers(1)
    site.configure("again")
    site.mailworker.signal(signal.SIGHUP)
    site.mailworker.await_workers(1, without=[old])
    client = site.connect()
    client.talk((b"", b"HELLO again\r\n"), (b"QUIT\r\n", b"YES bye\r\n"))
    client.close()


def test_a_new_protocol_has_its_name_in_a_tls_handshake(site: Site) -> None:
    site.mailworker.start()
    site.mailworker.await_workers(1)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["imap", "toys"])
    client = site.connect("toys")
    client.start_tls(context)
    client.talk((b"", b"HELLO play\r\n"), (b"LOGIN ann secret\r\n", b"YES come in\r\n"))
    client.close()


def test_a_directive_of_a_new_protocol_is_checked_as_any_other(site: Site) -> None:
    site.configure("a b")
    tested = site.mailworker.run("-t")
    assert tested.returncode == 1
    assert 'invalid number of arguments in "toy_motto" directive' in tested.stderr.decode()


def test_the_protocol_is_short() -> None:
    assert len(START.with_name("toy.py").read_text().splitlines()) < 150
