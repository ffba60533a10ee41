"""How an IMAP backend hears a name and a password, also those that are too long for its commands."""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Any

import pytest

from tests.mail import deciding
from tests.mail.cases import IMAP, LITERAL_PLUS, LOGINDISABLED, SASL_IR, Case
from tests.mail.conftest import Scene
from tests.mail.deciding import TEMPORARY
from tests.support.backend import Script, ScriptedServer, conversation, echo
from tests.support.peer import Peer
from tests.support.settings import proxy_settings


def script(*replies: bytes) -> Script:
    return conversation(IMAP.backend[0], *replies, then=echo)


@pytest.mark.parametrize(
    ("length", "replies", "heard"),
    [
        (900, IMAP.backend[1:], b"a1 LOGIN {1}\r\nu {900}\r\nPASSWORD\r\n"),
        (1100, (b"+ \r\n", IMAP.answer), b"a1 AUTHENTICATE PLAIN\r\nRESPONSE\r\n"),
        (3000, (b"* OK wait\r\n+\r\n", IMAP.answer), b"a1 AUTHENTICATE PLAIN\r\nRESPONSE\r\n"),
        (
            1100,
            (b"a1 BAD what\r\n", *IMAP.backend[1:]),
            b"a1 AUTHENTICATE PLAIN\r\na1 LOGIN {1}\r\nu {1100}\r\nPASSWORD\r\n",
        ),
    ],
)
def test_an_imap_login_that_is_too_long_for_a_command_goes_behind_authenticate(
    scene: Scene, length: int, replies: tuple[bytes, ...], heard: bytes
) -> None:
    password = b"x" * length
    backend = scene.backend(script(*replies))
    auth = scene.auth_for(backend, (b"Auth-User", b"u"), (b"Auth-Pass", password))
    client = scene.client(scene.proxy("imap", auth))
    client.expect(IMAP.greeting)
    client.talk((IMAP.login, IMAP.answer))
    told = heard.replace(b"PASSWORD", password).replace(b"RESPONSE", b64encode(b"\0u\0" + password))
    assert backend.peer().received == told


@pytest.mark.parametrize("replies", [(b"* BYE no\r\n",), (b"a2 OK x\r\n",), (b"+\r\n", b"a1 NO wrong\r\n")], ids=repr)
def test_another_answer_to_authenticate_ends_the_login(scene: Scene, replies: tuple[bytes, ...]) -> None:
    backend = scene.backend(script(*replies))
    auth = scene.auth_for(backend, (b"Auth-Pass", b"x" * 1100))
    client = scene.client(scene.proxy("imap", auth))
    client.expect(IMAP.greeting)
    client.send(IMAP.login)
    assert client.rest() == IMAP.error
    client.close()
    assert b"LOGIN" not in backend.heard()


LISTS = b"* OK [CAPABILITY IMAP4rev1 SASL-IR ID] backend\r\n"
LISTS_LITERALS = LISTS.replace(b"ID", b"ID LITERAL+")
DONE = b"a1 OK done\r\n"
BOTH_WAYS = pytest.mark.parametrize(
    ("greeting", "case"), [(LISTS, IMAP), (LISTS_LITERALS, LITERAL_PLUS)], ids=["in pieces", "at once"]
)
ADDRESS = (
    rb'"x-originating-ip" "127.0.0.1" "x-originating-port" "%d" "x-connected-ip" "127.0.0.1" "x-connected-port" "%d"'
)


def slowly(*replies: bytes) -> Script:
    """As `conversation`, each byte in a segment of its own; then echo."""

    def follow(peer: Peer) -> None:
        peer.send_slowly(replies[0])
        for reply in replies[1:]:
            if peer.line():
                peer.send_slowly(reply)
        echo(peer)

    return follow


def introduced(
    scene: Scene, *replies: bytes, whole: bool = True, said: bytes = b"", **changes: Any
) -> tuple[Peer, ScriptedServer]:
    """A client that has sent `said` and its login to a proxy that tells of it; and the backend."""
    backend = scene.backend(conversation(*replies, then=echo) if whole else slowly(*replies))
    proxy = scene.proxy("imap", scene.auth_for(backend), proxy=proxy_settings(imap_id=True, **changes))
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    if said:
        client.talk((said, b"* ID NIL\r\ni OK completed\r\n"))
    client.send(IMAP.login)
    return client, backend


