"""A login source that asks a policy service about each login and reports the result to it (auth_policy)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from mailworker.config.auth_policy import AuthPolicySettings
from mailworker.errors import PeerError, escape
from mailworker.event.connections import Connections
from mailworker.event.plan import Link
from mailworker.mail.authentication.policy import PolicyService, Reports
from mailworker.mail.authentication.refusals import Refusals
from mailworker.mail.authentication.source import Applicant, Conversing, LoginSource
from mailworker.mail.held import Held
from mailworker.mail.session_log import SessionLog
from mailworker.model import AuthMethod, unmapped
from mailworker.variables.facts import Facts
from mailworker.variables.variables import Variables
from mailworker.wire.auth_policy import Decision, hashed
from mailworker.wire.auth_request import AuthRequest
from mailworker.wire.auth_response import Accepted, Rejected

LONGEST_WAIT: Final = 60
"""Seconds; if a service asks for a longer wait, the client waits only this long."""

# With other methods the client sends a new response each time, or nothing.
_WITH_SECRET: Final = (AuthMethod.PLAIN, AuthMethod.LOGIN, AuthMethod.XOAUTH2, AuthMethod.OAUTHBEARER)


class Policed:
    """See `LoginSource`. `source` decides; if it leaves that to the backend, `learn` gets the result.

    `held` counts the sessions that the worker holds back.
    """

    __slots__ = (
        "_attributes", "_settings", "action", "asks_after", "authzid", "held", "kind", "name", "reports",
        "service", "source", "temporary",
    )  # fmt: skip

    def __init__(
        self, source: LoginSource, settings: AuthPolicySettings, variables: Variables, refusals: Refusals
    ) -> None:
        self._attributes = [
            (name, value if isinstance(value, bytes) else variables.bind(value)) for name, value in settings.attributes
        ]
        self.held = Held(1)
        self._settings = settings
        self.action, self.authzid, self.kind, self.name = source.action, source.authzid, source.kind, source.name
        self.asks_after = settings.asks_after
        self.service = PolicyService(settings)
        self.temporary = refusals.temporary
        self.reports = Reports(self.service)
        self.source = source

    def judge(self, request: AuthRequest, applicant: Applicant) -> Link:
        """See `LoginSource.judge`."""
        if request.login.method is AuthMethod.NONE:  # mail from an unauthenticated sender is no login
            return self.source.judge(request, applicant)
        question = _Question(self, request, applicant)
        return question.ask_before() if self._settings.asks_before else self.source.judge(request, question)

    def close(self) -> None:
        """See `LoginSource.close`."""
        self.service.close()
        self.source.close()

    def learn(self, request: AuthRequest, session: Conversing, verdict: Rejected | None) -> None:
        """Report the verdict of a backend that decides about logins: None if the client is logged in."""
        if request.login.method is not AuthMethod.NONE:
            self.report(self.fields(request, session.log), session, verdict)

    def fields(self, request: AuthRequest, log: SessionLog) -> dict[str, object]:
        """The attributes of a login for the service, with the names of Dovecot and weakforced."""
        login = request.login
        secret = login.password.revealed if login.password is not None and login.method in _WITH_SECRET else None
        client = request.client_ip.decode()
        fields: dict[str, object] = {
            "login": _text(login.name),
            "pwhash": "" if secret is None else hashed(self._settings.nonce, login.name, secret),
            "remote": "127.0.0.1" if client == "unix:" else str(unmapped(client)),
            "device_id": _text(login.client_id),
            "protocol": request.protocol,
            "session_id": log.session_id.decode(),
            "tls": request.tls is not None,
        }
        if self._attributes:
            fields["attrs"] = {name: _value(value, request.facts) for name, value in self._attributes}
        return fields

    async def allow(self, fields: dict[str, object], applicant: Applicant, *, wait: bool) -> Rejected | None:
        """Ask whether a client may continue; gives the reply if it may not. With `wait` the service may delay it."""
        applicant.log.action = "in auth policy state"
        try:
            decision = await self.service.ask(applicant.connections, "allow", fields)
        except PeerError as error:
            self.service.complain(error, applicant.log)
            decision = Decision(-1, "no answer") if self._settings.closed else Decision(0)
        if decision.status < 0:
            applicant.log.info(f'client login refused by policy: "{escape(decision.text)}"')
            applicant.log.action = self.action
            return self.temporary
        if wait and decision.status:
            await self._hold(applicant, min(decision.status, LONGEST_WAIT))
        applicant.log.action = self.action
        return None

    async def _hold(self, applicant: Applicant, seconds: int) -> None:
        """Delay the client. If too many sessions are held back already, it goes on at once; the service counts it."""
        if not self.held.full:
            with self.held:
                await applicant.pause(seconds)

    def report(
        self, fields: dict[str, object], session: Conversing, verdict: Rejected | None, *, fail_type: str = ""
    ) -> None:
        """Report the result of a login; None: the client is logged in."""
        if not self._settings.report:
            return
        if verdict is not None and not fail_type:
            fail_type = _fail_type(verdict)
        outcome = {"success": verdict is None, "policy_reject": fail_type == "policy", "fail_type": fail_type}
        self.reports.add(session.connections, fields | outcome, session.log)


def _fail_type(verdict: Rejected) -> str:
    """Dovecot's word for a refusal."""
    if verdict.temporary:
        return "internal"
    return "account" if verdict.code == b"535 5.7.1" else "credentials"


