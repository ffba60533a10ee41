"""Authentication by a file of users (auth_user_file)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Final

from mailworker.config.proxy_ssl import ProxySslSettings
from mailworker.config.settings import MailServer
from mailworker.errors import escape
from mailworker.event.plan import Link
from mailworker.mail.authentication.passwords import Stored, read_password
from mailworker.mail.authentication.refusals import Refusals
from mailworker.mail.authentication.source import Applicant
from mailworker.mail.authentication.user_table import User, UserTable
from mailworker.mail.client.address import is_inside
from mailworker.mail.once import Once
from mailworker.mail.session_log import SessionLog
from mailworker.model import Address, AuthMethod, BackendName, InetAddress
from mailworker.wire.auth_request import AuthRequest
from mailworker.wire.auth_response import Accepted, Rejected
from mailworker.wire.login import Login
from mailworker.wire.passwd_file import ANY_CERTIFICATE, LOCAL, PasswdRow
from mailworker.wire.secret import Secret

_WITH_PASSWORD: Final = (AuthMethod.PLAIN, AuthMethod.LOGIN)
_DEFAULT_REASON: Final = b"Login is not allowed"


class Users:
    """The current users of the file; `table` is replaced when the file has changed."""

    __slots__ = ("path", "table")

    def __init__(self, path: str, table: UserTable) -> None:
        self.path = path
        self.table = table


class UserFile:
    """See `LoginSource`."""

    __slots__ = (
        "_has_backend", "_logged", "_names", "_port", "_refusals", "_tls", "_users", "action", "authzid", "name",
    )  # fmt: skip

    kind = "file"

    def __init__(self, users: Users, settings: MailServer, refusals: Refusals, ports: tuple[int, ...]) -> None:
        """`ports` are the protocol's: the first without TLS or with STARTTLS, the second, if any, with implicit TLS."""
        tls = settings.proxy.ssl
        self.name = users.path
        self.action = "in auth state"
        self.authzid = False
        self._has_backend = settings.proxy.backend is not None
        self._names = bool(settings.resolver.servers)
        self._port = ports[:2][-1 if tls is not None and not tls.starttls else 0]
        self._refusals = refusals
        self._tls = tls
        self._logged = Once()
        self._users = users

    def judge(self, request: AuthRequest, applicant: Applicant) -> Link:
        """See `LoginSource.judge`."""
        return applicant.judged(self._verdict(request, applicant.log))

    def _verdict(self, request: AuthRequest, log: SessionLog) -> Accepted | Rejected:
        table, login = self._users.table, request.login
        user = table.find(login.name) or table.find(login.name.lower())
        if user is not None and user.dear:
            return self._refuse_for_now(log, user, "its password takes too long to check")
        stored = table.decoy if user is None else read_password(user.row.password)
        right = _is_right(stored, login) if user is None or not user.row.nopassword else _may_be_any(user.row, login)
        if user is None or not right or not _is_allowed(request.client_ip, user.row):
            return self._refusals.wrong
        if user.row.nologin and not user.row.proxy:  # Dovecot's order
            return self._refusals.forbidden(user.row.reason or _DEFAULT_REASON)
        return self._accept(log, user, stored, login)

    def close(self) -> None:
        """See `LoginSource.close`."""

    def _accept(self, log: SessionLog, user: User, stored: Stored, login: Login) -> Accepted | Rejected:
        row = user.row
        if row.host is None and not self._has_backend:
            return self._refuse_for_now(log, user, 'no "host" is given, and no "proxy_pass"')
        address = None if row.host is None else _address(row.host, row.port or self._port)
        if isinstance(address, BackendName) and not self._names:
            return self._refuse_for_now(log, user, f'"resolver" is needed to look up host "{address.name}"')
        if (directive := _missing_tls(row, self._tls)) is not None:
            return self._refuse_for_now(log, user, f'"{directive}" is needed')
        known = stored.plain if login.method in _ANSWERS else None
        password = known if row.backend_password is None else row.backend_password
        name = row.name if row.user is None else row.user
        mechanism = None if row.master is None else AuthMethod.PLAIN
        secret = None if password is None else Secret(password)
        return Accepted(address, name, secret, mechanism=mechanism, master=row.master)

    def _refuse_for_now(self, log: SessionLog, user: User, reason: str) -> Rejected:
        """Refuse a login for a fault that is not the client's; it is logged once for each line of the file."""
        if self._logged.is_new((user.row.name, user.line, reason)):
            where = f"{self._users.path}:{user.line}"
            log.error(f'user "{escape(user.row.name)}" cannot log in: {reason} in {where}')
        return self._refusals.temporary


def _is_right(stored: Stored, login: Login) -> bool:
    """Whether the client has sent the right password; an absent one is never right."""
    attempt = b"" if login.password is None else login.password.revealed
    if login.method in _WITH_PASSWORD:
        return stored.matches(attempt) and attempt != b""
    answer = _ANSWERS.get(login.method)
    if answer is None or login.salt is None or stored.plain is None:  # an answer cannot be checked against a hash
        return False
    return hmac.compare_digest(answer(stored.plain, login.salt).encode(), attempt.lower())


def _may_be_any(row: PasswdRow, login: Login) -> bool:
    """Whether `nopassword` lets a client in: the backend must get a password, the client's own or a known one."""
    return login.method in _WITH_PASSWORD or (login.method in _ANSWERS and row.backend_password is not None)


def _cram_md5(password: bytes, salt: bytes) -> str:
    return hmac.new(password, salt, "md5").hexdigest()


def _apop(password: bytes, salt: bytes) -> str:
    return hashlib.md5(salt + password, usedforsecurity=False).hexdigest()


_ANSWERS: Final[dict[AuthMethod, Callable[[bytes, bytes], str]]] = {
    AuthMethod.CRAM_MD5: _cram_md5,
    AuthMethod.APOP: _apop,
}


def _missing_tls(row: PasswdRow, tls: ProxySslSettings | None) -> str | None:
    """The directive without which the backend's connection is not what the row demands, None if nothing is missing."""
    demand = row.ssl if row.starttls is None else row.starttls
    if demand is None:
        return None
    starttls = row.starttls is not None
    if tls is None or tls.starttls != starttls:
        return "proxy_ssl starttls" if starttls else "proxy_ssl on"
    return None if tls.verify or demand == ANY_CERTIFICATE else "proxy_ssl_verify on"


def _is_allowed(client_ip: bytes, row: PasswdRow) -> bool:
    """Whether `allow_nets` allows the client's address; clients of a unix socket have none."""
    if row.allow_nets is None:
        return True
    if client_ip == b"unix:":
        return LOCAL in row.allow_nets
    return is_inside(client_ip.decode(), row.allow_nets)


def _address(host: str, port: int) -> Address | BackendName:
    """Parse a host: it is a name if its last label does not begin with a digit."""
    if ":" in host or host.rpartition(".")[2][:1].isdigit():
        return InetAddress(host, port)
    return BackendName(host, port)
