"""How a POP3 backend hears a name and a password, also those that are too long for its commands."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable

import pytest

from tests.mail import deciding
from tests.mail.cases import AUTH_PLAIN, POP3, pop3_server
from tests.mail.conftest import Scene
from tests.mail.deciding import TEMPORARY, WRONG
from tests.support.backend import Script, ScriptedServer, conversation, echo
from tests.support.peer import Peer
from tests.support.proxy import Proxy
from tests.support.settings import proxy_settings

# With their verbs and CRLF they fill a command of 255 bytes, and do not fit it.
FITS, TOO_LONG = b"x" * 248, b"x" * 249


def log_in(scene: Scene, name: bytes, password: bytes, script: Script) -> tuple[bytes, bytes]:
    """What a backend hears of a client whose name and password the auth service gives, and what the client hears."""
    backend = scene.backend(script)
    auth = scene.auth_for(backend, (b"Auth-User", name), (b"Auth-Pass", password))
    client = scene.client(scene.proxy("pop3", auth))
    client.expect(POP3.greeting)
    client.send(AUTH_PLAIN)
    answer = client.line()
    client.close()
    return backend.heard(), answer


@pytest.mark.parametrize(("name", "password"), [(FITS, FITS), (b"u", FITS), (FITS, b"p")], ids=["both", "pass", "user"])
def test_a_command_that_fits_is_sent_as_ever(scene: Scene, name: bytes, password: bytes) -> None:
    heard, answer = log_in(scene, name, password, conversation(*POP3.backend, then=echo))
    assert answer == POP3.answer
    assert heard == b"USER %b\r\nPASS %b\r\n" % (name, password)


@pytest.mark.parametrize("go_ahead", [b"+ \r\n", b"+\r\n", b"+ b64challenge\r\n"], ids=repr)
@pytest.mark.parametrize(("name", "password"), [(b"u", TOO_LONG), (TOO_LONG, b"p"), (b"u", b"x" * 3000)])
def test_what_fits_no_command_goes_behind_auth(scene: Scene, name: bytes, password: bytes, go_ahead: bytes) -> None:
    heard, answer = log_in(scene, name, password, conversation(b"+OK backend\r\n", go_ahead, POP3.answer, then=echo))
    assert answer == POP3.answer
    assert heard == b"AUTH PLAIN\r\n%b\r\n" % b64encode(b"\0%b\0%b" % (name, password))


def test_a_backend_that_does_not_know_auth_hears_user_and_pass(scene: Scene) -> None:
    script = conversation(b"+OK backend\r\n", b"-ERR what\r\n", b"+OK\r\n", POP3.answer, then=echo)
    heard, answer = log_in(scene, b"u", TOO_LONG, script)
    assert answer == POP3.answer
    assert heard == b"AUTH PLAIN\r\nUSER u\r\nPASS %b\r\n" % TOO_LONG


@pytest.mark.parametrize("replies", [(b"+OK\r\n",), (b"\r\n",), (b"x\r\n",), (b"+ \r\n", b"-ERR wrong\r\n")], ids=repr)
def test_another_answer_to_auth_ends_the_login(scene: Scene, replies: tuple[bytes, ...]) -> None:
    heard, answer = log_in(scene, b"u", TOO_LONG, conversation(b"+OK backend\r\n", *replies))
    assert answer == POP3.error
    assert b"PASS" not in heard


TAKES = b"+OK [XCLIENT] backend\r\n"
TOLD = re.compile(
    rb"XCLIENT ADDR=127\.0\.0\.1 PORT=([0-9]+) DESTADDR=127\.0\.0\.1 DESTPORT=([0-9]+) SESSION=[\w-]{16} TTL=6 "
    rb"CLIENT-TRANSPORT=insecure\r\n(.*)",
    re.DOTALL,
)


def introduced(scene: Scene, script: Script) -> tuple[Peer, Proxy, ScriptedServer]:
    backend = scene.backend(script)
    proxy = scene.proxy("pop3", scene.auth_for(backend), proxy=proxy_settings(pop3_xclient=True))
    client = scene.client(proxy)
    client.expect(POP3.greeting)
    client.send(AUTH_PLAIN)
    return client, proxy, backend


@pytest.mark.parametrize("greeting", [TAKES, b"+ok [xclient] backend\r\n"])
def test_a_backend_that_takes_xclient_hears_who_the_client_is(scene: Scene, greeting: bytes) -> None:
    script = conversation(greeting, b"+OK Updated\r\n", *POP3.backend[1:], then=echo)
    client, proxy, backend = introduced(scene, script)
    client.expect(POP3.answer)
    told = TOLD.fullmatch(backend.peer().received)
    assert told is not None
    assert (int(told[1]), int(told[2])) == (client.address[1], proxy.address[1])
    assert told[3] == POP3.commands


@pytest.mark.parametrize("greeting", [b"+OK backend [XCLIENT]\r\n", b"+OK [XCLIENTS] x\r\n", b"+OK\r\n", b"+OK x\r\n"])
def test_a_backend_that_does_not_take_it_hears_nothing(scene: Scene, greeting: bytes) -> None:
    client, _, backend = introduced(scene, conversation(greeting, *POP3.backend[1:], then=echo))
    client.expect(POP3.answer)
    assert backend.peer().received == POP3.commands


def test_a_refusal_of_xclient_ends_the_login(scene: Scene) -> None:
    client, proxy, backend = introduced(scene, conversation(TAKES, b"-ERR Invalid parameters\r\n"))
    assert client.rest() == POP3.error
    assert "while reading response from upstream" in proxy.log.find('upstream sent invalid response: "-ERR Invalid')
    assert b"USER" not in backend.heard()


@pytest.mark.parametrize("mechanism", ["plain", "login", "xoauth2", "oauthbearer"])
def test_xclient_comes_before_a_login_by_any_mechanism(scene: Scene, mechanism: str) -> None:
    steps = (b"+ \r\n",) * (2 if mechanism == "login" else 1)
    backend = scene.backend(conversation(TAKES, b"+OK\r\n", *steps, POP3.answer, then=echo))
    auth = scene.auth_for(backend, (b"Auth-Backend-Mech", mechanism.encode()))
    client = scene.client(scene.proxy("pop3", auth, proxy=proxy_settings(pop3_xclient=True)))
    client.expect(POP3.greeting)
    client.talk((AUTH_PLAIN, POP3.answer))
    told = TOLD.fullmatch(backend.peer().received)
    assert told is not None
    assert told[3].startswith(b"AUTH %b\r\n" % mechanism.upper().encode())


@pytest.mark.parametrize("said", [b"XCLIENT ADDR=192.0.2.66\r\n", b"XOIP 192.0.2.66\r\n"])
def test_a_client_has_no_xclient_before_its_login(scene: Scene, said: bytes) -> None:
    backend = scene.backend(POP3.script())
    client = scene.client(scene.proxy("pop3", scene.auth_for(backend)))
    client.expect(POP3.greeting)
    client.talk((said, b"-ERR invalid command\r\n"), (AUTH_PLAIN, POP3.answer))
    assert backend.peer().received == POP3.commands


USER, ASKED = b"USER user@example.com\r\n", b"CAPA\r\n"
TLS_FIRST = "upstream offers no login before STARTTLS"
NO_LOGIN = "upstream refuses USER and does not offer AUTH PLAIN"
DISALLOWED = b"-ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.\r\n"
UNDER_A_LAYER = b"-ERR [AUTH] USER command only available under a layer\r\n"
COURIERS = b"-ERR TLS required to log in.\r\n"
UNKNOWN = b"-ERR never heard of mailbox tlsuser\r\n"


def refusing_user(scene: Scene, *scripts: Script) -> tuple[deciding.Stage, list[bytes]]:
    """What the client hears at each of these backends, which decide about logins."""
    stage, answers = deciding.Stage(scene, "pop3", *scripts), list[bytes]()
    for number in range(len(scripts)):
        client = stage.client if number == 0 else scene.client(stage.proxy)
        client.skip(0 if number == 0 else len(POP3.greeting))
        client.send(AUTH_PLAIN)
        answers.append(client.line())
        client.close()
    return stage, answers


@pytest.mark.parametrize("send", [Peer.send, Peer.send_slowly], ids=["whole", "in bytes"])
@pytest.mark.parametrize(
    ("refusal", "listed", "logged"),
    [
        (DISALLOWED, b"+OK\r\nCAPA\r\nUIDL\r\nSTLS\r\nSASL\r\n.\r\n", TLS_FIRST),
        (UNDER_A_LAYER, b"+OK List\r\nSTLS\r\nUIDL\r\n.\r\n", TLS_FIRST),
        (COURIERS, b"+OK\r\nSTLS\r\nTOP\r\nUSER\r\nUTF8 USER\r\n.\r\n", TLS_FIRST),
        (b"-ERR unknown command\r\n", b"+ok\r\nsasl Login XOAUTH2\r\n.\r\n", NO_LOGIN),
    ],
)
def test_a_backend_that_refuses_every_user_is_no_wrong_password(
    scene: Scene, refusal: bytes, listed: bytes, logged: str, send: Callable[[Peer, bytes], None]
) -> None:
    script = pop3_server(listed=listed, user=refusal, send=send)
    stage, answers = refusing_user(scene, *[script] * 4)
    assert answers == [TEMPORARY["pop3"]] * 4
    heard = [USER + ASKED, ASKED + USER + ASKED, USER + ASKED, USER + ASKED]
    assert [stage.backend.heard(number) for number in range(4)] == heard
    assert "[error]" in stage.proxy.log.find(f"{logged} while reading response from upstream, client: 127.0.0.1, ")


@pytest.mark.parametrize(
    "listed", [b"+OK\r\nUSER\r\nSTLS\r\nSASL PLAIN\r\n.\r\n", b"+OK\r\n.\r\n", None, b"x" * 9000, b"+OK\r\nUSER\r\n"]
)
def test_a_refusal_of_one_user_is_a_wrong_login(scene: Scene, listed: bytes | None) -> None:
    def leaving(peer: Peer) -> None:
        peer.send(b"+OK backend\r\n")
        for reply in (UNKNOWN, b"-ERR what\r\n" if listed is None else listed):
            peer.line()
            peer.send(reply)

    stage, answers = refusing_user(scene, leaving)
    assert answers == [WRONG["pop3"]]
    assert stage.backend.heard() == USER + ASKED
    assert "never heard of" in stage.proxy.log.find('client login failed: "-ERR ')


@pytest.mark.parametrize("listed", [b"+OK\r\nSASL PLAIN\r\n.\r\n", b"+OK\r\nSTLS\r\nsasl login plain\r\n.\r\n"])
def test_a_backend_without_user_gets_plain_if_it_lists_that(scene: Scene, listed: bytes) -> None:
    script = pop3_server(listed=listed, user=b"-ERR what\r\n")
    stage, answers = refusing_user(scene, *[script] * 3)
    assert answers == [POP3.answer] * 3
    heard = [stage.backend.heard(number) for number in range(3)]
    assert heard == [USER + ASKED + AUTH_PLAIN, ASKED + AUTH_PLAIN, AUTH_PLAIN]


@pytest.mark.parametrize("reply", [b"x\r\n", b"+ go on\r\n", b"-\r\n", b"\r\n"], ids=repr)
def test_what_is_no_refusal_of_user_makes_nobody_ask(scene: Scene, reply: bytes) -> None:
    stage, (answer,) = refusing_user(scene, pop3_server(user=reply))
    assert answer in (TEMPORARY["pop3"], WRONG["pop3"])
    assert stage.backend.heard() == USER
