"""What the client hears, and whose fault it was, where an auth service lies, hangs, dies or sends garbage."""

from __future__ import annotations

import pytest

from mailworker.model import InetAddress, UnixAddress
from mailworker.variables.template import parse
from tests.mail.cases import IMAP, SMTP, Case, all_protocols
from tests.mail.conftest import Scene
from tests.mail.failures import AGES, log_in, says
from tests.support.auth import accepted, rejected, response, wait
from tests.support.backend import Script, hang, hang_up, reset
from tests.support.settings import auth_http_settings

NOWHERE = InetAddress("192.0.2.1", 143)
OK = (b"Auth-Status", b"OK")
SERVER, PORT = (b"Auth-Server", b"127.0.0.1"), (b"Auth-Port", b"143")

AUTH_FAULTS: list[tuple[str, bytes | Script, str]] = [
    ("garbage", b"\0\xff\x1b[31m\r\n\r\n", "sent invalid response"),
    ("no status line", response(OK, SERVER, PORT).partition(b"\r\n")[2], "sent invalid response"),
    (
        "500 with good headers",
        response(OK, SERVER, PORT, status=b"HTTP/1.1 500 OK"),
        "sent invalid response with HTTP status 500",
    ),
    ("CR in the status line", response(OK, SERVER, PORT, status=b"HTTP/1.1 200\rOK"), "sent invalid response"),
    ("no Auth-Status", response(SERVER, PORT), "did not send status"),
    ("an empty Auth-Status", response((b"Auth-Status", b""), SERVER, PORT), "did not send status"),
    ("no server", response(OK, PORT), "did not send server or port"),
    ("no port", response(OK, SERVER), "did not send server or port"),
    ("a host name", response(OK, (b"Auth-Server", b"localhost"), PORT), 'sent invalid server address:"localhost"'),
    ("port 0", response(OK, SERVER, (b"Auth-Port", b"0")), 'sent invalid server port:"0"'),
    ("port 65536", response(OK, SERVER, (b"Auth-Port", b"65536")), 'sent invalid server port:"65536"'),
    ("a bad header name", response((b"Auth_Status", b"OK")), "sent invalid header in response"),
    ("NUL in a password", response(OK, SERVER, PORT, (b"Auth-Pass", b"a\0b")), "sent invalid header in response"),
    ("CR in a user", response(OK, SERVER, PORT, (b"Auth-User", b"a\rb")), "sent invalid header in response"),
    ("endless headers", b"HTTP/1.0 200 OK\r\n" + b"X: y\r\n" * 8000, "sent too large response header"),
    ("an endless line", b"x" * 50000, "sent too large response header"),
    ("an early end", hang_up, "prematurely closed connection"),
    ("an end in the status line", says(b"HTTP/1.0 200 OK", hang_up), "prematurely closed connection"),
    ("an end in a header", says(b"HTTP/1.0 200 OK\r\nAuth-St", hang_up), "prematurely closed connection"),
    ("an end before the blank line", response(OK, SERVER, PORT)[:-2], "prematurely closed connection"),
    ("an end in the blank line", response(OK, SERVER, PORT)[:-1], "prematurely closed connection"),
    ("silence", hang, "timed out (110: Connection timed out)"),
    ("silence in a header", says(b"HTTP/1.0 200 OK\r\nAuth-St"), "timed out (110: Connection timed out)"),
]


@all_protocols
@pytest.mark.parametrize(("answer", "fault"), [row[1:] for row in AUTH_FAULTS], ids=[row[0] for row in AUTH_FAULTS])
def test_a_faulty_auth_service(scene: Scene, case: Case, answer: bytes | Script, fault: str) -> None:
    auth = scene.auth(answer)
    heard, line = log_in(scene, case, auth if "timed out" in fault else None, auth=auth, auth_timeout=AGES)
    assert heard == case.error
    assert line == f"[error] auth http server {auth.address} {fault} while in http auth state"


def test_an_auth_service_that_resets(scene: Scene) -> None:
    heard, line = log_in(scene, IMAP, auth=scene.auth(reset))
    assert heard == IMAP.error
    assert line == "[error] recv() failed (104: Connection reset by peer) while in http auth state"


def test_an_auth_service_that_is_not_there(scene: Scene) -> None:
    closed = scene.auth(hang)
    closed.stop()
    heard, line = log_in(scene, IMAP, auth=closed)
    assert heard == IMAP.error
    assert line == "[error] recv() failed (111: Connection refused) while in http auth state"


def test_an_auth_service_whose_address_the_system_refuses_at_once(scene: Scene) -> None:
    multicast = InetAddress("224.0.0.1", 80)
    heard, line = log_in(scene, IMAP, auth=NOWHERE, source=auth_http_settings(multicast))
    assert heard == IMAP.error
    assert line == "[error] connect() to 224.0.0.1:80 failed (101: Network is unreachable) while in http auth state"


