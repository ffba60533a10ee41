"""Settings of limits, and a proxy whose clients log in."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from mailworker.config.limit_auth import USE, AuthDelay, LimitAuth, LimitAuthSettings, LimitZone
from mailworker.config.zones import SharedZone
from mailworker.mail.limits.guard import Guard
from mailworker.mail.limits.limit import Limit
from mailworker.mail.session_facts import SessionFacts
from mailworker.variables.template import parse
from tests.mail.cases import IMAP, Case
from tests.mail.conftest import Scene
from tests.support.auth import AuthService, accepted, rejected
from tests.support.backend import ScriptedServer
from tests.support.peer import Peer
from tests.support.proxy import Proxy

SIZE = 64 << 10

TEMPORARY = {
    "imap": b"a1 NO [UNAVAILABLE] Temporary authentication failure\r\n",
    "pop3": b"-ERR [SYS/TEMP] Temporary authentication failure\r\n",
    "smtp": b"454 4.7.0 Temporary authentication failure\r\n",
    "sieve": b'NO (TRYLATER) "Account is temporarily unavailable."\r\n',
}


def zone(key: str = "$binary_remote_prefix", gain: int = 100, period: int = 1000, name: str = "fail") -> LimitZone:
    """By default 6 a minute."""
    return LimitZone(SharedZone(name, SIZE, USE, (key,)), parse(key.encode()), gain, period)


def limit(burst: int = 2, *, of: LimitZone | None = None, delay: int | None = None, **changes: Any) -> LimitAuth:
    """Without a delay, unless one is given."""
    return LimitAuth(of or zone(), burst * 1000, None if delay is None else delay * 1000, **changes)


def settings(*limits: LimitAuth, **changes: Any) -> LimitAuthSettings:
    return LimitAuthSettings(limits, **changes)


def delay(seconds: float = 2.0, most: float = 15.0, of: LimitZone | None = None) -> AuthDelay:
    return AuthDelay(seconds, most, of)


def judging(scene: Scene, backend: ScriptedServer, returned: bytes | None = None) -> AuthService:
    """An auth service that lets in whoever knows the password `secret`, as the user `returned`."""
    service: AuthService
    names = () if returned is None else ((b"Auth-User", returned),)

    def judge(peer: Peer) -> None:
        right = service.header(b"Auth-Pass") == b"secret"
        peer.send(accepted(backend.address, *names) if right else rejected(b"Wrong password"))

    service = scene.auth(judge)
    return service


class Known(SessionFacts):
    """The part of a session that a key needs."""

    prefix_lengths = (32, 64)

    def __init__(self, client: str, user: bytes = b"") -> None:
        self.client = client
        self.port = 1
        self.who = None
        self.login = self.auth_user = user
        self.attempts = 1


class Mailbox:
    """A proxy with an auth service behind it; clients come from 127.0.0.x."""

    def __init__(
        self,
        scene: Scene,
        limits: LimitAuthSettings,
        case: Case = IMAP,
        *,
        returned: bytes | None = None,
        **changes: Any,
    ) -> None:
        self.scene = scene
        self.case = case
        self.service = judging(scene, scene.backend(case.script()), returned)
        self.proxy: Proxy = scene.proxy(case.protocol, self.service, limit_auth=limits, **changes)

    def client(self, source: str = "127.0.0.1") -> Peer:
        client = self.scene.client(self.proxy, source=source)
        client.expect(self.case.greeting)
        return client

    def is_banned(self, source: str = "127.0.0.1") -> bool:
        """Whether a connection is closed without a greeting."""
        client = self.scene.client(self.proxy, source=source)
        client.end()
        return client.rest() == b""

    def try_to_log_in(self, password: bytes, source: str = "127.0.0.1", user: bytes = b"user@example.com") -> bytes:
        """The answer to a login."""
        client = self.client(source)
        client.send(login(self.case, password, user))
        return client.until(b"\r\n")

    def leave(self) -> None:
        """Close all clients, and wait until their sessions have ended."""
        for client in self.scene._clients:
            client.close()
        self.proxy.service_is_idle()

    @property
    def asked(self) -> int:
        """How often the auth service was asked."""
        return len(self.service.requests)


def limits_of(proxy: Proxy) -> tuple[Limit, ...]:
    """The limits of a proxy's server."""
    guard = proxy.service.servers[0].guard
    assert isinstance(guard, Guard)
    return guard.limits


def login(case: Case, password: bytes, user: bytes = b"user@example.com") -> bytes:
    """The command of a login by a protocol."""
    if case.protocol == "imap":
        return b"a1 LOGIN %b %b\r\n" % (user, password)
    credentials = b64encode(b"\0%b\0%b" % (user, password))
    if case.protocol == "sieve":
        return b'AUTHENTICATE "PLAIN" "%b"\r\n' % credentials
    return b"AUTH PLAIN %b\r\n" % credentials
