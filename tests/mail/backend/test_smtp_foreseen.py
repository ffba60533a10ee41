"""Logins at SMTP backends that are known: foreseen as one plan, and never carried out against what they list now."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from time import monotonic
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mailworker.errors import PeerError
from mailworker.mail.backend.backend import Backend
from mailworker.mail.backend.conversation import Foreseen
from mailworker.mail.backend.smtp import first_steps, log_in
from mailworker.mail.once import Once
from mailworker.model import AuthMethod, InetAddress, XclientGuard
from mailworker.wire.backend import Reply
from mailworker.wire.login import Login, SmtpEnvelope
from mailworker.wire.secret import Secret
from mailworker.wire.smtp_offers import Offers
from tests.mail.backend.test_smtp import FINE, HELLO, IN, LISTED, XCLIENT, greeted, smtp_backend
from tests.mail.cases import AUTH_PLAIN
from tests.mail.conftest import Scene
from tests.support.auth import accepted
from tests.support.peer import Peer
from tests.support.settings import mail_server, proxy_settings

BOTH = b"250-backend\r\n250-XCLIENT NAME ADDR LOGIN\r\n250 AUTH PLAIN LOGIN\r\n"
REPLIES = (
    BOTH,
    *(b"250-backend\r\n250 XCLIENT %b\r\n" % listed for listed in (b"ADDR", b"LOGIN", b"NAME")),
    *(b"250-backend\r\n250 AUTH %b\r\n" % offered for offered in (b"PLAIN", b"LOGIN", b"XOAUTH2")),
    b"250 backend\r\n",
)
SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"smtp_auth": True},
    {"xclient": False},
    {"xclient": False, "smtp_auth": True, "pass_helo": True},
    {"xclient_fields": frozenset((b"ADDR", b"HELO"))},
    {"xclient_guard": XclientGuard.ALL, "xclient": False},
)
LOGINS: tuple[dict[str, Any], ...] = (
    {"helo": b"client", "esmtp": True},
    {"helo": b"client"},
    {"esmtp": True},
    {},
    {"helo": b"client", "esmtp": True, "passed_on": True},
    {"mechanism": AuthMethod.LOGIN, "esmtp": True},
    {"mechanism": AuthMethod.NONE, "esmtp": True, "helo": b"client"},
    {"helo": b"client", "esmtp": True, "password": Secret(b"x" * 500)},
    {"helo": b"client", "esmtp": True, "name": b"u" * 600},
    {"helo": b"cl\nient", "esmtp": True},
    {"envelope": SmtpEnvelope(b"MAIL FROM:<a@b>", b"RCPT TO:<c@d>"), "esmtp": True},
)


def _place(settings: dict[str, Any]) -> Backend:
    proxy = proxy_settings(**settings)
    offers = Offers(monotonic, proxy.xclient_fields, sends=proxy.xclient)
    server = SimpleNamespace(settings=mail_server("smtp", proxy=proxy), offers=offers, logged=Once())
    log = SimpleNamespace(backend="192.0.2.1:25", action=None, write=lambda *_told: None, session_id=b"id")
    peer = InetAddress("127.0.0.1", 1), b"[UNAVAILABLE]"
    client = SimpleNamespace(identity=_no_identity)
    place = SimpleNamespace(server=server, log=log, client=client, client_names=lambda: peer)
    _arrive(place)
    return cast(Backend, place)


def _arrive(place: Any) -> None:
    """Stand for a backend that has not greeted yet."""
    place.greeted, place.greeting, place.foreseen, place.refusal = False, b"", (), None
    place.greet = lambda wanted: Backend.greet(place, wanted)


def _no_identity(*_asked: object) -> Any:
    return SimpleNamespace(
        address=InetAddress("127.0.0.1", 1), local=None, session=b"", hops=6, secure=False, server_name=None
    )


def _login(details: dict[str, Any]) -> Login:
    return Login(**{"method": AuthMethod.PLAIN, "name": b"user", "password": Secret(b"secret"), **details})


def _talked(backend: Backend, login: Login, hello: bytes, again: bytes) -> list[Foreseen] | None:
    """All steps of a login whose replies to EHLO are these, and all others usual; None if it comes to nothing."""
    _arrive(backend)
    steps: list[Foreseen] = []
    talk = log_in(backend, login)
    try:
        said = next(talk)
        while True:
            steps += said if said[0][0] is not None or not steps else said[1:]
            command, wanted = said[-1]
            is_hello = command is not None and command.startswith(b"EHLO")
            reply = (hello if len(steps) == 2 else again) if is_hello else wanted.last + b"\r\n"
            said = talk.send(Reply(reply))
    except StopIteration:
        return steps
    except PeerError:
        return None


def _commands(steps: Sequence[Foreseen] | None) -> list[bytes | None] | None:
    return None if steps is None else [command for command, _ in steps]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("details", LOGINS)
def test_foreseen_steps_are_those_of_the_whole_login(settings: dict[str, Any], details: dict[str, Any]) -> None:
    foreseen = 0
    for hello in REPLIES:
        for again in REPLIES:
            backend = _place(settings)
            assert first_steps(backend, _login(details)) is None
            for _ in range(2):
                _talked(backend, _login(details), hello, again)
            steps = _commands(first_steps(backend, _login(details)))
            whole = _commands(_talked(backend, _login(details), hello, again))
            assert steps is None or steps == whole
            foreseen += steps is not None
    odd = {"envelope", "name", "mechanism", "password"} & details.keys() or details.get("helo") == b"cl\nient"
    assert foreseen or odd or not details.get("esmtp") or settings.get("xclient_guard")


def test_a_login_at_a_known_backend_is_foreseen() -> None:
    backend = _place({})
    for known in (False, False, True):
        steps = first_steps(backend, _login(LOGINS[0]))
        assert (steps is not None) == known
        _talked(backend, _login(LOGINS[0]), BOTH, FINE)
    assert backend.log.action is None


@pytest.mark.parametrize(
    ("now", "commands"),
    [
        (b"250-backend\r\n250 XCLIENT ADDR NAME\r\n", b"XCLIENT ADDR=127.0.0.1 NAME=[UNAVAILABLE]\r\nEHLO me\r\n"),
        (b"250-another\r\n250 XCLIENT NAME ADDR LOGIN\r\n", XCLIENT + b"EHLO me\r\n"),
        (b"250 backend\r\n", b""),
        (b"500 no\r\n", None),
    ],
)
def test_a_backend_that_lists_something_else_now_gets_nothing_else(
    scene: Scene, now: bytes, commands: bytes | None
) -> None:
    def follow(peer: Peer) -> None:
        number = len(backend.peers)
        greeting = b"220 at %d\r\n" % number  # so that EHLO is needed
        (smtp_backend(LISTED, greeting) if number < 4 else smtp_backend(None, greeting, EHLO=now))(peer)

    backend = scene.backend(follow)
    proxy = scene.proxy("smtp", scene.auth(*[accepted(backend.address)] * 6), proxy=proxy_settings())
    for number in range(6):
        client = greeted(scene, proxy)
        before = number < 3
        client.send(AUTH_PLAIN)
        expected = XCLIENT + b"EHLO me\r\n" if before else commands
        if expected is None:
            client.expect(b"451 4.3.2 Internal server error\r\n")
            assert backend.peer(number).received == HELLO
            continue
        client.expect(IN)
        client.talk((b"NOOP\r\n", FINE))
        assert backend.peer(number).received == HELLO + expected + b"NOOP\r\n"


def test_no_password_goes_to_a_backend_that_offers_plain_no_longer(scene: Scene) -> None:
    offers = [b"250-backend\r\n250 AUTH PLAIN\r\n"] * 3 + [b"250-backend\r\n250 AUTH LOGIN\r\n"] * 2

    def follow(peer: Peer) -> None:
        smtp_backend(None, EHLO=offers[len(backend.peers) - 1], AUTH=b"235 in\r\n")(peer)

    backend = scene.backend(follow)
    settings = proxy_settings(smtp_auth=True, xclient=False)
    proxy = scene.proxy("smtp", scene.auth(*[accepted(backend.address)] * 5), proxy=settings)
    for number, offer in enumerate(offers):
        client = greeted(scene, proxy)
        client.send(AUTH_PLAIN)
        client.line()
        heard = backend.peer(number).received
        assert (b64encode(b"\0user@example.com\0secret") in heard) == offer.endswith(b"PLAIN\r\n"), number
        client.close()
