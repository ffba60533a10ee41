"""Refusals that the proxy itself gives, and not an auth service."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from mailworker.wire.auth_response import Rejected
from mailworker.wire.refusal import Reason, Refusal


@dataclass(frozen=True)  # without slots, so that each reply is made once and not for each wrong password
class Refusals:
    """A protocol's refusals, each with the code that RFC 5530, RFC 2449 with 3206, or RFC 4954 section 6 has for it.

    A client asks its user for another password after a refusal without a code, so a refusal for another reason needs
    one. After each of them but `crowded` the client may try again. `misconfigured_code` says that this will not help;
    None if the protocol has no such code, and then the temporary one is used. `denial` is the reply to a denied client
    (`deny_reply`).
    """

    wrong_code: bytes = b""
    forbidden_code: bytes = b""
    temporary_code: bytes = b""
    wrong_text: bytes = b"Authentication failed"
    temporary_text: bytes = b"Temporary authentication failure"
    misconfigured_code: bytes | None = None
    denial: bytes = b""

    @cached_property
    def wrong(self) -> Rejected:
        """The reply to a client with a wrong name or password."""
        return Rejected(self.wrong_code + self.wrong_text, code=b"535 5.7.8", final=False)

    @cached_property
    def temporary(self) -> Rejected:
        """The reply if there is no verdict now."""
        return self._outage(self.temporary_code)

    @cached_property
    def misconfigured(self) -> Rejected:
        """The reply if there will be no verdict until an administrator has changed a setting."""
        return self._outage(self.temporary_code if self.misconfigured_code is None else self.misconfigured_code)

    @cached_property
    def crowded(self) -> Rejected:
        """The reply if `limit_conn` allows no more connections, in freenginx's words."""
        return Rejected(self.temporary_code + b"Too many connections", code=b"454 4.7.0")

    def _outage(self, response_code: bytes) -> Rejected:
        return Rejected(response_code + self.temporary_text, code=b"454 4.7.0", final=False)

    def of(self, refusal: Refusal) -> Rejected:
        """The reply to a client whose login a backend has refused."""
        if refusal.reason is Reason.LOGIN:
            return self.wrong
        if refusal.reason is Reason.TEMPORARY:
            return self.temporary
        if refusal.reason is Reason.MISCONFIGURED:
            return self.misconfigured
        return Rejected(refusal.text, code=refusal.code, final=False)

    def forbidden(self, reason: bytes) -> Rejected:
        """The reply to a user with the right password who may not log in; `reason` is one line."""
        return Rejected(self.forbidden_code + reason, code=b"535 5.7.1", final=False)
