"""The POP3 module's directives (ngx_mail_pop3_module), and `pop3_client_buffer`, which nginx does not have."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from mailworker.config.command import ONE, ONE_OR_MORE
from mailworker.config.dialogue import CAPABILITIES, SASL, auth_methods
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
    """`plain` turns LOGIN on too."""
    login = (AuthMethod.LOGIN,) if AuthMethod.PLAIN in methods else ()
    return _AUTH_METHODS.freeze(parser, (*methods, *login))


_AUTH: Final = replace(_AUTH_METHODS, freeze=_freeze_auth)


@dataclass(slots=True)
class Pop3Draft:
    """The buffer is in bytes."""

    pop3_client_buffer: int = row(BOTH, ONE, size(BUFFER), _CLIENT_BUFFER)
    pop3_capabilities: tuple[str, ...] = row(BOTH, ONE_OR_MORE, CAPABILITIES, ("TOP", "USER", "UIDL"))
    pop3_auth: tuple[AuthMethod, ...] = row(BOTH, ONE_OR_MORE, _AUTH, (AuthMethod.PLAIN,))
