"""The protocols that can be served."""

from __future__ import annotations

from mailworker.mail.protocols.imap import IMAP
from mailworker.mail.protocols.pop3 import POP3
from mailworker.mail.protocols.protocol import Protocol
from mailworker.mail.protocols.sieve import SIEVE
from mailworker.mail.protocols.smtp import SMTP

PROTOCOLS: dict[str, Protocol] = {protocol.name: protocol for protocol in (IMAP, POP3, SMTP, SIEVE)}
"""By the word of `protocol`."""
