"""Logins at POP3 backends that are known: asked once, then foreseen, and never by AUTH PLAIN unless it is listed."""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import Callable
from math import inf
from threading import Event
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mailworker.errors import PeerError
from mailworker.mail.backend import pop3
from mailworker.mail.backend.backend import Backend
from mailworker.mail.backend.conversation import Foreseen
from mailworker.mail.backend.pop3 import first_steps, log_in
from mailworker.model import AuthMethod, ProxyProtocol
from mailworker.wire.backend import Known, Reply
from mailworker.wire.login import Login
from mailworker.wire.pop3_greetings import Greetings
from mailworker.wire.secret import Secret
from tests.mail import deciding
from tests.mail.cases import AUTH_PLAIN, CAPABILITIES, POP3, SASL_PLAIN
from tests.mail.cases import pop3_server as server
from tests.mail.conftest import Scene
from tests.support.auth import accepted
from tests.support.backend import Script, ScriptedServer, echo
from tests.support.patience import PATIENCE
from tests.support.peer import Peer
from tests.support.proxy import Proxy
from tests.support.settings import mail_server, proxy_settings, proxy_ssl_settings

READY = POP3.backend[0]
ASKED, NOT_LISTED = b"CAPA\r\n", b"+OK\r\nUSER\r\nPIPELINING\r\n.\r\n"
STAMPED = b"+OK backend <1896.%d@host.example>\r\n"


def proxy_for(scene: Scene, *scripts: Script, **settings: Any) -> tuple[Proxy, ScriptedServer]:
    """A proxy whose backend follows the next of `scripts` with each connection."""
    backend = scene.in_turn(*scripts)
    return scene.proxy("pop3", scene.auth_for(backend), proxy=proxy_settings(**settings)), backend


def logging_in(scene: Scene, proxy: Proxy) -> Peer:
    client = scene.client(proxy)
    client.expect(POP3.greeting)
    client.send(AUTH_PLAIN)
    return client


def heard(scene: Scene, *scripts: Script, **settings: Any) -> list[bytes]:
    """What the backend hears of each login, all of which succeed."""
    proxy, backend = proxy_for(scene, *scripts, **settings)
    for number in range(len(scripts)):
        client = logging_in(scene, proxy)
        client.expect(POP3.answer)
        client.talk((b"NOOP\r\n", b"NOOP\r\n"))
        assert backend.peer(number).received.endswith(b"\r\nNOOP\r\n")
        client.close()
    return [backend.peer(number).received.removesuffix(b"NOOP\r\n") for number in range(len(scripts))]


LEARNED = [POP3.commands, ASKED + AUTH_PLAIN, AUTH_PLAIN, AUTH_PLAIN, AUTH_PLAIN]
UNLISTED = [POP3.commands, ASKED + POP3.commands, POP3.commands, POP3.commands, POP3.commands]


