"""SMTP backends of every kind: what they are told, and who is let through to them."""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Any

import pytest

from mailworker.model import AuthMethod, XclientGuard
from mailworker.wire.xclient import xtext
from tests.mail.cases import AUTH_PLAIN, CREDENTIALS, SMTP
from tests.mail.conftest import Scene
from tests.mail.deciding import Stage
from tests.support.auth import accepted
from tests.support.backend import Script, ScriptedServer
from tests.support.peer import Peer
from tests.support.proxy import Proxy
from tests.support.settings import dialogue_settings, proxy_settings

ANYBODY = dialogue_settings("smtp", auth=AuthMethod.NONE | AuthMethod.PLAIN, client_buffer=65536)
HELLO = b"EHLO mail.example.com\r\n"
XCLIENT = b"XCLIENT ADDR=127.0.0.1 LOGIN=user@example.com NAME=[UNAVAILABLE]\r\n"
ENVELOPE = b"MAIL FROM:<a@b>\r\n", b"RCPT TO:<c@d>\r\n"
LISTED = b"NAME ADDR LOGIN"
IN = b"235 2.0.0 OK\r\n"
FINE = b"250 fine\r\n"
AWAY = b"421 4.3.5 Service not available\r\n"
EXPOSED = "upstream takes XCLIENT from this proxy, and so from its clients"
UNTOLD = 'upstream lists no LOGIN for XCLIENT and "proxy_smtp_auth" is off'


def smtp_backend(listed: bytes | None, greeting: bytes = b"220 backend\r\n", **replies: bytes) -> Script:
    """A backend that lists these attributes of XCLIENT, None for no XCLIENT, and takes whatever comes."""
    hello = b"250 backend\r\n" if listed is None else b"250-backend\r\n250-SIZE\r\n250 XCLIENT %b\r\n" % listed
    answers = {"EHLO": hello, "XCLI": b"220 again\r\n", "AUTH": b"235 in\r\n"} | replies

    def follow(peer: Peer) -> None:
        peer.send(greeting)
        while line := peer.line():
            peer.send(answers.get(line[:4].decode("latin-1"), FINE))

    return follow


def proxy_for(scene: Scene, *backends: ScriptedServer, **settings: Any) -> Proxy:
    """A proxy that sends each client to the next of `backends`."""
    auth = scene.auth(*(accepted(backend.address) for backend in backends))
    return scene.proxy("smtp", auth, dialogue=ANYBODY, proxy=proxy_settings(**settings))


def greeted(scene: Scene, proxy: Proxy, hello: bytes = b"EHLO me\r\n") -> Peer:
    client = scene.client(proxy)
    client.expect(SMTP.greeting)
    client.send(hello)
    while hello and client.line()[3:4] != b" ":
        pass
    return client


def hand_over(scene: Scene, proxy: Proxy, hello: bytes = b"EHLO me\r\n") -> Peer:
    """A client without a login, that has named its first recipient."""
    client = greeted(scene, proxy, hello)
    client.talk((ENVELOPE[0], b"250 2.0.0 OK\r\n"))
    client.send(ENVELOPE[1])
    return client


def levels(proxy: Proxy, text: str) -> list[str]:
    return [line.partition(" ")[0] for line in proxy.log.lines if text in line]


@pytest.mark.parametrize(
    ("listed", "introduction"),
    [
        (LISTED, XCLIENT + b"EHLO me\r\n"),
        (b"PORT name login Addr", XCLIENT + b"EHLO me\r\n"),
        (b"ADDR NAME", b"XCLIENT ADDR=127.0.0.1 NAME=[UNAVAILABLE]\r\nEHLO me\r\n"),
        (b"LOGIN PROTO", b"XCLIENT LOGIN=user@example.com\r\nEHLO me\r\n"),
        (b"PROTO", b""),
        (b"", b""),
        (None, b""),
    ],
)
def test_a_backend_is_told_what_it_lists(scene: Scene, listed: bytes | None, introduction: bytes) -> None:
    backend = scene.backend(smtp_backend(listed))
    client = greeted(scene, proxy_for(scene, backend))
    client.talk((AUTH_PLAIN, IN), (b"NOOP\r\n", FINE))
    assert backend.peer().received == HELLO + introduction + b"NOOP\r\n"


