"""Logins at IMAP backends that are known: foreseen as one plan, and never carried out against what they list now."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from mailworker.errors import PeerError
from mailworker.mail.backend.backend import Backend
from mailworker.mail.backend.conversation import Foreseen
from mailworker.mail.backend.imap import first_steps, log_in
from mailworker.model import AuthMethod
from mailworker.wire.backend import Known, Reply
from mailworker.wire.imap_greetings import LoginForms
from mailworker.wire.login import Login
from mailworker.wire.remembered import Remembered
from mailworker.wire.secret import Secret
from tests.mail.cases import IMAP, LITERAL_PLUS, LOGINDISABLED, SASL_IR
from tests.mail.conftest import Scene
from tests.support.backend import Script, conversation, echo
from tests.support.peer import Peer
from tests.support.proxy import Proxy
from tests.support.settings import mail_server, proxy_settings

TAKES, WAITS = LITERAL_PLUS.backend[0], IMAP.backend[0]
ASKS, ASKS_ONCE = LOGINDISABLED.backend[0], SASL_IR.backend[0]
GREETINGS = (
    TAKES,
    WAITS,
    b"* OK [CAPABILITY IMAP4rev1 LITERAL-] backend\r\n",
    b"* OK [CAPABILITY IMAP4rev1 LITERAL+ LOGINDISABLED] backend\r\n",
    ASKS,
    ASKS_ONCE,
    b"* OK [CAPABILITY IMAP4rev1 ID LITERAL+] backend\r\n",
    b"* OK [CAPABILITY IMAP4rev1 LITERAL+] " + b"x" * 1024 + b"\r\n",
)
LOGINS: tuple[dict[str, Any], ...] = (
    {},
    {"name": b"", "password": Secret(b"")},
    {"name": b"us\xc3\xa9r", "password": Secret(b'"p\\ \xff"')},
    {"name": b"u {3+}\r\nb NOOP", "password": Secret(b"p\r\nb LOGOUT\r\n")},
    {"password": Secret(b"x" * 957)},
    {"password": Secret(b"x" * 958)},
    {"password": Secret(b"x" * 959)},
    {"password": Secret(b"x" * 960)},
    {"password": Secret(b"x" * 1100)},
    {"name": b"u\0", "password": Secret(b"p")},
    {"password": Secret(b"p\0")},
    {"passed_on": True},
    {"passed_on": True, "password": Secret(b"p\xff")},
    {"passed_on": True, "password": Secret(b"p\0")},
    {"mechanism": AuthMethod.PLAIN},
    {"mechanism": AuthMethod.NONE},
)
KINDS = {case.backend[0]: case for case in (LITERAL_PLUS, IMAP, LOGINDISABLED, SASL_IR)}


def _place(**settings: Any) -> Backend:
    """Stands for a backend that has not greeted yet."""
    place = SimpleNamespace(
        server=SimpleNamespace(
            settings=mail_server("imap", proxy=proxy_settings(**settings)), greetings=Remembered[LoginForms]()
        ),
        log=SimpleNamespace(backend="192.0.2.1:143"),
        client=SimpleNamespace(identity=_no_identity),
    )
    _arrive(place)
    return cast(Backend, place)


def _arrive(place: Any) -> None:
    place.greeted, place.greeting = False, b""
    place.greet = lambda wanted: Backend.greet(place, wanted)


def _no_identity(*_asked: object) -> Any:
    return SimpleNamespace(session=b"", hops=6, secure=False, address=None, local=None, server_name=None)


def _login(details: dict[str, Any]) -> Login:
    words = {"method": AuthMethod.PLAIN, "name": b"user@example.com", "password": Secret(b"secret"), "tag": b"a1"}
    return Login(**{**words, **details})


def _talked(place: Backend, login: Login, greeting: bytes) -> list[Foreseen] | None:
    """All steps of a login at a backend with this greeting whose replies are usual; None if it comes to nothing."""
    _arrive(place)
    steps: list[Foreseen] = []
    talk = log_in(place, login)
    try:
        said = next(talk)
        while True:
            steps += said
            command, wanted = said[-1]
            said = talk.send(Reply(greeting if command is None else wanted.last + b"\r\n"))
    except StopIteration:
        return steps
    except PeerError:
        return None


def _plan(place: Backend, login: Login) -> list[tuple[object, ...]] | None:
    """The foreseen steps, the known greetings as those of the conversation."""
    steps = first_steps(place, login)
    return None if steps is None else [(command, _named(wanted)) for command, wanted in steps]


def _named(wanted: object) -> object:
    return "greeting" if isinstance(wanted, Known) or getattr(wanted, "command", None) is None else wanted


@pytest.mark.parametrize("greeting", GREETINGS)
@pytest.mark.parametrize("details", LOGINS)
def test_foreseen_steps_are_those_of_the_whole_login(greeting: bytes, details: dict[str, Any]) -> None:
    place, login = _place(), _login(details)
    assert first_steps(place, login) is None
    for _ in range(2):
        whole = _talked(place, login, greeting)
    foreseen = _plan(place, login)
    if foreseen is not None:
        assert whole is not None
        assert foreseen == [(command, _named(wanted)) for command, wanted in whole]
    is_short = len(details.get("password", Secret(b"")).revealed) < 958
    is_usual = whole is not None and login.mechanism is None and is_short and b"LOGINDISABLED" not in greeting
    assert (foreseen is not None) >= (is_usual and len(greeting) <= 1024)
    assert first_steps(_place(imap_id=True), login) is None


def _commands(place: Backend, length: int, greeting: bytes) -> list[bytes]:
    """The commands of a login with a password of this length."""
    steps = _talked(place, _login({"password": Secret(b"x" * length)}), greeting)
    assert steps is not None
    return [command for command, _ in steps if command is not None]


def test_no_login_in_literals_is_longer_than_backends_take() -> None:
    place, most = _place(), dict[int, int]()
    for length in range(940, 980):
        for greeting in (TAKES, WAITS):
            commands = _commands(place, length, greeting)
            if b"LOGIN" in commands[0]:
                most[len(commands)] = max(most.get(len(commands), 0), len(b"".join(commands)))
    assert most == {1: 1000, 3: 1000}


def test_no_login_by_plain_has_a_line_that_is_longer_than_backends_take() -> None:
    said = [_commands(_place(), length, ASKS_ONCE) for length in range(700, 730)]
    assert {len(commands) for commands in said} == {1, 2}
    assert max(len(commands[0]) for commands in said) == 1000


def proxy_for(scene: Scene, *scripts: Script) -> tuple[Proxy, Any]:
    """A proxy whose backend follows the next of `scripts` with each connection."""
    backend = scene.in_turn(*scripts)
    return scene.proxy("imap", scene.auth_for(backend), proxy=proxy_settings()), backend


def logged_in(scene: Scene, proxy: Proxy, login: bytes = IMAP.login) -> Peer:
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.send(login)
    return client


def whole(greeting: bytes, kind: bytes = TAKES) -> Script:
    return conversation(greeting, *KINDS[kind].backend[1:], then=echo)


def slow(greeting: bytes, kind: bytes) -> Script:
    """As `whole`, with each byte in a segment of its own."""

    def follow(peer: Peer) -> None:
        peer.send_slowly(greeting)
        for answer in KINDS[kind].backend[1:]:
            peer.line()
            peer.send_slowly(answer)
        echo(peer)

    return follow


TURNS = (
    *((greeting, greeting) for greeting in (TAKES, TAKES, TAKES, WAITS, WAITS, WAITS, TAKES, TAKES, WAITS, TAKES)),
    *((greeting, greeting) for greeting in (ASKS, TAKES, ASKS, ASKS, ASKS_ONCE, ASKS_ONCE, ASKS_ONCE, WAITS, ASKS)),
    (TAKES.replace(b"backend", b"another"), TAKES),
    (b"* OK [CAPABILITY IMAP4rev1] backend\r\n", WAITS),
)


@pytest.mark.parametrize("at_once", [True, False], ids=["whole", "in bytes"])
def test_a_backend_gets_what_its_greeting_takes_now(scene: Scene, at_once: bool) -> None:
    scripts = [whole(greeting, kind) if at_once else slow(greeting, kind) for greeting, kind in TURNS]
    proxy, backend = proxy_for(scene, *scripts)
    for number, (_, kind) in enumerate(TURNS):
        client = logged_in(scene, proxy)
        client.expect(IMAP.answer)
        client.talk((b"x NOOP\r\n", b"x NOOP\r\n"))
        assert backend.peer(number).received == KINDS[kind].commands + b"x NOOP\r\n", number
        client.close()


def test_a_greeting_with_the_time_of_day_counts_each_time(scene: Scene) -> None:
    greetings = [TAKES.replace(b"backend", b"at %d" % number) for number in range(5)]
    proxy, backend = proxy_for(scene, *map(whole, greetings))
    for number in range(len(greetings)):
        logged_in(scene, proxy).expect(IMAP.answer)
        assert backend.peer(number).received == LITERAL_PLUS.commands


NO = b"a1 NO [AUTHENTICATIONFAILED] wrong\r\n"


@pytest.mark.parametrize("known", [0, 2])
@pytest.mark.parametrize(
    ("replies", "logged"),
    [
        ((b"* BYE too many\r\n",), 'upstream sent invalid response: "* BYE too many"'),
        ((b"* PREAUTH [CAPABILITY LITERAL+] hello\r\n",), 'upstream sent invalid response: "* PREAUTH'),
        ((TAKES, b"", b"", NO), 'upstream sent invalid response: "NO [AUTHENTICATIONFAILED] wrong"'),
        ((TAKES, b"", b"", b"* BYE go\r\n"), 'upstream sent invalid response: "* BYE go"'),
        ((TAKES, b"", b"", b"+ go on\r\n"), 'upstream sent invalid response: "+ go on"'),
        ((TAKES, b"", b"", b"a2 OK no\r\n"), 'upstream sent invalid response: "a2 OK no"'),
    ],
    ids=repr,
)
def test_what_is_no_success_ends_the_login(scene: Scene, known: int, replies: tuple[bytes, ...], logged: str) -> None:
    proxy, backend = proxy_for(scene, *[whole(TAKES)] * known, conversation(*replies))
    for _ in range(known):
        logged_in(scene, proxy).expect(IMAP.answer)
    assert logged_in(scene, proxy).rest() == IMAP.error
    assert backend.heard(known) == (LITERAL_PLUS.commands if len(replies) > 1 else b"")
    assert proxy.log.find(logged)


@pytest.mark.parametrize("known", [0, 2])
def test_untagged_lines_and_bytes_behind_the_answer_reach_the_client(scene: Scene, known: int) -> None:
    answer = b"* CAPABILITY IMAP4rev1\r\n" + IMAP.answer + b"* 1 EXISTS\r\n"
    proxy, _ = proxy_for(scene, *[whole(TAKES)] * known, conversation(TAKES, b"", b"", answer))
    for _ in range(known):
        logged_in(scene, proxy).expect(IMAP.answer)
    logged_in(scene, proxy).expect(answer)


@pytest.mark.parametrize("known", [0, 2])
def test_a_backend_that_hangs_up_in_the_middle_ends_the_login(scene: Scene, known: int) -> None:
    def leave(peer: Peer) -> None:
        peer.send(TAKES)
        peer.skip(len(LITERAL_PLUS.commands))

    proxy, _ = proxy_for(scene, *[whole(TAKES)] * known, leave)
    for _ in range(known):
        logged_in(scene, proxy).expect(IMAP.answer)
    assert logged_in(scene, proxy).rest() == IMAP.error