@BOTH_WAYS
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "in bytes"])
@pytest.mark.parametrize(
    "answer",
    [
        b'* ID ("name" "Dovecot")\r\n' + DONE,
        b'* ID ("name" {7}\r\nDovecot "os" {14}\r\n)\r\na1 OK done\r\n)\r\n' + DONE,
        b"* id nil\r\n* OK [ALERT] hello\r\n" + DONE,
        DONE,
        b"a1 NO not you\r\n",
        b"a1 BAD what?\r\n",
        b"* 1 EXISTS\r\na1 NO [SERVERBUG] no\r\n",
    ],
    ids=repr,
)
def test_a_backend_that_lists_id_hears_who_the_client_is_and_its_answer_stays_here(
    scene: Scene, answer: bytes, whole: bool, greeting: bytes, case: Case
) -> None:
    client, backend = introduced(scene, greeting, answer, *case.backend[1:], whole=whole)
    client.expect(IMAP.answer)
    client.talk((b"x\r\n", b"x\r\n"))
    heard = backend.peer().received
    told = re.fullmatch(
        rb'a1 ID \("x-session-id" "([\w-]{16})" (.*?) "x-proxy-ttl" "6" (.*?)\)\r\n(.*)', heard, re.DOTALL
    )
    assert told is not None
    ports = client.address[1], int(told[2].rsplit(b'"', 2)[1])
    assert told[2] == ADDRESS % ports
    assert told[3] == b'"x-client-transport" "insecure"'
    assert told[4] == case.commands + b"x\r\n"


@pytest.mark.parametrize(
    ("greeting", "asked"),
    [
        (b"* OK [CAPABILITY IMAP4rev1 IDLE] backend\r\n", b""),
        (b"* OK [CAPABILITY IMAP4rev1 XID] ID backend\r\n", b""),
        (b"* OK backend\r\n", b"a1 CAPABILITY\r\n"),
        (b"* OK [ALERT] ID\r\n", b"a1 CAPABILITY\r\n"),
    ],
)
@pytest.mark.parametrize("listed", [b"* CAPABILITY IMAP4rev1\r\n" + DONE, DONE, b"a1 BAD no\r\n", b"a1 NO ID\r\n"])
def test_a_backend_that_does_not_list_it_hears_nothing(
    scene: Scene, greeting: bytes, asked: bytes, listed: bytes
) -> None:
    client, backend = introduced(scene, greeting, *([listed] if asked else []), *IMAP.backend[1:])
    client.expect(IMAP.answer)
    assert backend.peer().received == asked + IMAP.commands


def test_a_backend_whose_greeting_lists_nothing_is_asked(scene: Scene) -> None:
    listed = b"* OK hello\r\n* capability imap4rev1 id\r\n" + DONE
    client, backend = introduced(scene, b"* OK backend\r\n", listed, DONE, *IMAP.backend[1:])
    client.expect(IMAP.answer)
    heard = backend.peer().received
    assert heard.startswith(b'a1 CAPABILITY\r\na1 ID ("x-session-id"')
    assert heard.endswith(b")\r\n" + IMAP.commands)


@pytest.mark.parametrize(
    ("listed", "case"),
    [
        (b"LITERAL+", LITERAL_PLUS),
        (b"Literal-", LITERAL_PLUS),
        (b"XLITERAL+", IMAP),
        (b"LITERAL+ LOGINDISABLED AUTH=PLAIN", LOGINDISABLED),
        (b"SASL-IR LOGINDISABLED AUTH=PLAIN STARTTLS", SASL_IR),
    ],
)
def test_a_backend_that_is_asked_may_take_literals_at_once(scene: Scene, listed: bytes, case: Case) -> None:
    asked = b"* CAPABILITY IMAP4rev1 %b\r\n" % listed + DONE
    client, backend = introduced(scene, b"* OK backend\r\n", asked, *case.backend[1:])
    client.expect(IMAP.answer)
    assert backend.peer().received == b"a1 CAPABILITY\r\n" + case.commands


