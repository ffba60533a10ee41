"""The login at an SMTP backend: XCLIENT, and then AUTH or the client's first recipient."""

from __future__ import annotations

from mailworker.errors import ProtocolError
from mailworker.mail.backend.backend import Backend, Introduction, Step, Unsafe, Wanted
from mailworker.mail.backend.login import anything, needed_password
from mailworker.mail.dialogue.smtp import SmtpDialogue
from mailworker.model import Level, XclientGuard
from mailworker.wire.backend import expect_smtp_code, smtp_auth_plain, smtp_line
from mailworker.wire.xclient import build as build_xclient
from mailworker.wire.xclient import listed_attributes

_EXPOSED = (
    "upstream takes XCLIENT from this proxy, and so from its clients, who may claim any login by it: "
    'set "xclient on", or take the proxy from the hosts that may use XCLIENT'
)
_UNTOLD = 'upstream lists no LOGIN for XCLIENT and "proxy_smtp_auth" is off: it is not told who has logged in'

_UNAVAILABLE = b"421 4.3.5 Service not available\r\n"


def smtp_wanted(code: bytes, command: str | None, *others: bytes) -> Wanted:
    """A reply with one of the codes, of which the first is usual."""
    return Wanted(code + b" ", code + b"-", command, lambda reply: expect_smtp_code(reply, code, *others))


SMTP_GREETING = smtp_wanted(b"220", None)
SMTP_HELLO = smtp_wanted(b"250", "HELO/EHLO")
_ANY_HELLO = Wanted(b"", None, "HELO/EHLO", anything)
_XCLIENT = smtp_wanted(b"220", "XCLIENT", b"250")
_CLIENT_HELLO = smtp_wanted(b"250", "client HELO/EHLO")
_GO_AHEAD = smtp_wanted(b"334", "AUTH")
_AUTH = smtp_wanted(b"235", "AUTH")
_MAIL = smtp_wanted(b"250", "MAIL FROM")
_RCPT = Wanted(b"", None, "RCPT TO", anything)


async def smtp_log_in(backend: Backend, dialogue: SmtpDialogue, who: Introduction) -> bytes:
    """Introduce the client, and log in or hand over its first recipient; gives the reply for the client.

    Raises a PeerError.
    """
    proxy, envelope = who.proxy, who.login.envelope
    listed = await _say_hello(backend, dialogue, who)
    _guard(listed, dialogue, who)
    steps: list[Step] = []
    if proxy.xclient and listed:
        login = None if proxy.smtp_auth else who.name
        try:
            commands = build_xclient(listed, who.client, login, who.client_host)
        except ProtocolError:
            backend.prepare(_XCLIENT)
            raise
        steps = [(command, _XCLIENT) for command in commands]
        if dialogue.helo and steps:
            steps.append((smtp_hello(dialogue.helo, esmtp=dialogue.esmtp), _CLIENT_HELLO))
    if envelope is not None:
        steps += (smtp_line(envelope.mail), _MAIL), (smtp_line(envelope.rcpt), _RCPT)
        return (await backend.converse(*steps)).data
    if proxy.smtp_auth:
        steps += await _auth(backend, who, steps)
    if steps:
        await backend.converse(*steps)
    return b"235 2.0.0 OK\r\n"


def smtp_hello(name: bytes, *, esmtp: bool) -> bytes:
    """EHLO, or HELO; raises ProtocolError."""
    return smtp_line((b"EHLO %b" if esmtp else b"HELO %b") % name)


async def _say_hello(backend: Backend, dialogue: SmtpDialogue, who: Introduction) -> frozenset[bytes] | None:
    """Wait for the greeting and say hello; gives the attributes of XCLIENT that are listed, None where it is not."""
    esmtp = dialogue.esmtp or who.proxy.xclient
    hello = (smtp_hello(who.server_name, esmtp=esmtp), SMTP_HELLO)
    if esmtp:
        return listed_attributes((await backend.converse((None, SMTP_GREETING), hello)).data)
    if not _is_guarded(who):
        await backend.converse((None, SMTP_GREETING), hello)
        return None
    # The client may say EHLO later, and so may we; a backend without ESMTP has no XCLIENT either.
    asking = (smtp_hello(who.server_name, esmtp=True), _ANY_HELLO)
    listed = listed_attributes((await backend.converse((None, SMTP_GREETING), asking)).data)
    if listed is None:
        await backend.converse(hello)
    return listed


def _is_guarded(who: Introduction) -> bool:
    """Whether the session ends where its client could use XCLIENT."""
    match who.proxy.xclient_guard:
        case XclientGuard.ALL:
            return True
        case XclientGuard.ANONYMOUS:
            return who.login.envelope is not None
        case _:
            return False


def _guard(listed: frozenset[bytes] | None, dialogue: SmtpDialogue, who: Introduction) -> None:
    """Tell the log, once for each backend, of what should not be so. Raises Unsafe where the session must not go on.

    Where ADDR is listed and sent, the backend judges by the client's own address who may use XCLIENT.
    """
    proxy, server, log = who.proxy, dialogue.server, dialogue.log
    if listed is not None and not (proxy.xclient and b"ADDR" in listed):
        if _is_guarded(who):
            raise Unsafe(_EXPOSED, _UNAVAILABLE, known=not server.told.is_new((Unsafe, log.backend)))
        if proxy.xclient_guard is not XclientGuard.OFF and server.told.is_new((_EXPOSED, log.backend)):
            log.write(Level.WARN, _EXPOSED)
    if not (proxy.xclient and not proxy.smtp_auth and who.login.envelope is None):
        return
    if b"LOGIN" not in (listed or ()) and server.told.is_new((_UNTOLD, log.backend)):
        log.write(Level.WARN, _UNTOLD)


async def _auth(backend: Backend, who: Introduction, before: list[Step]) -> list[Step]:
    """AUTH PLAIN; one that cannot be sent ends the login, as nginx's, when all before it has been said."""
    try:
        commands = smtp_auth_plain(who.name, needed_password(who))
    except ProtocolError:
        if before:
            await backend.converse(*before)
        backend.prepare(_AUTH)
        raise
    return list(zip(commands, (_GO_AHEAD, _AUTH)[-len(commands) :], strict=True))
