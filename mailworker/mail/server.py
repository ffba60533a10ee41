"""A `server` block, ready to serve: the objects that all its sessions share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from time import monotonic
from typing import Final, NamedTuple, Protocol

from mailworker.config.access_log import WAITED_FOR
from mailworker.config.auth_http import AuthHttpSettings
from mailworker.config.destinations import Destination
from mailworker.config.proxy_ssl import ProxySslSettings
from mailworker.config.settings import MailServer
from mailworker.event.rows import Rows
from mailworker.log.access_logs import AccessLogs
from mailworker.log.log import Log
from mailworker.mail.authentication.auth_http import AuthHttp
from mailworker.mail.authentication.by_backend import ByBackend
from mailworker.mail.authentication.policed import Policed
from mailworker.mail.authentication.source import LoginGuard, LoginSource
from mailworker.mail.capabilities import Capabilities
from mailworker.mail.client.host import Resolver
from mailworker.mail.client.tls import Agreements
from mailworker.mail.counting import Counted
from mailworker.mail.once import Once
from mailworker.mail.proxy_pass import configured_backend
from mailworker.mail.session_log import SessionLog
from mailworker.mail.targets import Targets, choose_targets
from mailworker.model import ProxyProtocol, Starttls, VerifyClient
from mailworker.tls.backend import BackendTls
from mailworker.tls.context import TlsContext
from mailworker.wire.auth_answers import Answers
from mailworker.wire.imap_greetings import LoginForms
from mailworker.wire.pop3_greetings import Greetings as Pop3Greetings
from mailworker.wire.remembered import Remembered
from mailworker.wire.sieve_response import LoginOffer
from mailworker.wire.smtp_offers import Offers

_NO_PLACES: Final[Mapping[Destination, int]] = {}


class Admission(Protocol):
    """The check for clients after a successful login; see `mailworker.mail.limit_conn`."""

    @property
    def refusal_at_login(self) -> Callable[[int, str, bytes], object]:
        """Takes a record's number, client and login; gives None if the client is counted, else `admits` decides."""

    def admits(self, record: SessionLog, /) -> bool:
        """Whether one more client may log in; if not, that is logged."""


class ServerTls(NamedTuple):
    """The TLS contexts of a server's connections with clients, and with backends; None if TLS is not used."""

    clients: TlsContext | None = None
    backends: BackendTls | None = None


class Memories:
    """The memories of clients, services and backends, one for all servers that read their words in the same way.

    POP3 backends are remembered by the settings of TLS to them, None in clear. Servers that say the same share their
    auth `services` and their `capabilities`, too.
    """

    __slots__ = (
        "agreements", "answers", "capabilities", "greetings", "offers", "pop3_greetings", "services",
        "sieve_greetings",
    )  # fmt: skip

    def __init__(self) -> None:
        self.agreements = Agreements()
        self.answers: Callable[..., Answers] = cache(Answers)
        self.capabilities: dict[object, Capabilities] = {}
        self.greetings = Remembered[LoginForms]()
        self.offers: Callable[..., Offers] = cache(partial(Offers, monotonic))
        self.pop3_greetings: Callable[[ProxySslSettings | None], Pop3Greetings] = cache(lambda _tls: Pop3Greetings())
        self.services: Callable[..., AuthHttp] = cache(AuthHttp)
        self.sieve_greetings = Remembered[LoginOffer]()


