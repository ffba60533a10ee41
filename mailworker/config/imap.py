"""The IMAP module's directives (ngx_mail_imap_module), and `imap_greeting_capabilities`, which nginx does not have."""

from __future__ import annotations

from dataclasses import dataclass

from mailworker.config.command import ONE, ONE_OR_MORE
from mailworker.config.dialogue import CAPABILITIES, SASL, auth_methods
from mailworker.config.drafts import BOTH
from mailworker.config.rows import row
from mailworker.config.slots import FLAG, size
from mailworker.config.values import BUFFER, PAGE
from mailworker.model import AuthMethod


@dataclass(slots=True)
class ImapDraft:
    """The buffer is in bytes."""

    imap_client_buffer: int = row(BOTH, ONE, size(BUFFER), PAGE)
    imap_capabilities: tuple[str, ...] = row(BOTH, ONE_OR_MORE, CAPABILITIES, ("IMAP4", "IMAP4rev1", "UIDPLUS"))
    imap_auth: tuple[AuthMethod, ...] = row(BOTH, ONE_OR_MORE, auth_methods(SASL), (AuthMethod.PLAIN,))
    imap_greeting_capabilities: bool = row(BOTH, ONE, FLAG, False)
