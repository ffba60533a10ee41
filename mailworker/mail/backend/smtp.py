"""STARTTLS and login to an SMTP backend (RFC 3207, 5321): XCLIENT, and then AUTH or the client's first recipient."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from mailworker.config.proxy import ProxySettings
from mailworker.errors import Party, PeerError, ProtocolError
from mailworker.mail.backend.backend import NO_HEADER, Backend, Place, Unsafe, identity
from mailworker.mail.backend.conversation import READING, Foreseen, Step, Talk, anything, sending, wanted
from mailworker.mail.backend.smtp_auth import log_in_by_auth, usual_auth
from mailworker.mail.server import Server
from mailworker.model import AuthMethod, Level, XclientGuard
from mailworker.native.core import accelerator
from mailworker.wire.backend import InvalidReply, command_line, smtp_code, smtp_line
from mailworker.wire.identity import smtp_attributes
from mailworker.wire.login import Login, SmtpEnvelope
from mailworker.wire.smtp_offers import NO_OFFER, Offer
from mailworker.wire.xclient import build as build_xclient
from mailworker.wire.xclient import xclient_command

__all__ = ["LOGGED_IN", "command_line", "first_steps", "log_in", "starttls", "xclient_command"]

if accelerator is not None and not TYPE_CHECKING:
    command_line, xclient_command = accelerator.command_line, accelerator.xclient_command

_EXPOSED = (
    "upstream takes XCLIENT from this proxy, and so from its clients, who may claim any login by it: "
    'set "xclient on", or take the proxy from the hosts that may use XCLIENT'
)
_UNTOLD = 'upstream lists no LOGIN for XCLIENT and "proxy_smtp_auth" is off: it is not told who has logged in'

LOGGED_IN = b"235 2.0.0 OK\r\n"
"""The reply that clients get instead of the backend's."""

# The replies with which a backend closes the connection (RFC 5321 section 3.8, RFC 7504 section 3).
_CLOSING = b"421", b"521"

_UNAVAILABLE = b"421 4.3.5 Service not available\r\n"


_GREETING = wanted(smtp_code(b"220"), None)
_GREETED: Step = None, _GREETING
_HELLO = wanted(smtp_code(b"250"), "HELO/EHLO")
_STARTTLS = wanted(smtp_code(b"220"), "STARTTLS")
_ANY_HELLO = _HELLO._replace(expect=anything)
_XCLIENT = wanted(smtp_code(b"220", b"250"), "XCLIENT")
_XCLIENT_AT_ONCE = _XCLIENT._replace(expect=anything)
_CLIENT_HELLO = wanted(smtp_code(b"250"), "client HELO/EHLO")
_MAIL = wanted(smtp_code(b"250"), "MAIL FROM")
_RCPT = wanted(smtp_code(b"250"), "RCPT TO")._replace(expect=anything)


def starttls(backend: Backend, _login: Login) -> Talk[None]:
    """Send EHLO, then STARTTLS; the capabilities of that EHLO are dropped. Raises a PeerError."""
    hello = _hello(backend.server.settings.server_name, esmtp=True)
    yield ((None, _GREETING), (hello, _HELLO), (b"STARTTLS\r\n", _STARTTLS))


def log_in(backend: Backend, login: Login) -> Talk[bytes]:
    """Introduce the client, and log in or hand over its first recipient; gives the reply for the client.

    Raises a PeerError.
    """
    by_auth = _goes_by_auth(backend.server.settings.proxy, login)
    offer, (steps, refusal) = NO_OFFER, (yield from _introduce_at_once(backend, login, by_auth))
    if steps is None:
        offer = yield from _say_hello(backend, login, refusal, by_auth)
        steps = _introduction(backend, login, offer, by_auth)
    if login.envelope is not None:
        return (yield (*steps, *_envelope(login.envelope))).data
    if steps:
        again = yield steps
        if refusal is not None:
            backend.server.offers.insist(backend.log.backend)
        if by_auth and steps[-1][1] is _CLIENT_HELLO:
            offer = backend.server.offers.hear(backend.log.backend, again.data, again=True)
    if by_auth:
        yield from log_in_by_auth(backend, login, offer)
    return LOGGED_IN


def _after_hello(place: Place, login: Login, by_auth: bool) -> tuple[Foreseen, ...] | None:
    """All steps of a login at a backend that is asked by EHLO what it lists; None unless its reply is known.

    Raises a PeerError.
    """
    server, peer = place.server, place.log.backend
    offers, hello = server.offers, _esmtp_hello(server, login, by_auth)
    kind = offers.first.expected.get(peer)
    if kind is None or hello is None or kind.allows.exposed or peer in offers.unsettled or login.envelope is not None:
        return None
    steps = _introduction(place, login, kind.allows, by_auth)
    begin = _GREETED, (hello, kind.known)
    whole = _with_auth(place, login, begin, steps, kind.allows) if by_auth else begin + steps
    if whole is not None and kind.allows.trusts:
        offers.ask(peer, kind.allows)
    return whole


