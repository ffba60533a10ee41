"""XCLIENT right after the greeting of an SMTP backend that is known, and what becomes of it at one that has changed."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mailworker.model import ProxyProtocol
from mailworker.wire.smtp_offers import FRESH
from tests.mail.backend.test_smtp import ANYBODY, ENVELOPE, FINE, HELLO, IN, LISTED, XCLIENT, greeted, smtp_backend
from tests.mail.cases import AUTH_PLAIN
from tests.mail.conftest import Scene
from tests.support.auth import accepted
from tests.support.backend import Script, ScriptedServer
from tests.support.implementations import in_python
from tests.support.peer import Peer
from tests.support.proxy import Proxy
from tests.support.settings import proxy_settings

ME = b"EHLO me\r\n"
NOOP = b"NOOP\r\n"
AGAIN = b"220 again\r\n"
NO = b"550 5.7.0 Error: insufficient authorization\r\n"
FIRST = b"503 5.5.1 send EHLO first\r\n"
SOME = b"250-backend\r\n250 XCLIENT NAME ADDR\r\n"
ALL = b"250-backend\r\n250-SIZE\r\n250 XCLIENT NAME ADDR LOGIN\r\n"
PLAIN = b"250-backend\r\n250-AUTH PLAIN\r\n250 XCLIENT NAME ADDR LOGIN\r\n"
ADDRESS = b"XCLIENT ADDR=127.0.0.1 NAME=[UNAVAILABLE]\r\n"
USUAL = smtp_backend(LISTED)
IN_FULL, AT_ONCE = HELLO + XCLIENT + ME, XCLIENT + ME


def proxy_for(scene: Scene, *scripts: Script, **settings: Any) -> tuple[Proxy, ScriptedServer]:
    """A proxy whose backend follows the next of `scripts` with each connection."""
    backend = scene.in_turn(*scripts)
    return scene.proxy("smtp", scene.auth_for(backend), dialogue=ANYBODY, proxy=proxy_settings(**settings)), backend


def log_in(scene: Scene, proxy: Proxy, hello: bytes = ME) -> Peer:
    client = greeted(scene, proxy, hello)
    client.send(AUTH_PLAIN)
    return client


def told(scene: Scene, proxy: Proxy, backend: ScriptedServer, number: int, hello: bytes = ME) -> bytes:
    """What the backend has heard of a client that has logged in."""
    client = log_in(scene, proxy, hello)
    client.expect(IN)
    client.talk((NOOP, FINE))
    client.close()
    return backend.peer(number).received.removesuffix(NOOP)


def changed(
    hello: bytes = ALL,
    *,
    first: bytes = AGAIN,
    later: bytes = AGAIN,
    then: bytes = FINE,
    greeting: bytes = b"",
    denied: bytes | None = None,
) -> Script:
    """A backend that answers XCLIENT by `first` before EHLO and by `later` after it, and other commands by `then`.

    EHLO is answered by `denied`, unless that is None, after XCLIENT was refused. The backend closes the connection
    after nothing, and after 421 and 521.
    """

    def follow(peer: Peer, hello: bytes = hello) -> None:
        peer.send(greeting or b"220 backend\r\n")
        asked = False
        while line := peer.line():
            reply = then
            if line.startswith(b"XCLIENT"):
                reply = later if asked else first
                if denied is not None:
                    hello = denied
            elif line == HELLO:
                reply, asked = hello, True
            if reply:
                peer.send(reply)
            if reply[:3] in {b"", b"421", b"521"}:
                return

    return follow


def slowly(script: Script) -> Script:
    """As a script, with each byte in a segment of its own."""

    def follow(peer: Peer) -> None:
        send = peer.send

        def send_bytes(data: bytes) -> None:
            for number in range(len(data)):
                send(data[number : number + 1])

        peer.send = send_bytes  # type: ignore[method-assign]
        script(peer)

    return follow


@pytest.fixture(params=["C", "Python"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "Python":
        monkeypatch.setattr("mailworker.event.beginning.carry_out", in_python().plan.carry_out)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("script", [USUAL, slowly(USUAL)], ids=["whole", "in bytes"])
def test_a_backend_that_repeats_itself_gets_xclient_at_once(scene: Scene, script: Script) -> None:
    proxy, backend = proxy_for(scene, *[script] * 5)
    assert [told(scene, proxy, backend, number) for number in range(5)] == [IN_FULL] * 2 + [AT_ONCE] * 3


ENDINGS = {
    "wants EHLO first": changed(first=FIRST),
    "wants EHLO first for now": changed(first=b"450 4.7.1 wait\r\n"),
    "trusts the proxy no longer": changed(b"250 backend\r\n", first=NO, later=NO),
    "takes no LOGIN any more": changed(SOME, first=b"501 5.5.4 Bad XCLIENT attribute name: LOGIN\r\n"),
    "refuses after EHLO, too": changed(first=NO, later=NO),
    "refuses in several lines": changed(first=b"550-no\r\n" + NO, later=b"550-no\r\n" + NO),
    "denies all access": changed(first=NO, later=NO, denied=b"503 5.7.0 access denied\r\n"),
    "denies all access, and leaves": changed(first=NO, later=NO, denied=b""),
    "leaves with 421": changed(first=b"421 4.3.2 bye\r\n", later=b"421 4.3.2 bye\r\n"),
    "leaves with 521": changed(first=b"521 5.3.2 bye\r\n", later=b"521 5.3.2 bye\r\n"),
    "leaves without a word": changed(first=b"", later=b""),
    "asks for more": changed(first=b"354 go on\r\n", later=b"354 go on\r\n"),
    "speaks no SMTP": changed(first=b"hello\r\n", later=b"hello\r\n"),
    "refuses the client's name": changed(then=b"550 5.7.1 bad name\r\n"),
    "leaves at the client's name": changed(then=b""),
    "greets otherwise": changed(greeting=b"220-another\r\n220 backend\r\n"),
    "greets no client": changed(greeting=b"554 5.3.2 no\r\n"),
}


def _ending(scene: Scene, script: Script, known: int) -> tuple[object, ...]:
    """What a client hears, what its log tells, and what the backend has heard after EHLO."""
    proxy, backend = proxy_for(scene, *[USUAL] * known, script)
    for number in range(known):
        told(scene, proxy, backend, number)
    proxy.service_is_idle()
    before = len(proxy.log.lines)
    client = log_in(scene, proxy)
    client.end()
    heard = client.rest()
    proxy.service_is_idle()
    lines = [re.sub(r"\*\d+ |:\d+", "", line) for line in proxy.log.lines[before:] if " connected to " not in line]
    said = backend.heard(known)
    assert known < 2 or not said or said.startswith((XCLIENT, HELLO))
    return heard, lines, said.rpartition(HELLO)[2] if IN in heard else b""


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("pieces", [lambda script: script, slowly], ids=["whole", "in bytes"])
@pytest.mark.parametrize("script", ENDINGS.values(), ids=ENDINGS.keys())
def test_a_login_by_memory_ends_as_one_without(scene: Scene, script: Script, pieces: Any) -> None:
    without = _ending(scene, pieces(script), 0)
    assert without[1]
    assert _ending(scene, pieces(script), 1) == without
    assert _ending(scene, pieces(script), 2) == without


def test_a_backend_that_wants_ehlo_first_gets_it_from_then_on(scene: Scene) -> None:
    proxy, backend = proxy_for(scene, *[USUAL] * 2, *[changed(first=FIRST)] * 4)
    heard = [told(scene, proxy, backend, number) for number in range(6)]
    assert heard == [IN_FULL] * 2 + [XCLIENT + IN_FULL] + [IN_FULL] * 3


def test_a_backend_that_has_withdrawn_its_trust_is_asked_from_then_on(scene: Scene) -> None:
    distrusting = changed(b"250 backend\r\n", first=NO, later=NO)
    proxy, backend = proxy_for(scene, *[USUAL] * 2, *[distrusting] * 3, *[USUAL] * 3)
    heard = [told(scene, proxy, backend, number) for number in range(8)]
    assert heard == [IN_FULL] * 2 + [XCLIENT + HELLO] + [HELLO] * 2 + [IN_FULL, IN_FULL, AT_ONCE]


def test_a_refusal_of_one_client_does_not_change_what_others_get(scene: Scene) -> None:
    denying = changed(first=NO, later=NO, denied=b"503 5.7.0 access denied\r\n")
    proxy, backend = proxy_for(scene, *[USUAL] * 2, denying, *[USUAL] * 3)
    for number in range(2):
        told(scene, proxy, backend, number)
    log_in(scene, proxy).expect(b"451 4.3.2 Internal server error\r\n")
    assert backend.heard(2) == XCLIENT + HELLO
    assert [told(scene, proxy, backend, number) for number in range(3, 6)] == [IN_FULL, AT_ONCE, AT_ONCE]


def test_a_backend_is_asked_every_five_minutes_what_it_lists(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("mailworker.mail.server.monotonic", lambda: now[0])
    more = smtp_backend(LISTED + b" HELO")
    scripts = [*[USUAL] * 5, *[more] * 3]
    proxy, backend = proxy_for(scene, *scripts, xclient_fields=frozenset((b"ADDR", b"LOGIN", b"HELO")))
    short, long = b"XCLIENT ADDR=127.0.0.1 LOGIN=user@example.com\r\n", b" HELO=me\r\n"
    heard = []
    for number in range(len(scripts)):
        heard.append(told(scene, proxy, backend, number).replace(short, b"X\r\n").replace(short[:-2], b"X"))
        now[0] += FRESH if number in {2, 5} else 1
    in_full, at_once = HELLO + b"X\r\n" + ME, b"X\r\n" + ME
    later = HELLO + b"X" + long + ME
    assert heard == [in_full, in_full, at_once, in_full, at_once, at_once, later, later]


@pytest.mark.parametrize(
    ("settings", "lists", "commands"),
    [
        ({}, ALL, AT_ONCE),
        ({"pass_helo": True}, ALL, AT_ONCE),
        ({"smtp_auth": True}, PLAIN, ADDRESS + ME + AUTH_PLAIN),
        ({"xclient_fields": frozenset((b"ADDR", b"LOGIN"))}, ALL, AT_ONCE.replace(b" NAME=[UNAVAILABLE]", b"")),
    ],
)
def test_what_goes_at_once_is_what_goes_after_ehlo(
    scene: Scene, settings: dict[str, Any], lists: bytes, commands: bytes
) -> None:
    script = smtp_backend(None, EHLO=lists)
    proxy, backend = proxy_for(scene, *[script] * 4, **settings)
    heard = [told(scene, proxy, backend, number) for number in range(4)]
    assert heard == [HELLO + commands] * 2 + [commands] * 2


@pytest.mark.parametrize("hello", [b"HELO me\r\n", b""])
def test_a_client_without_ehlo_is_introduced_as_before(scene: Scene, hello: bytes) -> None:
    proxy, backend = proxy_for(scene, *[USUAL] * 3)
    heard = [told(scene, proxy, backend, number, hello) for number in range(3)]
    assert heard == [HELLO + XCLIENT + hello] * 2 + [XCLIENT + hello]


@pytest.mark.parametrize(
    ("settings", "lists"),
    [
        ({"xclient": False}, b"250 backend\r\n"),
        ({"xclient_fields": frozenset((b"ADDR",))}, ALL),
        ({}, SOME),
        ({}, b"250 backend\r\n"),
        ({"proxy_protocol": ProxyProtocol.V1}, ALL),
    ],
)
def test_all_others_are_asked_each_time(scene: Scene, settings: dict[str, Any], lists: bytes) -> None:
    script = smtp_backend(None, EHLO=lists)

    def behind_header(peer: Peer) -> None:
        peer.line()
        script(peer)

    each = behind_header if "proxy_protocol" in settings else script
    proxy, backend = proxy_for(scene, *[each] * 4, **settings)
    heard = {re.sub(rb"PROXY [^\n]*\n", b"", told(scene, proxy, backend, number)) for number in range(4)}
    assert len(heard) == 1
    assert heard.pop().startswith((HELLO, ME))


def test_a_greeting_with_the_time_of_day_is_never_known(scene: Scene) -> None:
    scripts = [smtp_backend(LISTED, b"220 at %d\r\n" % number) for number in range(5)]
    proxy, backend = proxy_for(scene, *scripts)
    assert {told(scene, proxy, backend, number) for number in range(5)} == {IN_FULL}


def test_mail_without_a_login_is_introduced_after_ehlo(scene: Scene) -> None:
    proxy, backend = proxy_for(scene, *[USUAL] * 3)
    for number in range(3):
        client = greeted(scene, proxy)
        client.talk(*[(line, b"250 2.0.0 OK\r\n") for line in ENVELOPE[:1]])
        client.send(ENVELOPE[1])
        client.expect(FINE)
        assert backend.peer(number).received == HELLO + ADDRESS + ME + b"".join(ENVELOPE)


def test_attributes_that_need_two_commands_follow_ehlo(scene: Scene) -> None:
    fields = frozenset((b"ADDR", b"LOGIN", b"HELO"))
    name = b"m" * 255
    backend = scene.backend(smtp_backend(LISTED + b" HELO"))
    auth = scene.auth(*[accepted(backend.address, (b"Auth-User", b"u" * 300))] * 3)
    proxy = scene.proxy("smtp", auth, dialogue=ANYBODY, proxy=proxy_settings(xclient_fields=fields))
    heard = {told(scene, proxy, backend, number, b"EHLO " + name + b"\r\n") for number in range(3)}
    assert len(heard) == 1
    assert heard.pop().count(b"XCLIENT ") == 2


def test_a_backend_that_offers_another_mechanism_gets_no_password_by_memory(scene: Scene) -> None:
    scripts = [*[smtp_backend(None, EHLO=PLAIN)] * 3, smtp_backend(None, EHLO=PLAIN.replace(b"PLAIN", b"LOGIN"))]
    proxy, backend = proxy_for(scene, *scripts, smtp_auth=True)
    for number in range(3):
        told(scene, proxy, backend, number)
    log_in(scene, proxy).line()
    assert AUTH_PLAIN not in backend.peer(3).received
    assert backend.peer(3).received.startswith(ADDRESS + ME + b"AUTH LOGIN\r\n")
