"""Backends that decide about logins (auth_upstream), for tests of whole sessions."""

from __future__ import annotations

from typing import Any

from mailworker.config.source import ByBackendSettings
from mailworker.model import AuthMethod
from tests.mail.cases import AUTH_PLAIN, IMAP, POP3, SMTP, Case
from tests.mail.conftest import Scene
from tests.support.backend import Script, ScriptedServer, conversation, echo
from tests.support.proxy import Proxy
from tests.support.settings import NOWHERE, dialogue_settings, proxy_pass, proxy_settings

XCLIENT = b"250-backend\r\n250-XCLIENT NAME ADDR LOGIN\r\n250 AUTH PLAIN LOGIN\r\n"
OFFERS = b"250-backend\r\n250 AUTH PLAIN LOGIN XOAUTH2 OAUTHBEARER\r\n"
LOGGED_IN = b"235 2.0.0 OK\r\n"
TEMPORARY = {
    "imap": b"a1 NO [UNAVAILABLE] Temporary authentication failure\r\n",
    "pop3": b"-ERR [SYS/TEMP] Temporary authentication failure\r\n",
    "smtp": b"454 4.7.0 Temporary authentication failure\r\n",
}
WRONG = {
    "imap": b"a1 NO [AUTHENTICATIONFAILED] Authentication failed\r\n",
    "pop3": b"-ERR [AUTH] Authentication failed\r\n",
    "smtp": b"535 5.7.8 Authentication credentials invalid\r\n",
}
# What a backend says before it judges a password.
BEFORE = {"imap": IMAP.backend[:1], "pop3": POP3.backend[:-1], "smtp": (b"220 backend\r\n", OFFERS)}
# What a backend hears up to its yes.
COMMANDS = {
    "imap": b'a1 LOGIN "user@example.com" "secret"\r\n',
    "pop3": POP3.commands,
    "smtp": b"EHLO mail.example.com\r\n" + AUTH_PLAIN,
}
YES = {"imap": IMAP.answer, "pop3": POP3.answer, "smtp": b"235 2.7.0 Welcome\r\n"}
AUTH = {"imap": b"a1 AUTHENTICATE ", "pop3": b"AUTH ", "smtp": b"AUTH "}
GO_AHEAD = {"imap": b"+ \r\n", "pop3": b"+ \r\n", "smtp": b"334 \r\n"}


class Stage:
    """A proxy with one backend, which decides, and a client that has been greeted."""

    def __init__(
        self, scene: Scene, protocol: str, *scripts: Script, auth: AuthMethod | None = None, **changes: Any
    ) -> None:
        self.backend: ScriptedServer = scene.in_turn(*scripts)
        settings = proxy_settings(backend=proxy_pass(self.backend.address), **changes)
        dialogue = dialogue_settings(protocol) if auth is None else dialogue_settings(protocol, auth=auth)
        source = ByBackendSettings()
        self.proxy: Proxy = scene.proxy(protocol, NOWHERE, source=source, proxy=settings, dialogue=dialogue)
        self.client = scene.client(self.proxy)
        self.client.expect({"imap": IMAP, "pop3": POP3, "smtp": SMTP}[protocol].greeting)


def refusing(protocol: str, reply: bytes) -> Script:
    return conversation(*BEFORE[protocol], reply)


def accepting(protocol: str) -> Script:
    return conversation(*BEFORE[protocol], YES[protocol], then=echo)


def answer(case: Case) -> bytes:
    return LOGGED_IN if case is SMTP else case.answer