@pytest.mark.parametrize("reply", [b"220 again\r\n", FINE])
def test_xclient_is_accepted_by_a_greeting_or_as_other_commands_are(scene: Scene, reply: bytes) -> None:
    client = greeted(scene, proxy_for(scene, scene.backend(smtp_backend(LISTED, XCLI=reply))))
    client.talk((AUTH_PLAIN, IN), (b"NOOP\r\n", FINE))


def test_what_is_too_long_for_one_command_goes_before_address_and_login(scene: Scene) -> None:
    backend, login = scene.backend(smtp_backend(LISTED)), b"u" * 475
    client = greeted(scene, proxy_for(scene, backend))
    client.talk((b"AUTH PLAIN %b\r\n" % b64encode(b"\0%b\0secret" % login), IN), (b"NOOP\r\n", FINE))
    introduction = b"XCLIENT NAME=[UNAVAILABLE]\r\nXCLIENT ADDR=127.0.0.1 LOGIN=%b\r\nEHLO me\r\n" % login
    assert backend.peer().received == HELLO + introduction + b"NOOP\r\n"


@pytest.mark.parametrize("listed", [None, b"", b"NAME ADDR"])
def test_a_backend_that_does_not_learn_who_has_logged_in_is_warned_of_once(scene: Scene, listed: bytes | None) -> None:
    one, other = scene.backend(smtp_backend(listed)), scene.backend(smtp_backend(listed))
    proxy = proxy_for(scene, one, one, other, one, other)
    for _ in range(5):
        greeted(scene, proxy).talk((AUTH_PLAIN, IN), (b"QUIT\r\n", FINE))
    assert levels(proxy, UNTOLD) == ["[warn]", "[warn]"]
    warned = [line for line in proxy.log.lines if UNTOLD in line]
    assert [line.rpartition(" ")[2] for line in warned] == [str(one.address), str(other.address)]


@pytest.mark.parametrize(
    ("settings", "listed"),
    [({}, LISTED), ({"smtp_auth": True}, None), ({"smtp_auth": True}, b"ADDR"), ({"xclient": False}, None)],
)
def test_nobody_is_warned_of_where_the_backend_learns_it_or_need_not(
    scene: Scene, settings: dict[str, bool], listed: bytes | None
) -> None:
    proxy = proxy_for(scene, scene.backend(smtp_backend(listed)), **settings)
    greeted(scene, proxy).talk((AUTH_PLAIN, IN))
    hand_over(scene, proxy).expect(FINE)
    assert not levels(proxy, UNTOLD)


# Who can send an XCLIENT of their own: the backend takes it from the proxy, which has not given the client's address.
OPEN: list[tuple[dict[str, bool], bytes]] = [
    ({"xclient": False}, LISTED),
    ({"xclient": False}, b""),
    ({"xclient": False, "smtp_auth": True}, b"ADDR"),
    ({"xclient": True}, b"NAME LOGIN"),
]


@pytest.mark.parametrize("hello", [b"EHLO me\r\n", b"HELO me\r\n", b""], ids=repr)
@pytest.mark.parametrize(("settings", "listed"), OPEN)
def test_who_has_not_logged_in_does_not_get_to_a_backend_that_takes_xclient(
    scene: Scene, settings: dict[str, bool], listed: bytes, hello: bytes
) -> None:
    one, other = scene.backend(smtp_backend(listed)), scene.backend(smtp_backend(listed))
    proxy = proxy_for(scene, one, one, other, one, **settings)
    for _ in range(4):
        assert hand_over(scene, proxy, hello).rest() == AWAY
    assert levels(proxy, EXPOSED) == ["[error]", "[info]", "[error]", "[info]"]
    for number in range(3):
        assert one.heard(number) == HELLO


@pytest.mark.parametrize(("settings", "listed"), OPEN)
def test_who_has_logged_in_gets_there_with_one_warning(scene: Scene, settings: dict[str, bool], listed: bytes) -> None:
    one, other = scene.backend(smtp_backend(listed)), scene.backend(smtp_backend(listed))
    proxy = proxy_for(scene, one, other, one, other, **settings)
    for _ in range(4):
        greeted(scene, proxy).talk((AUTH_PLAIN, IN), (b"NOOP\r\n", FINE))
    assert levels(proxy, EXPOSED) == ["[warn]", "[warn]"]


