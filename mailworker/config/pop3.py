"""The POP3 module's directives (ngx_mail_pop3_module)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mailworker.config import slots
from mailworker.config.command import ONE_OR_MORE, Command
from mailworker.config.dialogue import dialogue_settings
from mailworker.config.drafts import UNSET, Context, Scope
from mailworker.config.merge import merged
from mailworker.config.settings import AuthMethod, DialogueSettings
from mailworker.config.values import PAGE

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
    """There is no directive for POP3's buffer."""

    pop3_capabilities: tuple[str, ...] = UNSET
    pop3_auth: tuple[AuthMethod, ...] = UNSET


DEFAULTS: Final = Pop3Draft(pop3_capabilities=("TOP", "USER", "UIDL"), pop3_auth=(AuthMethod.PLAIN,))


def freeze(server: Scope, mail: Scope) -> DialogueSettings:
    """What a POP3 server's dialogue needs.

    `plain` turns LOGIN on too. The buffer is a page, for nginx's 128 bytes are too few for long tokens.
    """
    draft = merged(DEFAULTS, server, mail)
    login = (AuthMethod.LOGIN,) if AuthMethod.PLAIN in draft.pop3_auth else ()
    return dialogue_settings((*draft.pop3_auth, *login), draft.pop3_capabilities, PAGE)


_BOTH: Final = Context.MAIL | Context.SERVER

COMMANDS: Final = (
    Command("pop3_capabilities", _BOTH, ONE_OR_MORE, slots.words(Pop3Draft)),
    Command("pop3_auth", _BOTH, ONE_OR_MORE, slots.bitmask(Pop3Draft, _AUTH_METHODS)),
)