class Server:
    """A `server` block, made by the master before it forks.

    `tls` is None if no connection with a client can be encrypted, `backend_tls` if none with a backend is.
    `starttls_only` tells whether a login needs TLS. `client_resolver` is None if clients' names are not looked up.
    `login_source` decides about logins, `targets` chooses their backends, and `backend` is used if the source names
    none. `plain_source` is the source if it may be asked plainly, see AuthHttp, else None. `by_backend` is the source
    if backends decide, else None, and `policed` is it if a policy service is asked. `guard` limits logins and `limits`
    connections, None without limits.
    `access_logs` are ready to write. `counted` counts the server's sessions, None without counters. `rows` are the
    worker's rows of the session table, None if there is none; `number` is the server's number there. `has_variables`
    tells whether variables use facts of sessions, `asks_for_handshake` whether they use the handshake's duration, and
    `waits_for_facts` whether they use times of the backend that are not measured otherwise. `logged` remembers which
    faults of backends were logged, `greetings` those of IMAP backends, `pop3_greetings` those of POP3 backends,
    `sieve_greetings` those of ManageSieve backends, `offers` the replies of SMTP backends to EHLO, `agreements` the
    results of handshakes. `limited` tells whether relays have a rate limit. `logs_in_at_once`: nothing precedes a login
    to a backend, and its steps need not be seen one by one.
    `watched`: a session ends if its client sends a command to change its user at the backend (wire/sieve_line.py).
    """

    __slots__ = (
        "access_logs", "agreements", "asks_for_handshake", "backend", "backend_tls", "by_backend", "capabilities",
        "client_resolver", "counted", "greetings", "guard", "has_variables", "limited", "limits", "log", "logged",
        "login_source", "logs_in_at_once", "number", "offers", "plain_source", "policed", "pop3_greetings", "rows",
        "settings", "sieve_greetings", "starttls_only", "targets", "tls", "waits_for_facts", "watched",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913, PLR0917 - what the master has read and opened
        self,
        settings: MailServer,
        log: Log,
        tls: ServerTls,
        capabilities: Capabilities,
        login_source: LoginSource,
        places: Mapping[Destination, int] = _NO_PLACES,
        memories: Memories | None = None,
    ) -> None:
        self.settings = settings
        self.log = log
        self.tls, self.backend_tls = tls
        self.starttls_only = settings.starttls is Starttls.ONLY
        self.client_resolver: Resolver | None = None
        self.counted: Counted | None = None
        self.guard: LoginGuard | None = None
        self.limits: Admission | None = None
        self.number = 0
        self.rows: Rows | None = None
        self.login_source = login_source
        plain = login_source if isinstance(login_source, AuthHttp) and login_source.is_plain else None
        self.plain_source = None if self.asks_for_certificates else plain
        self.by_backend = login_source if isinstance(login_source, ByBackend) else None
        self.policed = login_source if isinstance(login_source, Policed) else None
        self.targets: Targets = choose_targets(settings, None)
        variables, backend, names = settings.variables.bind(), settings.proxy.backend, bool(settings.resolver.servers)
        self.backend = None if backend is None else configured_backend(backend, variables, names=names)
        self.access_logs = AccessLogs(settings.access_log, variables, places)
        self.asks_for_handshake = "tls_handshake_time" in settings.access_log.used
        self.has_variables = bool(self.access_logs) or _uses_variables(settings)
        self.waits_for_facts = not settings.access_log.used.isdisjoint(WAITED_FOR)
        self.limited = bool(settings.proxy.limit_rate or settings.proxy.upload_rate)
        self.capabilities = capabilities
        proxy, watched = settings.proxy, self.waits_for_facts or self.backend_tls is not None
        self.logs_in_at_once = proxy.proxy_protocol is ProxyProtocol.OFF and not watched
        self.logged = Once()
        memories = memories or Memories()
        self.agreements = memories.agreements
        self.greetings = memories.greetings
        self.sieve_greetings = memories.sieve_greetings
        self.pop3_greetings = memories.pop3_greetings(proxy.ssl)
        self.offers = memories.offers(proxy.xclient_fields, sends=proxy.xclient)
        self.watched = False

    @property
    def asks_for_certificates(self) -> bool:
        """Whether handshakes ask clients for a certificate."""
        ssl = self.settings.ssl
        return ssl is not None and ssl.verify_client is not VerifyClient.OFF

    @property
    def greets_at_once(self) -> bool:
        """Whether no client has to wait for the greeting."""
        return self.client_resolver is None and not self.settings.dialogue.greeting_delay


def _uses_variables(settings: MailServer) -> bool:
    """Whether any module but the access logs uses variables."""
    source = settings.source
    return (
        (isinstance(source, AuthHttpSettings) and source.has_variables)
        or (settings.proxy.backend is not None and settings.only_judge is None)
        or (settings.policy is not None and settings.policy.has_variables)
        or any(zone.light is None for zone in settings.limit_auth.zones)
        or settings.limit_conn.has_variables
    )