class _Question:
    """One login; an Applicant for the source that decides."""

    __slots__ = ("_applicant", "_fields", "_policed", "_request", "connections")

    def __init__(self, policed: Policed, request: AuthRequest, applicant: Applicant) -> None:
        self._applicant = applicant
        self._fields = policed.fields(request, applicant.log)
        self._policed = policed
        self._request = request
        self.connections: Connections = applicant.connections

    @property
    def log(self) -> SessionLog:
        return self._applicant.log

    async def ask_before(self) -> Link:
        """Ask the policy service, and then the source of logins."""
        refused = await self._policed.allow(self._fields, self._applicant, wait=True)
        return self._refuse(refused) if refused is not None else self._policed.source.judge(self._request, self)

    def judged(self, verdict: Accepted | Rejected) -> Link:
        """See `Applicant.judged`."""
        if verdict.accepted:
            if self._policed.asks_after:
                return self._ask_after(verdict)
            if verdict.passed_on:
                return self._applicant.judged(verdict)
        self._policed.report(self._fields, self._applicant, None if verdict.accepted else verdict)
        return self._applicant.judged(verdict)

    async def _ask_after(self, verdict: Accepted) -> Link:
        refused = await self._policed.allow(self._fields, self._applicant, wait=False)
        if refused is not None:
            return self._refuse(refused)
        self._policed.report(self._fields, self._applicant, None)
        return self._applicant.judged(verdict)

    def _refuse(self, refused: Rejected) -> Link:
        self._policed.report(self._fields, self._applicant, refused, fail_type="policy")
        return self._applicant.judged(refused)

    def fail(self, error: Exception) -> Coroutine[Any, Any, None]:
        """See `Applicant.fail`."""
        refused = self._policed.temporary
        self._policed.report(self._fields, self._applicant, refused, fail_type="internal")
        return self._applicant.fail(error)

    def pause(self, seconds: float) -> Awaitable[None]:
        """See `Applicant.pause`."""
        return self._applicant.pause(seconds)


def _value(value: bytes | Callable[[Facts], bytes], facts: Facts | None) -> str:
    if isinstance(value, bytes):
        return _text(value)
    assert facts is not None
    return _text(value(facts))


def _text(value: bytes) -> str:
    """Decode text; bytes that are not UTF-8 are marked, as JSON cannot contain them."""
    return value.decode("utf-8", "replace")
