"""The SMTP module's directives (ngx_mail_smtp_module)."""

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
    "none": AuthMethod.NONE,
}


@dataclass(slots=True)
class SmtpDraft:
    """The buffer is in bytes, the delay in seconds."""

    smtp_client_buffer: int = UNSET
    smtp_greeting_delay: float = UNSET
    smtp_capabilities: tuple[str, ...] = UNSET
    smtp_auth: tuple[AuthMethod, ...] = UNSET


DEFAULTS: Final = SmtpDraft(
    smtp_client_buffer=PAGE,
    smtp_greeting_delay=0.0,
    smtp_capabilities=(),
    smtp_auth=(AuthMethod.PLAIN, AuthMethod.LOGIN),
)


def freeze(server: Scope, mail: Scope) -> DialogueSettings:
    """What an SMTP server's dialogue needs."""
    draft = merged(DEFAULTS, server, mail)
    return dialogue_settings(
        draft.smtp_auth, draft.smtp_capabilities, draft.smtp_client_buffer, greeting_delay=draft.smtp_greeting_delay
    )


_BOTH: Final = Context.MAIL | Context.SERVER

COMMANDS: Final = (
    Command("smtp_client_buffer", _BOTH, ONE, slots.size(SmtpDraft, BUFFER)),
    Command("smtp_greeting_delay", _BOTH, ONE, slots.milliseconds(SmtpDraft)),
    Command("smtp_capabilities", _BOTH, ONE_OR_MORE, slots.words(SmtpDraft)),
    Command("smtp_auth", _BOTH, ONE_OR_MORE, slots.bitmask(SmtpDraft, _AUTH_METHODS)),
)