def _with_auth(
    place: Place, login: Login, begin: tuple[Foreseen, ...], steps: tuple[Foreseen, ...], offer: Offer
) -> tuple[Foreseen, ...] | None:
    """All steps of a login that ends with AUTH; None if the last reply before AUTH is not known."""
    if steps and steps[-1][1] is _CLIENT_HELLO:
        again = place.server.offers.again.expected.get(place.log.backend)
        if again is None:
            return None
        offer, steps = again.allows, (*steps[:-1], (steps[-1][0], again.known))
    auth = usual_auth(login, offer)
    return None if auth is None else begin + steps + auth


def _at_once(place: Place, login: Login, by_auth: bool) -> tuple[Foreseen, ...] | None:
    """The greeting of a known backend, and the one XCLIENT that needs no EHLO before it; None if EHLO comes first.

    Raises a PeerError.
    """
    welcome = place.server.offers.welcome(place.log.backend)
    if welcome is None or login.envelope is not None:
        return None
    steps = _xclient(place, login, welcome.listed, by_auth)
    return (welcome.greeting, steps[0]) if len(steps) == 1 else None


def first_steps(place: Place, login: Login) -> tuple[Foreseen, ...] | None:
    """See `Protocol.first_steps`: None unless the backend's replies are foreseen."""
    action, by_auth = place.log.action, _goes_by_auth(place.server.settings.proxy, login)
    try:
        begin = _at_once(place, login, by_auth)
        if begin is None:
            return _after_hello(place, login, by_auth)
        steps = _after_xclient(place, login, by_auth)
        return _with_auth(place, login, begin, steps, NO_OFFER) if by_auth else begin + steps
    except PeerError:  # it is raised again by `log_in`
        place.log.action = action
        return None


def _introduce_at_once(
    backend: Backend, login: Login, by_auth: bool
) -> Talk[tuple[tuple[Step, ...] | None, InvalidReply | None]]:
    """Send XCLIENT to a known backend; gives the steps after that, None if EHLO has to come first.

    A backend that refuses XCLIENT gets EHLO first, and nothing is expected of it any more; then gives the refusal, too.
    """
    steps: tuple[Foreseen, ...] | None = backend.foreseen
    if not steps and backend.server.settings.proxy.proxy_protocol is NO_HEADER:
        steps = _at_once(backend, login, by_auth)
    if not steps or steps[1][1] is not _XCLIENT:
        return None, None
    (_, known), (command, _) = steps[:2]
    if (yield from backend.greet(_GREETING)) not in known.last:
        return None, None
    reply = yield ((command, _XCLIENT_AT_ONCE),)
    if reply.refuses and not reply.data.startswith(_CLOSING):
        backend.server.offers.forget(backend.log.backend)
        return None, InvalidReply(reply, reply.data[:-2])
    _XCLIENT.expect(reply)
    return _after_xclient(backend, login, by_auth), None


def _esmtp_hello(server: Server, login: Login, by_auth: bool) -> bytes | None:
    """The first EHLO; None if HELO is sent in its place. It has our name if XCLIENT may follow. Raises a PeerError.

    AUTH comes after EHLO only (RFC 4954 section 3), also if the client has sent HELO; with `proxy_smtp_auth`, nginx
    follows the client.
    """
    if server.settings.proxy.xclient:
        return _own_hello(server.settings.server_name)
    return _hello(_first_name(server, login), esmtp=True) if login.esmtp or by_auth else None


def _first_name(server: Server, login: Login) -> bytes:
    """The name in the first EHLO or HELO without XCLIENT: ours, if the client's is not passed on."""
    return login.helo if server.settings.proxy.pass_helo and login.helo else server.settings.server_name


@lru_cache(maxsize=64)  # one entry for each server with its own name
def _own_hello(name: bytes) -> bytes:
    return _hello(name, esmtp=True)


def _envelope(envelope: SmtpEnvelope) -> tuple[Step, ...]:
    return (smtp_line(envelope.mail), _MAIL), (smtp_line(envelope.rcpt), _RCPT)


def _goes_by_auth(proxy: ProxySettings, login: Login) -> bool:
    """Whether we log in to the backend by AUTH: the login source decides, else the configuration."""
    if login.envelope is not None:
        return False
    if login.mechanism is not None:
        return login.mechanism is not AuthMethod.NONE
    return proxy.smtp_auth or login.passed_on


def _introduction(place: Place, login: Login, offer: Offer, by_auth: bool) -> tuple[Step, ...]:
    """The steps that name the client to a backend with such an offer.

    They are XCLIENT, and an EHLO or HELO after it. Raises a PeerError.
    """
    settings = place.server.settings
    if not offer.trusts:
        _guard(offer, place, login, by_auth)
        if not settings.proxy.xclient:
            return ()
    steps = _xclient(place, login, offer.listed, by_auth) if offer.listed else ()
    if steps:
        return steps + _after_xclient(place, login, by_auth)
    named = settings.proxy.pass_helo and login.helo
    return (_client_hello(login.helo, login.esmtp or by_auth),) if named else ()