@pytest.mark.parametrize(("settings", "listed"), OPEN)
@pytest.mark.parametrize("hello", [b"EHLO me\r\n", b"HELO me\r\n"], ids=repr)
def test_the_guard_can_be_for_all(scene: Scene, settings: dict[str, bool], listed: bytes, hello: bytes) -> None:
    proxy = proxy_for(scene, scene.backend(smtp_backend(listed)), xclient_guard=XclientGuard.ALL, **settings)
    client = greeted(scene, proxy, hello)
    client.send(AUTH_PLAIN)
    assert client.rest() == AWAY
    assert hand_over(scene, proxy, hello).rest() == AWAY
    assert levels(proxy, EXPOSED) == ["[error]", "[info]"]


@pytest.mark.parametrize("codes", [False, True])
def test_the_guard_ends_a_session_whose_backend_decides(scene: Scene, codes: bool) -> None:
    """It must not go on, as after a login that this backend could not judge."""
    settings: dict[str, Any] = {"xclient": False, "xclient_guard": XclientGuard.ALL, "pass_error_codes": codes}
    stage = Stage(scene, "smtp", smtp_backend(LISTED), **settings)
    stage.client.send(AUTH_PLAIN)
    assert stage.client.rest() == AWAY
    assert levels(stage.proxy, EXPOSED) == ["[error]"]


@pytest.mark.parametrize(("settings", "listed"), OPEN)
def test_the_guard_can_be_off(scene: Scene, settings: dict[str, bool], listed: bytes) -> None:
    proxy = proxy_for(scene, scene.backend(smtp_backend(listed)), xclient_guard=XclientGuard.OFF, **settings)
    greeted(scene, proxy).talk((AUTH_PLAIN, IN), (b"NOOP\r\n", FINE))
    hand_over(scene, proxy).expect(FINE)
    assert not levels(proxy, EXPOSED)


def test_the_guard_minds_nobody_whose_address_the_backend_is_told(scene: Scene) -> None:
    backend = scene.backend(smtp_backend(LISTED))
    proxy = proxy_for(scene, backend, xclient_guard=XclientGuard.ALL)
    greeted(scene, proxy).talk((AUTH_PLAIN, IN), (b"NOOP\r\n", FINE))
    hand_over(scene, proxy).expect(FINE)
    assert not levels(proxy, EXPOSED)


@pytest.mark.parametrize("refusal", [b"250 backend\r\n", b"502 5.5.2 what\r\n"])
def test_a_backend_is_asked_what_it_lists_before_it_hears_helo(scene: Scene, refusal: bytes) -> None:
    backend = scene.backend(smtp_backend(None, EHLO=refusal))
    client = hand_over(scene, proxy_for(scene, backend, xclient=False), b"HELO me\r\n")
    client.expect(FINE)
    client.talk((b"NOOP\r\n", FINE))
    told = HELLO + b"HELO mail.example.com\r\n" + b"".join(ENVELOPE)
    assert backend.peer().received == told + b"NOOP\r\n"


def test_who_has_logged_in_after_helo_is_introduced_by_helo(scene: Scene) -> None:
    backend = scene.backend(smtp_backend(LISTED))
    greeted(scene, proxy_for(scene, backend, xclient=False), b"HELO me\r\n").talk((AUTH_PLAIN, IN), (b"NOOP\r\n", FINE))
    assert backend.peer().received == b"HELO mail.example.com\r\nNOOP\r\n"


@pytest.mark.parametrize("hello", [b"EHLO me\r\n", b"HELO me\r\n", b""], ids=repr)
@pytest.mark.parametrize("xclient", [True, False])
def test_ehlo_comes_before_auth_whatever_the_client_has_sent(scene: Scene, hello: bytes, xclient: bool) -> None:
    backend = scene.backend(smtp_backend(LISTED, AUTH=b"235 in\r\n"))
    proxy = proxy_for(scene, backend, xclient=xclient, smtp_auth=True, xclient_guard=XclientGuard.OFF)
    introduction = b"XCLIENT ADDR=127.0.0.1 NAME=[UNAVAILABLE]\r\n" + (b"EHLO me\r\n" if hello else HELLO)
    for number in range(4):  # the later ones are foreseen
        greeted(scene, proxy, hello).talk((AUTH_PLAIN, IN), (b"NOOP\r\n", FINE))
        heard = backend.peer(number).received
        sent = introduction if number > 1 else HELLO + introduction
        assert heard == (sent if xclient else HELLO) + AUTH_PLAIN + b"NOOP\r\n"


