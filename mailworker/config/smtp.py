"""The SMTP module's directives (ngx_mail_smtp_module), and `smtp_greeting`, which nginx does not have."""

from __future__ import annotations

from dataclasses import dataclass

from mailworker.config.command import ONE, ONE_OR_MORE
from mailworker.config.dialogue import CAPABILITY_LINES, SASL, auth_methods, greeting
from mailworker.config.drafts import BOTH
from mailworker.config.rows import row
from mailworker.config.slots import MILLISECONDS, size
from mailworker.config.values import BUFFER, PAGE
from mailworker.model import AuthMethod


@dataclass(slots=True)
class SmtpDraft:
    """The buffer is in bytes, the delay in seconds."""

    smtp_client_buffer: int = row(BOTH, ONE, size(BUFFER), PAGE)
    smtp_greeting: bytes = row(BOTH, ONE, greeting(b" %b\r\n"), b"ESMTP ready")
    smtp_greeting_delay: float = row(BOTH, ONE, MILLISECONDS, 0.0)
    smtp_capabilities: tuple[str, ...] = row(BOTH, ONE_OR_MORE, CAPABILITY_LINES, ())
    smtp_auth: tuple[AuthMethod, ...] = row(
        BOTH, ONE_OR_MORE, auth_methods(SASL | AuthMethod.NONE), (AuthMethod.PLAIN, AuthMethod.LOGIN)
    )