@pytest.mark.parametrize("reply", [b"* BYE too many\r\n", b"+ what\r\n", b"a2 OK no\r\n", b"\r\n"], ids=repr)
def test_what_is_no_answer_to_id_ends_the_login(scene: Scene, reply: bytes) -> None:
    client, backend = introduced(scene, LISTS, reply)
    assert client.rest() == IMAP.error
    assert b"LOGIN" not in backend.heard()


@BOTH_WAYS
def test_a_backend_hears_of_the_client_only_if_that_is_configured(scene: Scene, greeting: bytes, case: Case) -> None:
    backend = scene.backend(conversation(greeting, *case.backend[1:], then=echo))
    client = scene.client(scene.proxy("imap", scene.auth_for(backend)))
    client.expect(IMAP.greeting)
    client.talk((IMAP.login, IMAP.answer))
    assert backend.peer().received == case.commands


FORGED = b'i ID ("x-originating-ip" "192.0.2.66" "x-session-id" "x" "x-connected-name" "evil" "x-proxy-ttl" "%b")\r\n'


def test_what_a_client_says_of_itself_is_not_told(scene: Scene) -> None:
    client, backend = introduced(scene, LISTS, DONE, *IMAP.backend[1:], said=FORGED % b"4")
    client.expect(IMAP.answer)
    heard = backend.peer().received
    assert b"192.0.2.66" not in heard
    assert b"evil" not in heard
    assert b'"x-session-id" "x"' not in heard
    assert heard.count(b" ID (") == 1
    assert b'"x-proxy-ttl" "3"' in heard


@pytest.mark.parametrize("codes", [False, True])
def test_proxies_in_a_circle_log_nobody_in(scene: Scene, codes: bool) -> None:
    client, backend = introduced(scene, LISTS, said=FORGED % b"1", pass_error_codes=codes)
    assert client.line() == (TEMPORARY["imap"] if codes else IMAP.error)
    assert backend.heard() == b""


@pytest.mark.parametrize("mechanism", ["plain", "login", "xoauth2", "oauthbearer"])
def test_id_comes_before_a_login_by_any_mechanism(scene: Scene, mechanism: str) -> None:
    steps = (b"+ \r\n",) * (2 if mechanism == "login" else 1)
    backend = scene.backend(conversation(LISTS, DONE, *steps, IMAP.answer, then=echo))
    auth = scene.auth_for(backend, (b"Auth-Backend-Mech", mechanism.encode()))
    client = scene.client(scene.proxy("imap", auth, proxy=proxy_settings(imap_id=True)))
    client.expect(IMAP.greeting)
    client.talk((IMAP.login, IMAP.answer))
    heard = backend.peer().received
    assert heard.startswith(b"a1 ID (")
    assert b"\r\na1 AUTHENTICATE %b\r\n" % mechanism.upper().encode() in heard


@pytest.mark.parametrize("imap_id", [False, True])
@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (b"a1 LOGIN user pass", b'a1 LOGIN "user" "pass"\r\n'),
        (b'a1 LOGIN "u \\"s\\\\r" "p{4}*% s"', b'a1 LOGIN "u \\"s\\\\r" "p{4}*% s"\r\n'),
        (b'a1 LOGIN u ""', b'a1 LOGIN "u" ""\r\n'),
    ],
)
def test_a_backend_that_decides_gets_a_login_in_one_line(
    scene: Scene, said: bytes, heard: bytes, imap_id: bool
) -> None:
    backend = conversation(LITERAL_PLUS.backend[0], IMAP.answer, then=echo)
    stage = deciding.Stage(scene, "imap", backend, imap_id=imap_id)
    stage.client.talk((said + b"\r\n", IMAP.answer))
    assert stage.backend.peer().received == heard


