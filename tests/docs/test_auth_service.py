"""The auth services that docs/auth-service.md shows, behind the real proxy."""

from __future__ import annotations

import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.mail.cases import CASES, Case, all_protocols
from tests.support.backend import Script, ScriptedServer
from tests.support.daemon import Daemon, accepts
from tests.support.patience import PATIENCE
from tests.support.peer import Peer
from tests.support.ports import Ports
from tests.support.process import Mailworker

PAGE = Path(__file__).parents[2] / "docs" / "auth-service.md"
EXAMPLE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PLAIN, STARLETTE = 0, 1  # in the order of the page
BACKEND = re.compile(r'"(\w+)": \("192\.0\.2\.\d+", ("?)\d+"?\)')

ACCOUNTS = {
    "alice": "secret",
    "bob@example.com": "100%",
    "percent%40sign": "%41",
    "Jörg Öl": " two  blanks ",
    "plus+box": "a+b",
    "пользователь": "пароль Ѕà",
    'q"\\': '"quoted\\"',
    "%zz": "%%%",
}
ALIKE = [
    ("alice", "wrong"),
    ("nobody", "secret"),
    ("percent%40sign", "A"),
    ("percent@sign", "%41"),
    ("plus+box", "a b"),
    ("Jörg Öl", "two  blanks"),
]

CONFIGURATION = """
    error_log logs/error.log info;
    events {{ }}
    mail {{
        server_name mail.example.com;
        auth_http 127.0.0.1:{auth}/auth;
        auth_http_keepalive {keepalive};
        server {{ listen 127.0.0.1:{imap}; protocol imap; }}
        server {{ listen 127.0.0.1:{pop3}; protocol pop3; }}
        server {{ listen 127.0.0.1:{smtp}; protocol smtp; }}
    }}
"""


@dataclass(frozen=True, slots=True)
class Site:
    ports: Ports
    backends: dict[str, ScriptedServer]

    def ask(self, protocol: str, user: str, password: str) -> Peer:
        """A client that has asked to be let in."""
        client = Peer.connect(("127.0.0.1", self.ports[protocol]))
        client.line()
        credentials = b64encode(f"\0{user}\0{password}".encode())
        if protocol == "imap":
            client.talk((b"a1 AUTHENTICATE PLAIN\r\n", b"+ \r\n"))
            client.send(credentials + b"\r\n")
        else:
            client.send(b"AUTH PLAIN " + credentials + b"\r\n")
        return client


def _answer(client: Peer) -> bytes:
    answer = client.line()
    client.close()
    return answer


def _backend(case_backend: tuple[bytes, ...]) -> Script:
    """Lets everybody in."""

    def follow(peer: Peer) -> None:
        peer.send(case_backend[0])
        for reply in case_backend[1:]:
            while (said := peer.line()) == b"CAPA\r\n":
                peer.send(b"-ERR\r\n")
            while (literal := re.search(rb"\{(\d+)\}\r\n\Z", said)) is not None:
                peer.send(b"+ go\r\n")
                peer.skip(int(literal[1]))
                said = peer.line()
            peer.send(reply)
        peer.rest()

    return follow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that workers may enter as another user."""
    folder = tmp_path_factory.mktemp("service")
    for path in (folder, folder.parent, folder.parent.parent):
        path.chmod(path.stat().st_mode | 0o711)
    return folder


@pytest.fixture(scope="module")
def backends() -> Iterator[dict[str, ScriptedServer]]:
    replies = {case.protocol: case.backend for case in CASES}
    replies["imap"] = (replies["imap"][0], replies["imap"][-1])
    servers = {name: ScriptedServer(_backend(script)) for name, script in replies.items()}
    yield servers
    for server in servers.values():
        server.stop()


def write_example(number: int, path: Path, backends: dict[str, ScriptedServer]) -> Path:
    """An example as it stands on the page, but for the backends."""
    shown = EXAMPLE.findall(PAGE.read_text(encoding="utf-8"))[number]
    text, count = BACKEND.subn(
        lambda match: f'"{match[1]}": ("127.0.0.1", {match[2]}{backends[match[1]].address.port}{match[2]})', shown
    )
    assert count == 3
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def program(folder: Path, backends: dict[str, ScriptedServer]) -> Path:
    """The one that needs nothing but Python."""
    return write_example(PLAIN, folder / "auth_service.py", backends)


@pytest.fixture(scope="module")
def passwords(folder: Path, program: Path) -> Path:
    """Made by the example, which reads a password from its input where there is no terminal."""
    path = folder / "passwords"
    with path.open("wb") as file:
        for user, password in ACCOUNTS.items():
            subprocess.run(
                [sys.executable, "-X", "utf8", str(program), "add", user],
                input=f"{password}\n".encode(),
                stdout=file,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                timeout=PATIENCE,
                check=True,
            )
    return path


def plain_command(program: Path, port: int, passwords: Path) -> list[str]:
    return [sys.executable, str(program), "serve", str(port), str(passwords)]


def starlette_command(program: Path, port: int, passwords: Path) -> list[str]:
    service = ["uvicorn", "--app-dir", str(program.parent), f"{program.stem}:app", "--port", str(port)]
    return ["env", f"AUTH_FILE={passwords}", sys.executable, "-m", *service]


SERVICES = [
    pytest.param(PLAIN, plain_command, 0, id="Python, a connection each"),
    pytest.param(PLAIN, plain_command, 4, id="Python, kept connections"),
    pytest.param(STARLETTE, starlette_command, 0, id="Starlette, a connection each"),
    pytest.param(STARLETTE, starlette_command, 4, id="Starlette, kept connections"),
]


@pytest.fixture(scope="module", params=[each.values for each in SERVICES], ids=[each.id for each in SERVICES])
def site(
    request: pytest.FixtureRequest,
    folder: Path,
    passwords: Path,
    backends: dict[str, ScriptedServer],
) -> Iterator[Site]:
    ports = Ports()
    names = ("auth", *backends)
    number, command, keepalive = request.param
    text = CONFIGURATION.format(keepalive=keepalive, **{name: ports[name] for name in names})
    program = write_example(number, folder / f"service_{number}.py", backends)
    service = Daemon(command(program, ports["auth"], passwords), folder / "output of the service")
    proxy = Mailworker(folder / f"prefix-{number}-{keepalive}", text)
    try:
        service.await_ready(lambda: accepts(("127.0.0.1", ports["auth"])))
        proxy.start()
        yield Site(ports, backends)
    finally:
        proxy.stop()
        service.stop()
        ports.close()
    assert "Traceback" not in service.output.read_text()


@all_protocols
def test_names_and_passwords_of_any_bytes_are_understood(site: Site, case: Case) -> None:
    clients = {user: site.ask(case.protocol, user, password) for user, password in ACCOUNTS.items()}
    assert {user: _answer(client) for user, client in clients.items()} == dict.fromkeys(ACCOUNTS, case.answer)


def test_the_backend_hears_the_password_as_the_client_sent_it(site: Site) -> None:
    seen = len(site.backends["imap"].peers)
    _answer(site.ask("imap", "Jörg Öl", " two  blanks "))
    heard = site.backends["imap"].peer(seen).received
    assert heard == "a1 LOGIN {9}\r\nJörg Öl {13}\r\n two  blanks \r\n".encode()


def test_what_only_looks_alike_is_refused(site: Site) -> None:
    clients = [site.ask("imap", user, password) for user, password in ALIKE]
    assert [_answer(client) for client in clients] == [b"a1 NO Invalid login or password\r\n"] * len(ALIKE)