def test_replies_that_came_too_early_are_taken_in_order(scene: Scene) -> None:
    hello = b"250-backend\r\n250 XCLIENT NAME ADDR LOGIN\r\n220 again\r\n"
    backend = scene.backend(smtp_backend(LISTED, EHLO=hello, XCLI=FINE))
    client = greeted(scene, proxy_for(scene, backend))
    client.talk((AUTH_PLAIN, IN))
    client.close()
    assert backend.heard() == HELLO + XCLIENT + b"EHLO me\r\n"


@pytest.mark.parametrize(("length", "separator"), [(10, b" "), (369, b" "), (370, b"\r\n"), (9200, b"\r\n")])
def test_a_long_password_goes_behind_the_backends_go_ahead(scene: Scene, length: int, separator: bytes) -> None:
    answer = b"235 in\r\n" if separator == b" " else b"334 \r\n"
    backend = scene.backend(smtp_backend(None, AUTH=answer, AHUA=b"235 in\r\n"))
    client = greeted(scene, proxy_for(scene, backend, smtp_auth=True))
    response = b64encode(b"\0u\0" + b"x" * length)
    client.send(b"AUTH PLAIN %b\r\n" % response)
    client.expect(IN)
    assert backend.peer().received == HELLO + b"AUTH PLAIN" + separator + response + b"\r\n"


def test_a_password_that_fits_no_line_does_not_reach_the_backend(scene: Scene) -> None:
    backend = scene.backend(smtp_backend(None))
    proxy = proxy_for(scene, backend, smtp_auth=True)
    client = greeted(scene, proxy)
    client.send(b"AUTH PLAIN %b\r\n" % b64encode(b"\0user\0" + b"x" * 9300))
    assert client.rest() == b"500 5.5.1 Invalid command\r\n"
    assert backend.heard() == HELLO
    assert "while sending AUTH to upstream" in proxy.log.find("client sent too long login or password for AUTH")


@pytest.mark.parametrize("refusal", [b"504 5.5.4 no PLAIN\r\n", b"500 5.5.6 too long\r\n"])
@pytest.mark.parametrize("place", ["AUTH", "AHVz"])
def test_a_refusal_of_a_long_password_ends_the_login(scene: Scene, place: str, refusal: bytes) -> None:
    replies = {"AUTH": b"334 \r\n", "AHVz": b"235 in\r\n", place: refusal}
    proxy = proxy_for(scene, scene.backend(smtp_backend(None, **replies)), smtp_auth=True)
    client = greeted(scene, proxy)
    client.send(b"AUTH PLAIN %b\r\n" % b64encode(b"\0user\0" + b"x" * 3000))
    assert client.rest() == SMTP.error
    assert "upstream sent invalid response" in proxy.log.find("[error]")
    assert CREDENTIALS.decode() not in "".join(proxy.log.lines)


EVERY = b"NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT SESSION TTL CLIENT-TRANSPORT DESTNAME"


def fields(*names: str) -> frozenset[bytes]:
    return frozenset(name.encode() for name in names)


@pytest.mark.parametrize(
    ("told", "listed", "command"),
    [
        (
            fields("ADDR", "LOGIN", "NAME", "HELO", "PROTO"),
            EVERY,
            rb"ADDR=127\.0\.0\.1 LOGIN=user@example\.com NAME=\[UNAVAILABLE\] PROTO=ESMTP HELO=me",
        ),
        (fields("ADDR", "PORT", "SESSION", "TTL"), EVERY, rb"ADDR=127\.0\.0\.1 PORT=\d+ SESSION=[\w-]{16} TTL=6"),
        (
            fields("ADDR", "DESTADDR", "DESTPORT", "DESTNAME"),
            EVERY,
            rb"ADDR=127\.0\.0\.1 DESTADDR=127\.0\.0\.1 DESTPORT=\d+",
        ),
        (fields("ADDR", "CLIENT-TRANSPORT"), EVERY, rb"ADDR=127\.0\.0\.1 CLIENT-TRANSPORT=insecure"),
        (fields("ADDR", "PORT", "HELO"), b"ADDR HELO", rb"ADDR=127\.0\.0\.1 HELO=me"),
    ],
)
def test_a_backend_hears_those_fields_that_it_lists(
    scene: Scene, told: frozenset[bytes], listed: bytes, command: bytes
) -> None:
    backend = scene.backend(smtp_backend(listed))
    client = greeted(scene, proxy_for(scene, backend, xclient_fields=told))
    client.talk((AUTH_PLAIN, IN), (b"NOOP\r\n", FINE))
    pattern = re.escape(HELLO) + b"XCLIENT " + command + rb"\r\nEHLO me\r\nNOOP\r\n"
    assert re.fullmatch(pattern, backend.peer().received)