@pytest.mark.parametrize("imap_id", [False, True])
@pytest.mark.parametrize(
    ("listed", "logged"),
    [
        (b"LITERAL+", "upstream refuses LOGIN and does not offer AUTHENTICATE PLAIN"),
        (b"SASL-IR AUTH=XOAUTH2", "upstream refuses LOGIN and does not offer AUTHENTICATE PLAIN"),
        (b"LITERAL+ STARTTLS", "upstream offers no login before STARTTLS"),
    ],
)
def test_a_backend_that_refuses_logins_gets_no_password(
    scene: Scene, listed: bytes, logged: str, imap_id: bool
) -> None:
    backend = conversation(b"* OK [CAPABILITY IMAP4rev1 LOGINDISABLED %b] backend\r\n" % listed)
    stage = deciding.Stage(scene, "imap", *[backend] * 3, imap_id=imap_id)
    for number in range(3):
        client = stage.client if number == 0 else scene.client(stage.proxy)
        client.skip(0 if number == 0 else len(IMAP.greeting))
        client.talk((IMAP.login, TEMPORARY["imap"]))
        assert stage.backend.heard(number) == b""
    assert "[error]" in stage.proxy.log.find(f"{logged} while reading response from upstream, client: 127.0.0.1, ")


@pytest.mark.parametrize("imap_id", [False, True])
@pytest.mark.parametrize("case", [LOGINDISABLED, SASL_IR], ids=["behind a go-ahead", "in a line"])
def test_a_backend_without_login_that_decides_gets_plain(scene: Scene, case: Case, imap_id: bool) -> None:
    stage = deciding.Stage(scene, "imap", case.script(), imap_id=imap_id)
    stage.client.talk((IMAP.login, IMAP.answer))
    assert stage.backend.peer().received == case.commands


@pytest.mark.parametrize(
    ("case", "replies", "answer"),
    [
        (SASL_IR, (b"a1 NO [AUTHENTICATIONFAILED] wrong\r\n",), deciding.WRONG["imap"]),
        (SASL_IR, (b"a1 BAD what\r\n",), TEMPORARY["imap"]),
        (SASL_IR, (b"+ go on\r\n",), TEMPORARY["imap"]),
        (SASL_IR, (b"* BYE no\r\n",), TEMPORARY["imap"]),
        (LOGINDISABLED, (b"+\r\n", b"a1 NO wrong\r\n"), deciding.WRONG["imap"]),
        (LOGINDISABLED, (b"a1 NO [PRIVACYREQUIRED] no\r\n",), b"a1 NO [PRIVACYREQUIRED] no\r\n"),
        (LOGINDISABLED, (b"a1 BAD what\r\n",), TEMPORARY["imap"]),
    ],
)
@pytest.mark.parametrize("length", [6, 900])
def test_a_backend_without_login_gets_none_after_a_refusal_either(
    scene: Scene, case: Case, replies: tuple[bytes, ...], answer: bytes, length: int
) -> None:
    replies = (b"+ \r\n", *replies) if length > 6 and case is SASL_IR else replies  # it does not fit into the line
    stage = deciding.Stage(scene, "imap", conversation(case.backend[0], *replies))
    stage.client.talk((b"a1 LOGIN user@example.com " + b"x" * length + b"\r\n", answer))
    heard = stage.backend.heard()
    assert heard.startswith(b"a1 AUTHENTICATE PLAIN")
    assert b"LOGIN" not in heard
    assert max(map(len, heard.splitlines())) <= 1300
    assert heard.count(b"\r\n") == len(replies)


@pytest.mark.parametrize(
    ("name", "password"),
    [(b"u\xc3\xa9", b"p"), (b"u", b"p\xff"), (b"u\r\nb NOOP", b"p"), (b"u", b"p\n"), (b"u", b"\x7f")],
)
def test_what_no_quoted_string_may_hold_goes_in_literals(scene: Scene, name: bytes, password: bytes) -> None:
    said = b"a1 LOGIN {%d+}\r\n%b {%d+}\r\n%b\r\n" % (len(name), name, len(password), password)
    at_once = conversation(LISTS_LITERALS, *(b"",) * (said.count(b"\n") - 1), IMAP.answer)
    stage = deciding.Stage(scene, "imap", script(*IMAP.backend[1:]), at_once)
    for number, heard in enumerate((said.replace(b"+}", b"}"), said)):
        client = stage.client if number == 0 else scene.client(stage.proxy)
        client.skip(0 if number == 0 else len(IMAP.greeting))
        client.talk((said, IMAP.answer))
        client.end()
        client.rest()
        assert stage.backend.heard(number) == heard
