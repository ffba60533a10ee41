"""The POP3 module's directives (ngx_mail_pop3_module), and two that nginx does not have.

These are `pop3_client_buffer`, and Zimbra's `pop3_greeting`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from mailworker.config.command import ONE, ONE_OR_MORE
from mailworker.config.dialogue import CAPABILITY_LINES, SASL, auth_methods, greeting
from mailworker.config.drafts import BOTH
from mailworker.config.rows import row
from mailworker.config.slots import size
from mailworker.config.tree import Parser
from mailworker.config.values import BUFFER
from mailworker.model import AuthMethod

_AUTH_METHODS: Final = auth_methods(SASL & ~AuthMethod.LOGIN | AuthMethod.APOP)

# RFC 5034, 4: a response to a challenge may have 12288 octets. nginx's 128 bytes are too few for any token.
_CLIENT_BUFFER: Final = 16384


def _freeze_auth(parser: Parser, methods: tuple[AuthMethod, ...]) -> object:
    """The methods; `plain` enables LOGIN as well."""
    login = (AuthMethod.LOGIN,) if AuthMethod.PLAIN in methods else ()
    return _AUTH_METHODS.freeze(parser, (*methods, *login))


_AUTH: Final = replace(_AUTH_METHODS, freeze=_freeze_auth)


@dataclass(slots=True)
class Pop3Draft:
    """The buffer is in bytes."""

    pop3_client_buffer: int = row(BOTH, ONE, size(BUFFER), _CLIENT_BUFFER)
    pop3_capabilities: tuple[str, ...] = row(BOTH, ONE_OR_MORE, CAPABILITY_LINES, ("TOP", "USER", "UIDL"))
    pop3_auth: tuple[AuthMethod, ...] = row(BOTH, ONE_OR_MORE, _AUTH, (AuthMethod.PLAIN,))
    # RFC 1939, 7: for clients, text in angle brackets is the challenge of APOP.
    pop3_greeting: bytes = row(BOTH, ONE, greeting(b"+OK %b\r\n", unsuitable=b"<>"), b"POP3 ready")
