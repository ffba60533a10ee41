"""What becomes of a client whom a backend that decides about logins has not let in."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from mailworker.errors import Party, PeerError, escape
from mailworker.mail.authentication.refusals import Refusals
from mailworker.mail.backend.backend import Unsafe
from mailworker.mail.session_log import SessionLog
from mailworker.wire.auth_response import Rejected
from mailworker.wire.backend import LoginRejected, Reply
from mailworker.wire.login import Login
from mailworker.wire.refusal import Refusal


class Words(Protocol):
    """What a protocol says of refusals, the backend's and ours."""

    @property
    def refusals(self) -> Refusals: ...
    def refusal(self, reply: Reply, /) -> Refusal: ...


def judgement(error: PeerError, login: Login, words: Words, log: SessionLog) -> Rejected:
    """Log why it is not let in; gives what it is told, and its session goes on.

    Raises `error` where the session ends: where another has judged the login, by a fault of the client's, and where the
    backend is not safe.
    """
    if not login.passed_on or error.party is Party.CLIENT or isinstance(error, Unsafe):
        raise error
    if not isinstance(error, LoginRejected):
        log.fault(error)
        return words.refusals.temporary
    log.info(f'client login failed: "{escape(error.text)}"')
    rejected = words.refusals.of(words.refusal(error.reply)) if error.reply.is_text else words.refusals.wrong
    return replace(rejected, sasl=error.challenge)
