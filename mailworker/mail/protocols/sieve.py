"""ManageSieve (RFC 5804)."""

from __future__ import annotations

from typing import Protocol as Interface

from mailworker.config.dialogue import DialogueSettings
from mailworker.config.sieve import SieveDraft
from mailworker.mail.authentication.refusals import Refusals
from mailworker.mail.backend.sieve import first_steps, log_in, starttls
from mailworker.mail.capabilities import mechanisms
from mailworker.mail.dialogue.sieve import SieveDialogue, first_login, opening
from mailworker.mail.protocols.protocol import Protocol
from mailworker.model import Starttls
from mailworker.wire.sieve import string
from mailworker.wire.sieve_response import SieveReplyReader, refusal


class _Settings(Interface):
    @property
    def dialogue(self) -> DialogueSettings: ...


def _capabilities(settings: _Settings, starttls: Starttls) -> bytes:
    """The list without the OK. Some clients depend on the order, on quoted strings, and on capitals."""
    *others, version = settings.dialogue.capabilities
    names = [] if starttls is Starttls.ONLY else mechanisms(settings.dialogue.auth)
    lines = [_line(*capability.split(b" ", 1)) for capability in others]
    lines.append(_line(b"SASL", b" ".join(names)))
    if starttls is not Starttls.OFF:
        lines.append(_line(b"STARTTLS"))
    lines.append(_line(*version.split(b" ", 1)))
    return b"".join(lines)


def _line(*strings: bytes) -> bytes:
    return b" ".join(map(string, strings)) + b"\r\n"


def _greeting(_settings: object, capabilities: bytes) -> bytes:
    return capabilities + b'OK "ManageSieve ready."\r\n'


SIEVE = Protocol(
    name="sieve",
    ports=(4190,),
    alpn=b"managesieve",
    directives=SieveDraft,
    needs_password=True,
    tells_host=False,
    layout=_capabilities,
    greeting=_greeting,
    dialogue=SieveDialogue,
    reply_reader=SieveReplyReader,
    opening=opening,
    first_login=first_login,
    starttls=starttls,
    first_steps=first_steps,
    log_in=log_in,
    refusal=refusal,
    refusals=Refusals(
        temporary_code=b"(TRYLATER) ",
        wrong_text=b"Authentication failed.",
        temporary_text=b"Account is temporarily unavailable.",
        misconfigured_code=b"(TRYLATER/NORETRY) ",
        denial=b'BYE (TRYLATER) "Service not available"\r\n',
    ),
    retries=True,
    watched=True,
)
