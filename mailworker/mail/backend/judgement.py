"""The reply to a client whose login was refused by the backend."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from mailworker.errors import Party, PeerError, escape
from mailworker.mail.authentication.refusals import Refusals
from mailworker.mail.backend.backend import Misconfigured, Unsafe
from mailworker.mail.session_log import SessionLog
from mailworker.wire.auth_response import Rejected
from mailworker.wire.backend import LoginRejected, Reply
from mailworker.wire.login import Login
from mailworker.wire.refusal import Refusal


class RefusalRules(Protocol):
    """The part of a protocol's row that concerns refusals, the backend's and ours."""

    @property
    def refusals(self) -> Refusals: ...
    @property
    def retries(self) -> bool: ...
    def refusal(self, reply: Reply, /) -> Refusal: ...


def judgement(error: PeerError, login: Login, rules: RefusalRules, log: SessionLog, *, codes: bool) -> Rejected | None:
    """Log why the client is refused; gives the reply with which the session continues.

    None if the session ends: after an error of the client, if the backend is not safe, and if another source has
    accepted the login. In the last case it continues if the protocol's clients may try again then, too, or if the
    configuration passes `codes` on (`proxy_pass_error_codes`).
    """
    translated = rules.retries or _is_translated(error, login, codes)
    if not (login.passed_on or translated) or isinstance(error, Unsafe):
        return None
    if error.party is Party.CLIENT:
        return None
    if isinstance(error, LoginRejected) and login.passed_on:
        log.info(f'client login failed: "{escape(error.text)}"')
    else:
        log.fault(error)
    if isinstance(error, LoginRejected):
        return _told(error, rules)
    return rules.refusals.misconfigured if isinstance(error, Misconfigured) else rules.refusals.temporary


def _is_translated(error: PeerError, login: Login, codes: bool) -> bool:
    """Whether the reply is translated; a sender without a login gets the backend's own reply about its recipient."""
    return codes and login.envelope is None and error.party is Party.BACKEND


def _told(error: LoginRejected, rules: RefusalRules) -> Rejected:
    rejected = rules.refusals.of(rules.refusal(error.reply)) if error.reply.is_text else rules.refusals.wrong
    return replace(rejected, sasl=error.challenge, for_now=error.reply.refuses_for_now)