def test_without_the_address_among_the_fields_the_guard_knows_what_clients_could_do(scene: Scene) -> None:
    proxy = proxy_for(scene, scene.backend(smtp_backend(EVERY)), xclient_fields=fields("LOGIN", "NAME"))
    assert hand_over(scene, proxy).rest() == AWAY
    assert levels(proxy, EXPOSED) == ["[error]"]


@pytest.mark.parametrize(
    "hello",
    [b"x" * 255, b"a+b=c", b"[192.0.2.1]", b"LOGIN=root", b"a printer", b"a LOGIN=root", b"\xff", b"IPV6:::1"],
    ids=repr,
)
def test_no_helo_is_more_than_a_value(scene: Scene, hello: bytes) -> None:
    backend = scene.backend(smtp_backend(EVERY))
    proxy = proxy_for(scene, backend, xclient_fields=fields("ADDR", "HELO", "LOGIN"))
    client = greeted(scene, proxy, b"EHLO %b\r\n" % hello)
    client.talk((AUTH_PLAIN, IN), (b"NOOP\r\n", FINE))
    command = next(line for line in backend.peer().received.split(b"\r\n") if line.startswith(b"XCLIENT"))
    names = [word.split(b"=")[0] for word in command.split()[1:]]
    assert names == [b"ADDR", b"LOGIN", b"HELO"]
    assert command.endswith(b" HELO=" + xtext(hello))
    assert backend.peer().received.endswith(b"\r\nEHLO %b\r\nNOOP\r\n" % hello)


@pytest.mark.parametrize(
    ("xclient", "listed", "heard"),
    [
        (False, None, b"EHLO me\r\n"),
        (True, None, HELLO + b"EHLO me\r\n"),
        (True, b"PROTO", HELLO + b"EHLO me\r\n"),
        (True, LISTED, HELLO + XCLIENT + b"EHLO me\r\n"),
    ],
)
def test_a_client_s_helo_is_kept_without_xclient_too(
    scene: Scene, xclient: bool, listed: bytes | None, heard: bytes
) -> None:
    backend = scene.backend(smtp_backend(listed))
    client = greeted(scene, proxy_for(scene, backend, xclient=xclient, pass_helo=True))
    client.talk((AUTH_PLAIN, IN), (b"NOOP\r\n", FINE))
    assert backend.peer().received == heard + b"NOOP\r\n"


def test_a_sender_without_a_login_keeps_its_helo(scene: Scene) -> None:
    backend = scene.backend(smtp_backend(None, EHLO=b"502 what\r\n"))
    client = hand_over(scene, proxy_for(scene, backend, xclient=False, pass_helo=True), b"HELO me\r\n")
    client.expect(FINE)
    assert backend.peer().received == b"EHLO me\r\nHELO me\r\n" + b"".join(ENVELOPE)


@pytest.mark.parametrize("said", [b"XCLIENT ADDR=192.0.2.66 LOGIN=root\r\n", b"XFORWARD ADDR=192.0.2.66\r\n"])
def test_a_client_has_no_xclient_before_its_login(scene: Scene, said: bytes) -> None:
    backend = scene.backend(smtp_backend(LISTED))
    client = greeted(scene, proxy_for(scene, backend))
    client.talk((said, b"500 5.5.1 Invalid command\r\n"), (AUTH_PLAIN, IN), (b"NOOP\r\n", FINE))
    assert backend.peer().received == HELLO + XCLIENT + b"EHLO me\r\nNOOP\r\n"
