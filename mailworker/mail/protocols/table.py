"""The table of supported protocols."""

from __future__ import annotations

from mailworker.mail.protocols.imap import IMAP
from mailworker.mail.protocols.pop3 import POP3
from mailworker.mail.protocols.protocol import Protocol
from mailworker.mail.protocols.sieve import SIEVE
from mailworker.mail.protocols.smtp import SMTP

PROTOCOLS: dict[str, Protocol] = {protocol.name: protocol for protocol in (IMAP, POP3, SMTP, SIEVE)}
"""The protocols by their words in the `protocol` directive."""