def _after_xclient(place: Place, login: Login, by_auth: bool) -> tuple[Step, ...]:
    """The client's EHLO or HELO after XCLIENT; before AUTH EHLO, ours if it has sent none. Raises a PeerError."""
    name = login.helo or (place.server.settings.server_name if by_auth else b"")
    return (_client_hello(name, login.esmtp or by_auth),) if name else ()


@lru_cache(maxsize=64)  # clients have few names and many logins
def _client_hello(name: bytes, esmtp: bool) -> Step:
    return _hello(name, esmtp=esmtp), _CLIENT_HELLO


def _xclient(place: Place, login: Login, listed: frozenset[bytes], by_auth: bool) -> tuple[Step, ...]:
    """The steps of XCLIENT. They contain no LOGIN for a client that has yet to log in, as backends trust that."""
    name, (address, host) = None if by_auth else login.name, place.client_names()
    is_short = place.server.settings.proxy.xclient_fields is None
    if is_short and (command := xclient_command(listed, address, name, host)) is not None:
        return ((command, _XCLIENT),) if command else ()
    try:
        commands = build_xclient(listed, address, name, host, {} if is_short else _identity(place, login))
    except ProtocolError:
        place.log.action = sending(_XCLIENT)
        raise
    return tuple((command, _XCLIENT) for command in commands)


def _identity(place: Place, login: Login) -> Mapping[bytes, bytes]:
    return smtp_attributes(identity(place), login.helo, esmtp=login.esmtp)


def _hello(name: bytes, *, esmtp: bool) -> bytes:
    """EHLO, or HELO; raises ProtocolError."""
    verb = b"EHLO " if esmtp else b"HELO "
    return command_line(verb, name) or smtp_line(verb + name)  # which raises the error


def _say_hello(backend: Backend, login: Login, refusal: InvalidReply | None, by_auth: bool) -> Talk[Offer]:
    """Wait for the greeting and send EHLO or HELO; gives the backend's offer, NO_OFFER if EHLO was not sent.

    If a backend has refused XCLIENT and does not accept EHLO either, its `refusal` is the error.
    """
    server, offers, peer = backend.server, backend.server.offers, backend.log.backend
    command = _esmtp_hello(server, login, by_auth)
    if command is not None:
        if not server.settings.proxy.xclient:
            return offers.hear(peer, (yield (_GREETED, (command, _HELLO))).data)
        greeting = yield from backend.greet(_GREETING)
        try:
            reply = (yield ((command, _HELLO),)).data
        except PeerError as error:
            if refusal is None or error.party is not Party.BACKEND:
                raise
            backend.log.action = READING
            raise refusal from None
        if not greeting.endswith(b"\n"):  # it has come in clear before TLS, or to a plan that did not compare it
            return offers.hear_only(peer, reply)
        return offers.meet(peer, greeting, reply)
    name = _first_name(server, login)
    hello = (_hello(name, esmtp=False), _HELLO)
    if not _is_guarded(server.settings.proxy.xclient_guard, login):
        yield (_GREETED, hello)
        return NO_OFFER
    # The client may send EHLO later, and so may we; a backend without ESMTP has no XCLIENT either.
    asking = (_hello(name, esmtp=True), _ANY_HELLO)
    offer = offers.read((yield (_GREETED, asking)).data)
    if offer.listed is None:
        yield (hello,)
    return offer


def _is_guarded(guard: XclientGuard, login: Login) -> bool:
    """Whether the session must end if its client could use XCLIENT."""
    match guard:
        case XclientGuard.ALL:
            return True
        case XclientGuard.ANONYMOUS:
            return login.envelope is not None
        case _:
            return False


def _guard(offer: Offer, place: Place, login: Login, by_auth: bool) -> None:
    """Log, once for each backend, that its clients could use XCLIENT. Raises Unsafe if the session must end."""
    log, logged, proxy = place.log, place.server.logged, place.server.settings.proxy
    if offer.exposed:
        if _is_guarded(proxy.xclient_guard, login):
            raise Unsafe(_EXPOSED, _UNAVAILABLE, known=not logged.is_new((Unsafe, log.backend)))
        if proxy.xclient_guard is not XclientGuard.OFF and logged.is_new((_EXPOSED, log.backend)):
            log.write(Level.WARN, _EXPOSED)
    if by_auth or not proxy.xclient or login.envelope is not None:
        return
    if b"LOGIN" not in (offer.listed or ()) and logged.is_new((_UNTOLD, log.backend)):
        log.write(Level.WARN, _UNTOLD)
