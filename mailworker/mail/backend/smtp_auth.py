"""AUTH at an SMTP backend, with a mechanism that it offers."""

from __future__ import annotations

from typing import Final

from mailworker.errors import Party, ProtocolError
from mailworker.mail.backend.backend import Backend, needed_password
from mailworker.mail.backend.conversation import Step, Talk, wanted
from mailworker.mail.backend.sasl import authenticate
from mailworker.model import METHOD_NAMES, AuthMethod
from mailworker.wire.backend import TLS_FIRST, smtp_auth_plain, smtp_code
from mailworker.wire.login import Login
from mailworker.wire.smtp_offers import Offer

_GO_AHEAD: Final = wanted(smtp_code(b"334", judges=True)._replace(others=None), "AUTH")
_PLAIN: Final = None, AuthMethod.PLAIN
_YES: Final = wanted(smtp_code(b"235", judges=True), "AUTH")


def usual_auth(login: Login, offer: Offer) -> tuple[Step, ...] | None:
    """The steps of AUTH PLAIN, if that is the login's mechanism, or it has none and the `offer` has none but that.

    A backend that offers no mechanism gets PLAIN nevertheless, as from nginx, unless that backend decides about the
    login, or demands TLS. Raises a PeerError.
    """
    named, offered = login.mechanism, offer.mechanisms
    if named not in _PLAIN:
        return None
    if b"PLAIN" not in offered and (offered or offer.tls_first or named or login.passed_on):
        return None
    lines = smtp_auth_plain(login.name, needed_password(login), login.master)
    return tuple(zip(lines, (_GO_AHEAD, _YES)[-len(lines) :], strict=True))


def log_in_by_auth(backend: Backend, login: Login, offer: Offer) -> Talk[None]:
    """Log in by the login's mechanism, or by PLAIN, or by LOGIN if the `offer` has that and not PLAIN.

    Raises LoginRejected if the backend refuses, and another PeerError if it gives no verdict.
    """
    backend.log.action = "sending AUTH to upstream"
    steps, offered = usual_auth(login, offer), offer.mechanisms
    if steps is not None:
        yield steps
        return
    if offer.tls_first:
        raise ProtocolError(Party.BACKEND, TLS_FIRST)
    mechanism = login.mechanism or (AuthMethod.LOGIN if b"LOGIN" in offered else AuthMethod.PLAIN)
    name = str(METHOD_NAMES[mechanism].sasl)
    if name.encode() not in offered:
        raise ProtocolError(Party.BACKEND, f"upstream does not offer AUTH {name}")
    login.mechanism = mechanism
    _YES.expect((yield from authenticate(login, b"AUTH", _GO_AHEAD)))
