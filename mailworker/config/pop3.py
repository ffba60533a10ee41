"""The POP3 module's directives (ngx_mail_pop3_module), and `pop3_client_buffer`, which nginx does not have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mailworker.config import slots
from mailworker.config.command import ONE, ONE_OR_MORE, Command
from mailworker.config.dialogue import DialogueSettings, dialogue_settings
from mailworker.config.drafts import UNSET, Context, Scope
from mailworker.config.merge import merged
from mailworker.config.values import BUFFER
from mailworker.model import AuthMethod

_AUTH_METHODS: Final = {
    "plain": AuthMethod.PLAIN,
    "apop": AuthMethod.APOP,
    "cram-md5": AuthMethod.CRAM_MD5,
    "external": AuthMethod.EXTERNAL,
    "xoauth2": AuthMethod.XOAUTH2,
    "oauthbearer": AuthMethod.OAUTHBEARER,
}


@dataclass(slots=True)
class Pop3Draft:
    """The buffer is in bytes."""

    pop3_client_buffer: int = UNSET
    pop3_capabilities: tuple[str, ...] = UNSET
    pop3_auth: tuple[AuthMethod, ...] = UNSET


# RFC 5034, 4: a response to a challenge may have 12288 octets. nginx's 128 bytes are too few for any token.
_CLIENT_BUFFER: Final = 16384

DEFAULTS: Final = Pop3Draft(
    pop3_client_buffer=_CLIENT_BUFFER,
    pop3_capabilities=("TOP", "USER", "UIDL"),
    pop3_auth=(AuthMethod.PLAIN,),
)


def freeze(server: Scope, mail: Scope) -> DialogueSettings:
    """What a POP3 server's dialogue needs; `plain` turns LOGIN on too."""
    draft = merged(DEFAULTS, server, mail)
    login = (AuthMethod.LOGIN,) if AuthMethod.PLAIN in draft.pop3_auth else ()
    return dialogue_settings((*draft.pop3_auth, *login), draft.pop3_capabilities, draft.pop3_client_buffer)


_BOTH: Final = Context.MAIL | Context.SERVER

COMMANDS: Final = (
    Command("pop3_client_buffer", _BOTH, ONE, slots.size(Pop3Draft, BUFFER)),
    Command("pop3_capabilities", _BOTH, ONE_OR_MORE, slots.words(Pop3Draft)),
    Command("pop3_auth", _BOTH, ONE_OR_MORE, slots.bitmask(Pop3Draft, _AUTH_METHODS)),
)
