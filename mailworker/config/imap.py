"""The IMAP module's directives (ngx_mail_imap_module), and `imap_greeting_capabilities`, which nginx does not have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mailworker.config import slots
from mailworker.config.command import ONE, ONE_OR_MORE, Command
from mailworker.config.dialogue import DialogueSettings, dialogue_settings
from mailworker.config.drafts import UNSET, Context, Scope
from mailworker.config.merge import merged
from mailworker.config.values import BUFFER, PAGE
from mailworker.model import AuthMethod

_AUTH_METHODS: Final = {
    "plain": AuthMethod.PLAIN,
    "login": AuthMethod.LOGIN,
    "cram-md5": AuthMethod.CRAM_MD5,
    "external": AuthMethod.EXTERNAL,
    "xoauth2": AuthMethod.XOAUTH2,
    "oauthbearer": AuthMethod.OAUTHBEARER,
}


@dataclass(slots=True)
class ImapDraft:
    """The buffer is in bytes."""

    imap_client_buffer: int = UNSET
    imap_capabilities: tuple[str, ...] = UNSET
    imap_auth: tuple[AuthMethod, ...] = UNSET
    imap_greeting_capabilities: bool = UNSET


DEFAULTS: Final = ImapDraft(
    imap_client_buffer=PAGE,
    imap_capabilities=("IMAP4", "IMAP4rev1", "UIDPLUS"),
    imap_auth=(AuthMethod.PLAIN,),
    imap_greeting_capabilities=False,
)


def freeze(server: Scope, mail: Scope) -> DialogueSettings:
    """What an IMAP server's dialogue needs."""
    draft = merged(DEFAULTS, server, mail)
    return dialogue_settings(
        draft.imap_auth,
        draft.imap_capabilities,
        draft.imap_client_buffer,
        greeting_capabilities=draft.imap_greeting_capabilities,
    )


_BOTH: Final = Context.MAIL | Context.SERVER

COMMANDS: Final = (
    Command("imap_client_buffer", _BOTH, ONE, slots.size(ImapDraft, BUFFER)),
    Command("imap_capabilities", _BOTH, ONE_OR_MORE, slots.words(ImapDraft)),
    Command("imap_auth", _BOTH, ONE_OR_MORE, slots.bitmask(ImapDraft, _AUTH_METHODS)),
    Command("imap_greeting_capabilities", _BOTH, ONE, slots.flag(ImapDraft)),
)
