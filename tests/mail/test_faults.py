"""Backends that lie, hang, die or send garbage: the client hears its protocol's error, the log whose fault it was."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable

import pytest

from mailworker.config.proxy import ProxySettings
from mailworker.model import AuthMethod, InetAddress, ProxyProtocol
from tests.mail.cases import CASES, IMAP, POP3, SMTP, Case, all_protocols
from tests.mail.conftest import Scene
from tests.mail.failures import AGES, log_in, says
from tests.support.auth import accepted, response
from tests.support.backend import Script, conversation, hang, hang_up, reset
from tests.support.peer import Peer
from tests.support.settings import dialogue_settings, proxy_settings, proxy_ssl_settings

NOWHERE = InetAddress("192.0.2.1", 143)
OK = (b"Auth-Status", b"OK")
SERVER, PORT = (b"Auth-Server", b"127.0.0.1"), (b"Auth-Port", b"143")


def auth_plain(credentials: bytes) -> bytes:
    return b"AUTH PLAIN " + b64encode(credentials) + b"\r\n"


@pytest.mark.parametrize("path", ["unix:/nonexistent/backend", "unix:/" + "x" * 200])
def test_a_unix_backend_that_cannot_be(scene: Scene, path: str) -> None:
    answer = response(OK, (b"Auth-Server", path.encode()), PORT)
    heard, line = log_in(scene, IMAP, auth=scene.auth(answer))
    assert heard == IMAP.error
    assert not line.startswith("[alert]")


STEPS = [(case, step) for case in CASES for step in range(len(case.backend))]
steps = pytest.mark.parametrize(("case", "step"), STEPS, ids=lambda value: getattr(value, "protocol", value))


def broken_at(case: Case, step: int, fault: Script, send: Callable[[Peer, bytes], None] = Peer.send) -> Script:
    """The backend behaves up to the reply of this number."""

    def follow(peer: Peer) -> None:
        for i in range(step):
            send(peer, case.backend[i])
            peer.line()
        fault(peer)

    return follow


@steps
def test_a_backend_that_says_no(scene: Scene, case: Case, step: int) -> None:
    no = {
        IMAP: b'a1 NO "no"\r\n' if step == 3 else b"* BYE no\r\n",
        POP3: b"-ERR no\r\n",
        SMTP: b"421-no\r\n421 no\r\n",
    }
    backend = scene.backend(broken_at(case, step, says(no[case])))
    heard, line = log_in(scene, case, auth=scene.auth_for(backend))
    assert heard == case.error
    assert line.startswith('[error] upstream sent invalid response: "')
    assert line.endswith(f" while reading response from upstream, upstream: {backend.address}")


@steps
def test_a_backend_that_says_no_is_quoted_where_that_is_allowed(scene: Scene, case: Case, step: int) -> None:
    no = {IMAP: b"a1 NO no\r\n" if step == 3 else b"* BYE no\r\n", POP3: b"-ERR no\r\n", SMTP: b"421-no\r\n421 no\r\n"}
    backend = scene.backend(broken_at(case, step, says(no[case])))
    passing = proxy_settings(pass_error_message=True)
    heard, line = log_in(scene, case, auth=scene.auth_for(backend), proxy=passing)
    assert heard == no[case]
    assert line.startswith('[info] upstream sent invalid response: "')


GARBAGE = b"\0\x1b[31m\xff\r\n"
BACKEND_FAULTS: list[tuple[str, Script, str]] = [
    ("garbage", says(GARBAGE), '[error] upstream sent invalid response: "'),
    ("an endless line", says(b"x" * 20000), '[error] upstream sent too long response line: "'),
    ("silence", hang, "[info] upstream timed out (110: Connection timed out)"),
    ("silence in a line", says(b"+OK"), "[info] upstream timed out (110: Connection timed out)"),
    ("an early end", hang_up, "[error] upstream prematurely closed connection"),
    ("an end in a line", says(b"220 ", hang_up), "[error] upstream prematurely closed connection"),
    ("a reset", reset, "[error] recv() failed (104: Connection reset by peer)"),
]


faulty = pytest.mark.parametrize(
    ("script", "fault"), [row[1:] for row in BACKEND_FAULTS], ids=[row[0] for row in BACKEND_FAULTS]
)


@steps
@faulty
def test_a_faulty_backend(scene: Scene, case: Case, step: int, script: Script, fault: str) -> None:
    backend = scene.backend(broken_at(case, step, script))
    silent = backend if "timed out" in fault else None
    heard, line = log_in(scene, case, silent, auth=scene.auth_for(backend), timeout=AGES)
    assert heard == case.error
    assert line.startswith(fault)
    assert line.endswith(f", upstream: {backend.address}")


@steps
@pytest.mark.parametrize("slowly", [False, True], ids=["whole", "in bytes"])
def test_a_reset_is_met_while_reading(scene: Scene, case: Case, step: int, slowly: bool) -> None:
    backend = scene.backend(broken_at(case, step, reset, Peer.send_slowly if slowly else Peer.send))
    heard, line = log_in(scene, case, auth=scene.auth_for(backend))
    assert heard == case.error
    fault = "[error] recv() failed (104: Connection reset by peer) while reading response from upstream"
    assert line == f"{fault}, upstream: {backend.address}"


@faulty
def test_only_whole_replies_of_text_are_quoted(scene: Scene, script: Script, fault: str) -> None:
    backend = scene.backend(broken_at(POP3, 1, script))
    quoting = proxy_settings(pass_error_message=True)
    silent = backend if "timed out" in fault else None
    heard, line = log_in(scene, POP3, silent, auth=scene.auth_for(backend), timeout=AGES, proxy=quoting)
    assert heard == POP3.error
    assert line.startswith(fault)


def test_a_success_whose_tag_is_like_a_refusal_is_not_quoted(scene: Scene) -> None:
    backend = scene.backend(conversation(IMAP.backend[0], b"450 OK in\r\n"))
    client = scene.client(scene.proxy("imap", scene.auth_for(backend), proxy=proxy_settings(pass_error_message=True)))
    client.expect(IMAP.greeting)
    client.send(b"450 LOGIN user@example.com secret\r\n")
    assert client.rest() == IMAP.error


@all_protocols
def test_a_backend_that_is_not_there(scene: Scene, case: Case) -> None:
    nowhere = scene.nowhere()
    heard, line = log_in(scene, case, auth=scene.auth(accepted(nowhere)))
    assert heard == case.error
    message = "[error] recv() failed (111: Connection refused) while reading response from upstream"
    assert line == f"{message}, upstream: {nowhere}"


@pytest.mark.parametrize(
    "proxy",
    [
        proxy_settings(),
        proxy_settings(proxy_protocol=ProxyProtocol.V1),
        proxy_settings(ssl=proxy_ssl_settings()),
        proxy_settings(ssl=proxy_ssl_settings(starttls=True)),
    ],
    ids=["plain", "PROXY protocol", "TLS", "STARTTLS"],
)
def test_a_backend_whose_address_the_system_refuses_at_once(scene: Scene, proxy: ProxySettings) -> None:
    heard, line = log_in(scene, IMAP, auth=scene.auth(accepted(InetAddress("224.0.0.1", 143))), proxy=proxy)
    assert heard == IMAP.error
    message = "[error] connect() to 224.0.0.1:143 failed (101: Network is unreachable) while connecting to upstream"
    assert line == f"{message}, upstream: 224.0.0.1:143"


def test_an_endless_ehlo_reply(scene: Scene) -> None:
    backend = scene.backend(conversation(b"220 backend\r\n", b"250-x\r\n" * 100_000))
    heard, line = log_in(scene, SMTP, auth=scene.auth_for(backend))
    assert heard == SMTP.error
    assert line.startswith('[error] upstream sent too long response line: "250-x')


def test_a_password_is_needed_for_smtp_auth_at_the_backend(scene: Scene) -> None:
    backend = scene.backend(conversation(b"220 backend\r\n", b"250 hello\r\n"))
    external = dialogue_settings("smtp", auth=AuthMethod.EXTERNAL)
    demanding = proxy_settings(xclient=False, smtp_auth=True)
    proxy = scene.proxy("smtp", scene.auth_for(backend), dialogue=external, proxy=demanding)
    client = scene.client(proxy)
    client.expect(SMTP.greeting)
    client.send(b"AUTH EXTERNAL " + b64encode(b"u") + b"\r\n")
    assert client.rest() == SMTP.error
    assert proxy.log.lines[1].startswith("[error] *1 no password available while sending AUTH to upstream, ")


LONG = b"\0" + b"u" * 600 + b"\0p"
FORBIDDEN = "client sent forbidden bytes in login or password"


@pytest.mark.parametrize(
    ("case", "login", "heard", "complaint"),
    [
        (POP3, auth_plain(b"\0u\r\nX: 1\0p\r\nDELE 1"), b"-ERR invalid command\r\n", FORBIDDEN),
        (POP3, auth_plain(b"\0u\0p\nDELE 1"), b"-ERR invalid command\r\n", FORBIDDEN),
        (POP3, auth_plain(b"\0u\rX\0p"), b"-ERR invalid command\r\n", FORBIDDEN),
        (IMAP, b"a LOGIN u {3+}\r\np\0q\r\n", b"a BAD invalid command\r\n", FORBIDDEN),
        (SMTP, auth_plain(LONG), b"500 5.5.1 Invalid command\r\n", "client sent too long login for XCLIENT"),
    ],
)
def test_a_login_that_no_backend_may_see(scene: Scene, case: Case, login: bytes, heard: bytes, complaint: str) -> None:
    backend = scene.backend(case.script())
    proxy = scene.proxy(case.protocol, scene.auth_for(backend))
    client = scene.client(proxy)
    client.expect(case.greeting)
    client.send(login)
    assert client.rest() == heard
    assert proxy.log.lines[1].startswith(f"[info] *1 {complaint} while ")
    said = backend.overheard()
    assert b"DELE" not in said
    assert b"LOGIN" not in said


def test_line_ends_in_an_imap_login_are_data(scene: Scene) -> None:
    backend = scene.backend(IMAP.script())
    auth = scene.auth_for(backend)
    client = scene.client(scene.proxy("imap", auth))
    client.expect(IMAP.greeting)
    client.talk((b"a1 LOGIN {10+}\r\nu\r\nb NOOP\r {1+}\r\np\r\n", IMAP.answer))
    assert auth.header(b"Auth-User") == b"u%0D%0Ab%20NOOP%0D"
    client.close()
    assert backend.heard().startswith(b"a1 LOGIN {10}\r\nu\r\nb NOOP\r {1}\r\np")


def test_an_smtp_login_is_xtext_for_xclient(scene: Scene) -> None:
    backend = scene.backend(SMTP.script())
    client = scene.client(scene.proxy("smtp", scene.auth_for(backend)))
    client.expect(SMTP.greeting)
    client.talk((auth_plain(b"\0u NAME=evil+41\r\nQUIT\0p"), SMTP.answer))
    assert b" LOGIN=u+20NAME+3Devil+2B41+0D+0AQUIT NAME=[UNAVAILABLE]\r\n" in backend.peer().received