def test_an_auth_service_on_a_unix_socket_that_is_not_there(scene: Scene) -> None:
    settings = auth_http_settings(UnixAddress("/nonexistent/auth"))
    heard, line = log_in(scene, IMAP, auth=NOWHERE, source=settings)
    assert heard == IMAP.error
    message = "connect() to unix:/nonexistent/auth failed (2: No such file or directory)"
    assert line == f"[crit] {message} while in http auth state"


def test_an_answer_in_single_bytes_is_read(scene: Scene) -> None:
    backend = scene.backend(IMAP.script())
    auth = scene.auth(lambda peer: peer.send_slowly(accepted(backend.address)))
    client = scene.client(scene.proxy("imap", auth))
    client.expect(IMAP.greeting)
    client.talk((IMAP.login, IMAP.answer))


def test_waiting_for_ever_is_not_waited_for(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailworker.mail.authentication.auth_http._MOST_WAITS", 1)
    auth = scene.auth(wait(b"1"))
    heard, line = log_in(scene, IMAP, auth=auth)
    assert heard == IMAP.error
    assert line == f"[error] auth http server {auth.address} sent WAIT too many times while in http auth state"


def test_after_a_wait_variables_are_sent_again_beside_the_new_name(scene: Scene) -> None:
    auth = scene.auth(wait(b"1", (b"Auth-User", b"mailbox")), rejected(b"no"))
    settings = auth_http_settings(auth.address, headers=((b"X-Protocol", parse(b"$protocol")),))
    client = scene.client(scene.proxy("imap", auth, source=settings))
    client.expect(IMAP.greeting)
    client.talk((IMAP.login, b"a1 NO no\r\n"))
    assert [auth.header(b"X-Protocol", number) for number in range(2)] == [b"imap"] * 2
    assert [auth.header(b"Auth-User", number) for number in range(2)] == [b"user@example.com", b"mailbox"]


def test_who_is_asked_plainly_about_smtp_hears_of_the_host_each_time(scene: Scene) -> None:
    auth = scene.auth(wait(b"1"), rejected(b"no"))
    log_in(scene, SMTP, auth=auth)
    assert [b"\r\nClient-Host: [UNAVAILABLE]\r\n" in request for request in auth.requests] == [True, True]


@pytest.mark.parametrize("last", [b"", b"again"], ids=["replaced", "replaced again"])
def test_what_wait_has_replaced_stays_so_until_it_is_replaced_again(scene: Scene, last: bytes) -> None:
    backend = scene.backend(IMAP.script())
    headers = ((b"Auth-User", last), (b"Auth-Pass", last)) if last else ()
    waits = wait(b"1000", (b"Auth-User", b"mailbox"), (b"Auth-Pass", b"other")), wait(b"1000")
    auth = scene.auth(*waits, accepted(backend.address, *headers))
    client = scene.client(scene.proxy("imap", auth, timeout=1e6, auth_timeout=1e6))
    client.expect(IMAP.greeting)
    client.send(IMAP.login)
    while client.is_silent():
        scene.skip(AGES)
    client.expect(IMAP.answer)
    assert [auth.header(b"Auth-User", number) for number in range(3)] == [b"user@example.com", b"mailbox", b"mailbox"]
    name, password = (last, last) if last else (b"mailbox", b"other")
    heard = b"a1 LOGIN {%d}\r\n%b {%d}\r\n%b\r\n" % (len(name), name, len(password), password)
    assert backend.peer().received == heard


def test_the_log_has_the_login_of_an_answer_that_cannot_be_used(scene: Scene) -> None:
    auth = scene.auth(response(OK, (b"Auth-User", b"mailbox"), SERVER, (b"Auth-Port", b"0")))
    proxy = scene.proxy("imap", auth)
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.send(IMAP.login)
    assert client.rest() == IMAP.error
    assert proxy.log.find("[error]").endswith(', login: "mailbox"')


def test_a_refusal_takes_one_connection_and_leaves_none(scene: Scene) -> None:
    auth = scene.auth(rejected(b"no"))
    proxy = scene.proxy("imap", auth)
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.talk((IMAP.login, b"a1 NO no\r\n"))
    proxy.service_is_idle()
    assert len(auth.requests) == 1


def test_a_remembered_answer_decides_no_login(scene: Scene) -> None:
    backend = scene.backend(IMAP.script())
    auth = scene.auth(*[accepted(backend.address)] * 3, rejected(b"gone"))
    proxy = scene.proxy("imap", auth)
    for _ in range(3):
        client = scene.client(proxy)
        client.expect(IMAP.greeting)
        client.talk((IMAP.login, IMAP.answer))
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.talk((IMAP.login, b"a1 NO gone\r\n"))
    assert [auth.header(b"Auth-User", number) for number in range(4)] == [b"user@example.com"] * 4
