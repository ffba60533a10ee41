"""Refusals that are our own, and not an auth service's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from mailworker.wire.auth_response import Rejected
from mailworker.wire.refusal import Reason, Refusal

# As in freenginx.
_CROWDED: Final = b"Too many connections"


@dataclass(frozen=True, slots=True)
class Refusals:
    """A protocol's words, before which stand the codes that RFC 5530, 2449 with 3206, and 4954 section 6 have for them.

    A client that hears a bare refusal asks its user for another password, so what is not the password's fault must not
    be one. After all of them it may try again. `misconfigured_code` says that this will not help; None where there is
    no such code, and the temporary one has to do. `denial` is what a client hears that nobody lets in (`deny_reply`).
    """

    wrong_code: bytes = b""
    forbidden_code: bytes = b""
    temporary_code: bytes = b""
    wrong_text: bytes = b"Authentication failed"
    temporary_text: bytes = b"Temporary authentication failure"
    misconfigured_code: bytes | None = None
    denial: bytes = b""
    wrong: Rejected = field(init=False)
    temporary: Rejected = field(init=False)
    misconfigured: Rejected = field(init=False)
    crowded: Rejected = field(init=False)

    def __post_init__(self) -> None:
        wrong = Rejected(self.wrong_code + self.wrong_text, code=b"535 5.7.8", final=False)
        object.__setattr__(self, "wrong", wrong)
        object.__setattr__(self, "temporary", self._outage(self.temporary_code))
        crowded = Rejected(self.temporary_code + _CROWDED, code=b"454 4.7.0")
        object.__setattr__(self, "crowded", crowded)
        code = self.temporary_code if self.misconfigured_code is None else self.misconfigured_code
        object.__setattr__(self, "misconfigured", self._outage(code))

    def _outage(self, response_code: bytes) -> Rejected:
        return Rejected(response_code + self.temporary_text, code=b"454 4.7.0", final=False)

    def of(self, refusal: Refusal) -> Rejected:
        """The reply to a client if a backend has refused."""
        if refusal.reason is Reason.LOGIN:
            return self.wrong
        if refusal.reason is Reason.TEMPORARY:
            return self.temporary
        if refusal.reason is Reason.MISCONFIGURED:
            return self.misconfigured
        return Rejected(refusal.text, code=refusal.code, final=False)

    def forbidden(self, reason: bytes) -> Rejected:
        """The password is right, and `reason`, which is one line, keeps its owner out."""
        return Rejected(self.forbidden_code + reason, code=b"535 5.7.1", final=False)