@pytest.mark.parametrize("send", [Peer.send, Peer.send_slowly], ids=["whole", "in bytes"])
@pytest.mark.parametrize(
    ("listed", "sent"),
    [
        (CAPABILITIES, LEARNED),
        (b"+ok here\r\nsasl plain\r\n.\r\n", LEARNED),
        (b"+OK\r\n" + b"X-%b\r\n" % (b"x" * 100) * 20 + b"SASL PLAIN\r\n.\r\n", LEARNED),
        (NOT_LISTED, UNLISTED),
        (b"+OK\r\nSASL LOGIN\r\nUSER\r\n.\r\n", UNLISTED),
        (b"+OK\r\n.\r\n", UNLISTED),
        (b"what}\r\n", UNLISTED),
        (None, UNLISTED),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_backend_that_repeats_its_greeting_is_asked_once(
    scene: Scene, listed: bytes | None, sent: list[bytes], send: Callable[[Peer, bytes], None]
) -> None:
    assert heard(scene, *[server(listed=listed, send=send)] * len(sent)) == sent


def test_what_a_backend_lists_counts_for_one_greeting(scene: Scene) -> None:
    other = server(b"+OK another\r\n", NOT_LISTED)
    scripts = *(server(),) * 3, other, server(), other, server(), other
    assert heard(scene, *scripts) == [
        *(POP3.commands, ASKED + AUTH_PLAIN, AUTH_PLAIN),
        *(POP3.commands, AUTH_PLAIN, ASKED + POP3.commands),
        *(POP3.commands, POP3.commands),  # it waits from now on, whatever its greeting
    ]


def test_a_timestamp_in_the_greeting_does_not_count(scene: Scene) -> None:
    assert heard(scene, *[server(STAMPED % number) for number in range(5)]) == LEARNED


def test_a_backend_that_never_repeats_a_greeting_is_never_asked(scene: Scene) -> None:
    scripts = [server(b"+OK at %d\r\n" % number) for number in range(18)]
    assert heard(scene, *scripts, server(), server(), server()) == [POP3.commands] * 21


@pytest.mark.parametrize(
    "settings",
    [
        {"pop3_xclient": True},
        {"proxy_protocol": ProxyProtocol.V1},
    ],
    ids=repr,
)
def test_a_backend_that_hears_who_the_client_is_is_never_asked(scene: Scene, settings: dict[str, Any]) -> None:
    def headed(peer: Peer) -> None:
        if "proxy_protocol" in settings:
            peer.line()
        server()(peer)

    for said in heard(scene, headed, headed, headed, headed, **settings):
        assert said.endswith(POP3.commands)
        assert ASKED not in said
        assert AUTH_PLAIN not in said


def test_the_service_may_name_the_way(scene: Scene) -> None:
    backend = scene.backend(server())
    proxy = scene.proxy("pop3", scene.auth_for(backend, (b"Auth-Backend-Mech", b"plain")))
    for number in range(4):
        logging_in(scene, proxy).expect(POP3.answer)
        assert backend.peer(number).received.startswith(b"AUTH PLAIN\r\n")


@pytest.mark.parametrize("known", [2, 4])
@pytest.mark.parametrize("answer", [b"-ERR [AUTH] wrong\r\n", b"+ \r\n", b"\r\n", b"+O\r\n", b"x\r\n"], ids=repr)
def test_what_is_no_success_ends_the_login(scene: Scene, known: int, answer: bytes) -> None:
    proxy, backend = proxy_for(scene, *[server()] * known, server(answer=answer))
    for _ in range(known):
        logging_in(scene, proxy).expect(POP3.answer)
    assert logging_in(scene, proxy).rest() == POP3.error
    assert backend.heard(known) == AUTH_PLAIN
    text = answer.decode().removesuffix("\r\n")
    assert "while reading response from upstream" in proxy.log.find(f'upstream sent invalid response: "{text}"')


@pytest.mark.parametrize("known", [1, 2, 4])
def test_a_backend_that_does_not_take_plain_any_more_costs_one_login(scene: Scene, known: int) -> None:
    """It may have been configured anew, or another server has answered for it once."""
    proxy, backend = proxy_for(
        scene, *[server()] * known, server(answer=b"-ERR unknown\r\n"), *[server(listed=NOT_LISTED)] * 3
    )
    for number in range(known + 4):
        logging_in(scene, proxy).expect(POP3.error if number == known else POP3.answer)
    heard = [backend.peer(number).received for number in range(known, known + 4)]
    assert heard == [ASKED + AUTH_PLAIN if known == 1 else AUTH_PLAIN, ASKED + POP3.commands, *[POP3.commands] * 2]


def test_a_refusal_is_passed_on_as_one_of_pass_is(scene: Scene) -> None:
    refusal = b"-ERR [AUTH] not you\r\n"
    proxy, _ = proxy_for(scene, *[server()] * 2, server(answer=refusal), pass_error_message=True)
    for _ in range(2):
        logging_in(scene, proxy).expect(POP3.answer)
    assert logging_in(scene, proxy).rest() == refusal


def test_a_backend_that_judges_is_believed_and_asked_again(scene: Scene) -> None:
    no = server(answer=b"-ERR [AUTH] no\r\n")
    stage = deciding.Stage(scene, "pop3", *[server()] * 2, no, server())
    clients = [stage.client, *(scene.client(stage.proxy) for _ in range(2))]
    for number, client in enumerate(clients):
        if number:
            client.expect(POP3.greeting)
        client.talk((AUTH_PLAIN, deciding.WRONG["pop3"] if number == 2 else POP3.answer))
    clients[2].talk((AUTH_PLAIN, POP3.answer))
    assert [stage.backend.peer(number).received for number in range(4)] == [*LEARNED[:2], *[AUTH_PLAIN] * 2]


def test_after_a_while_a_refusal_of_plain_makes_it_asked_again(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have been told to take passwords over TLS alone."""
    monkeypatch.setattr(pop3, "_TRUST", 0.0)
    disabled = b"-ERR [AUTH] Plaintext authentication disabled.\r\n"
    changed = server(listed=b"+OK\r\nSTLS\r\nSASL\r\n.\r\n", answer=disabled, user=disabled)
    proxy, backend = proxy_for(scene, *[server()] * 3, *[changed] * 3)
    for number in range(6):
        logging_in(scene, proxy).expect(POP3.answer if number < 3 else POP3.error)
    user = POP3.commands.splitlines(keepends=True)[0]
    assert [backend.heard(number) for number in (3, 4, 5)] == [AUTH_PLAIN, ASKED + user + ASKED, user + ASKED]


@pytest.mark.parametrize(
    ("listed", "logged"),
    [
        (b"+OK\r\nSASL PLAIN\r\n", "upstream prematurely closed connection"),
        (b"+OK", "upstream prematurely closed connection"),
        (b"", "upstream prematurely closed connection"),
        (b"+OK\r\n" + b"SASL PLAIN\r\n" * 400, "upstream sent too long response line"),
        (b"+OK\r\n" + b"x" * 5000, "upstream sent too long response line"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_list_that_does_not_end_costs_a_connection_and_no_login(scene: Scene, listed: bytes, logged: str) -> None:
    def leave(peer: Peer) -> None:
        peer.send(READY)
        peer.line()
        peer.send(listed)
        if len(listed) > 1000:
            peer.rest()

    proxy, backend = proxy_for(scene, server(), leave, *[server()] * 3)
    for number in (0, 2, 3, 4):
        logging_in(scene, proxy).expect(POP3.answer)
        assert backend.peer(number).received == POP3.commands
    assert backend.heard(1) == ASKED
    assert proxy.log.find(logged)


@pytest.mark.parametrize("listed", [b"", b"+O", b"+OK capabilities\r\n", b"+OK\r\nSASL PLAIN\r\n"], ids=repr)
def test_a_list_that_does_not_come_keeps_no_login_waiting(scene: Scene, listed: bytes) -> None:
    asked = Event()

    def tarry(peer: Peer) -> None:
        peer.send(READY)
        peer.line()
        peer.send(listed)
        asked.set()
        peer.rest()

    proxy, backend = proxy_for(scene, server(), tarry, *[server()] * 2)
    logging_in(scene, proxy).expect(POP3.answer)
    client = logging_in(scene, proxy)
    assert asked.wait(PATIENCE)
    scene.skip(5.5)
    client.expect(POP3.answer)
    logging_in(scene, proxy).expect(POP3.answer)
    assert backend.heard(1) == ASKED
    assert [backend.peer(number).received for number in (2, 3)] == [POP3.commands] * 2
    assert proxy.log.find("upstream timed out")


def test_a_list_in_time_leaves_the_login_its_own(scene: Scene) -> None:
    asked = Event()

    def judge(peer: Peer) -> None:
        peer.send(READY)
        peer.line()
        peer.send(CAPABILITIES)
        peer.line()
        asked.set()
        assert go_on.wait(PATIENCE)
        peer.send(POP3.answer)
        echo(peer)

    go_on = Event()
    proxy, _ = proxy_for(scene, server(), judge)
    logging_in(scene, proxy).expect(POP3.answer)
    client = logging_in(scene, proxy)
    assert asked.wait(PATIENCE)
    scene.skip(5.5)
    go_on.set()
    client.expect(POP3.answer)


@pytest.mark.parametrize("known", [0, 4])
def test_bytes_behind_the_answer_reach_the_client(scene: Scene, known: int) -> None:
    answer = POP3.answer + b"+OK more\r\n"
    proxy, _ = proxy_for(scene, *[server()] * known, server(answer=answer))
    for _ in range(known):
        logging_in(scene, proxy).expect(POP3.answer)
    logging_in(scene, proxy).expect(answer)


@pytest.mark.parametrize("starttls", [False, True], ids=["on", "starttls"])
def test_a_list_counts_over_tls_unless_the_greeting_came_in_clear(scene: Scene, starttls: bool) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(scene.certificate.certificate, scene.certificate.key)

    def encrypted(peer: Peer) -> None:
        if starttls:
            peer.send(READY)
            peer.line()
            peer.send(b"+OK\r\n")
        peer.serve_tls(context)
        server(b"" if starttls else READY)(peer)

    sent = heard(scene, *[encrypted] * 4, ssl=proxy_ssl_settings(starttls=starttls))
    assert sent == ([b"STLS\r\n" + POP3.commands] * 4 if starttls else LEARNED[:4])


# The longest of a name "u" whose command by AUTH has 255 bytes, and the longest for PASS.
FITS, FITS_PASS = b"x" * 177, b"x" * 248
LOGINS: tuple[dict[str, Any], ...] = (
    {},
    {"name": b"", "password": Secret(b"")},
    {"name": b"us\xc3\xa9r", "password": Secret(b'"p\\ \xff')},
    *({"name": b"u", "password": Secret(word)} for word in (FITS, FITS + b"x", FITS_PASS, FITS_PASS + b"x")),
    *({"password": Secret(b"p%b" % bad)} for bad in (b"\0", b"\r", b"\n", b"\r\nDELE 1")),
    *({"name": b"u%b" % bad} for bad in (b"\0", b"\r", b"\n", b"\r\nDELE 1")),
    {"passed_on": True},
    {"mechanism": AuthMethod.NONE},
)


def _place() -> Backend:
    """Stands for a backend that has not greeted yet."""
    place = SimpleNamespace(
        server=SimpleNamespace(settings=mail_server("pop3", proxy=proxy_settings()), pop3_greetings=Greetings()),
        log=SimpleNamespace(backend="192.0.2.1:110"),
        stream=SimpleNamespace(deadline=inf, loop=SimpleNamespace(now=0.0)),
    )
    return cast(Backend, place)


def _talked(backend: Backend, login: Login, listed: bytes, foreseen: tuple[Foreseen, ...] = ()) -> list[Foreseen]:
    """All steps of a login whose replies are usual; raises a PeerError."""
    place: Any = backend
    place.greeted, place.greeting, place.foreseen = False, b"", foreseen
    place.greet = lambda wanted: Backend.greet(place, wanted)
    steps: list[Foreseen] = []
    talk = log_in(backend, login)
    lines = listed.splitlines(keepends=True)
    try:
        said = next(talk)
        while True:
            steps += said[1:] if place.greeted and len(said) > 1 and said[0][0] is None else said
            command, wanted = said[-1]
            if wanted.command == "CAPA":
                said = talk.send(Reply(lines.pop(0)))
            else:
                said = talk.send(Reply(READY if command is None else wanted.last + b"\r\n"))
    except StopIteration:
        return steps


def _named(steps: Any) -> list[tuple[object, ...]]:
    """The known greetings as those of the conversation."""
    return [
        (command, "greeting" if isinstance(wanted, Known) or wanted.command is None else wanted)
        for command, wanted in steps
    ]


@pytest.mark.parametrize("listed", [CAPABILITIES, NOT_LISTED], ids=["listed", "not listed"])
@pytest.mark.parametrize("details", LOGINS, ids=repr)
def test_foreseen_steps_are_those_of_the_whole_login(listed: bytes, details: dict[str, Any]) -> None:
    words = {"method": AuthMethod.PLAIN, "name": b"user@example.com", "password": Secret(b"secret")}
    login, usual = Login(**{**words, **details}), Login(**words)  # type: ignore[arg-type]
    place = _place()
    assert first_steps(place, usual) is None
    for _ in range(3):
        _talked(place, usual, listed)
    try:
        whole = _talked(place, login, listed)
    except PeerError:
        with pytest.raises(PeerError):
            first_steps(place, login)
        return
    foreseen = first_steps(place, login)
    if foreseen is None:
        assert login.mechanism is not None or len(cast(Secret, login.password).revealed) > len(FITS_PASS)
        return
    at_once = listed is CAPABILITIES and len(cast(Secret, login.password).revealed) <= len(FITS)
    assert len(foreseen) == (2 if at_once else 3)
    assert max(len(command or b"") for command, _ in foreseen) <= 255
    assert _named(foreseen) == _named(whole)
    place.server.pop3_greetings.__init__()  # type: ignore[misc]
    assert _named(_talked(place, login, listed, foreseen)) == _named(foreseen)  # whatever is known by now


def test_a_login_that_is_no_line_reaches_nobody(scene: Scene) -> None:
    backend = scene.backend(server())
    answers = [accepted(backend.address)] * 3 + [accepted(backend.address, (b"Auth-Pass", b"p\x0b\x0cDELE 1"))]
    proxy = scene.proxy("pop3", scene.auth(*answers))
    for _ in range(4):
        logging_in(scene, proxy).expect(POP3.answer)
    assert backend.peer(3).received == b"AUTH PLAIN %b\r\n" % b64encode(b"\0user@example.com\0p\x0b\x0cDELE 1")


def test_the_case_of_others_is_that_of_such_a_backend(scene: Scene) -> None:
    assert heard(scene, *[server()] * 3)[-1] == SASL_PLAIN.commands
