"""Settings built by hand at nginx's defaults, without the parser of configurations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from mailworker.config.access_log import AccessLog, AccessLogSettings, On
from mailworker.config.auth_http import AuthHttpSettings
from mailworker.config.core import CoreSettings
from mailworker.config.destinations import AccessLogFile
from mailworker.config.dialogue import DialogueSettings
from mailworker.config.events import EventsSettings
from mailworker.config.limit_auth import LimitZone
from mailworker.config.listen import Listen
from mailworker.config.log_format import LogFormat, TextFormat
from mailworker.config.networks import Network
from mailworker.config.proxy import ProxySettings
from mailworker.config.proxy_pass import ProxyPass
from mailworker.config.proxy_ssl import ProxySslSettings
from mailworker.config.resolver import ResolverSettings
from mailworker.config.session_cache import SessionCache
from mailworker.config.settings import MailServer, Settings
from mailworker.config.ssl import SslSettings
from mailworker.mail.limits.guards import Tables
from mailworker.model import Address, AuthMethod, InetAddress, ProxyProtocol, Starttls, VerifyClient
from mailworker.shm.limit_table import LimitTable
from mailworker.shm.limits import Limits
from mailworker.variables.escapes import DEFAULT
from mailworker.variables.template import parse
from mailworker.variables.variables import Variables
from tests.support.certificates import Certificate
from tests.support.patience import PATIENCE

SERVER_NAME = b"mail.example.com"
PAGE = 4096
PORTS = {"imap": 143, "pop3": 110, "smtp": 25, "sieve": 4190}

_DIALOGUES = {
    "imap": DialogueSettings(
        AuthMethod.PLAIN, (b"IMAP4", b"IMAP4rev1", b"UIDPLUS"), PAGE, greeting=b"* OK IMAP4 ready\r\n"
    ),
    "pop3": DialogueSettings(
        AuthMethod.PLAIN | AuthMethod.LOGIN, (b"TOP", b"USER", b"UIDL"), 128, greeting=b"+OK POP3 ready\r\n"
    ),
    "smtp": DialogueSettings(AuthMethod.PLAIN | AuthMethod.LOGIN, (), PAGE, greeting=b" ESMTP ready\r\n"),
    "sieve": DialogueSettings(
        AuthMethod.PLAIN, (b"IMPLEMENTATION mailworker", b"SIEVE fileinto", b"VERSION 1.0"), PAGE
    ),
}
_PROXY = ProxySettings(
    buffer=PAGE,
    timeout=24 * 3600.0,
    pass_error_message=False,
    xclient=True,
    smtp_auth=False,
    proxy_protocol=ProxyProtocol.OFF,
)
_PROXY_SSL = ProxySslSettings(
    starttls=False,
    certificate=None,
    certificate_key=None,
    passwords=None,
    protocols=("TLSv1.2", "TLSv1.3"),
    ciphers="DEFAULT",
    ecdh_curve="auto",
    name=None,
    server_name=False,
    verify=False,
    verify_depth=1,
    trusted_certificate=None,
    crl=None,
    session_reuse=True,
    conf_commands=(),
)
_SSL = SslSettings(
    certificates=(),
    certificate_keys=(),
    protocols=("TLSv1.2", "TLSv1.3"),
    ciphers="HIGH:!aNULL:!MD5",
    prefer_server_ciphers=False,
    ecdh_curve="auto",
    dhparam=None,
    passwords=None,
    certificate_compression=False,
    verify_client=VerifyClient.OFF,
    verify_depth=1,
    client_certificate=None,
    trusted_certificate=None,
    crl=None,
    conf_commands=(),
    session_cache=SessionCache(),
    session_timeout=300,
    session_tickets=True,
    session_ticket_keys=(),
)
_CORE = CoreSettings(
    daemon=False,
    master_process=False,
    worker_processes=1,
    user=None,
    pid=Path("/nonexistent/mailworker.pid"),
    lock_file=Path("/nonexistent/mailworker.lock"),
    working_directory=None,
    error_log=(),
    env=(),
    worker_priority=0,
    worker_cpu_affinity=None,
    worker_rlimit_nofile=None,
    worker_rlimit_core=None,
    worker_sandbox=False,
    worker_shutdown_timeout=None,
    shutdown_delay=0.0,
    timer_resolution=None,
)
# An address where nothing ever listens.
NOWHERE = InetAddress("127.0.0.1", 1)


def dialogue_settings(protocol: str, **changes: Any) -> DialogueSettings:
    return replace(_DIALOGUES[protocol], **changes)


def proxy_settings(**changes: Any) -> ProxySettings:
    return replace(_PROXY, **changes)


def proxy_pass(address: Address) -> ProxyPass:
    """`proxy_pass` with an address."""
    return ProxyPass(parse(b""), (address,))


def proxy_ssl_settings(**changes: Any) -> ProxySslSettings:
    return replace(_PROXY_SSL, **changes)


def auth_http_settings(address: Address = NOWHERE, **changes: Any) -> AuthHttpSettings:
    settings = AuthHttpSettings(
        address=address, host=b"auth.example.com", uri=b"/auth", timeout=PATIENCE, headers=(), pass_client_cert=False
    )
    return replace(settings, **changes)


def ssl_settings(certificate: Certificate, **changes: Any) -> SslSettings:
    files = {"certificates": (str(certificate.certificate),), "certificate_keys": (str(certificate.key),)}
    return replace(_SSL, **(files | changes))


def mail_server(protocol: str, **changes: Any) -> MailServer:
    """A `server` block with these fields of MailServer changed."""
    server = MailServer(
        listens=(Listen(InetAddress("127.0.0.1", PORTS[protocol])),),
        protocol=protocol,
        server_name=SERVER_NAME,
        timeout=PATIENCE,
        max_errors=5,
        max_commands=1000,
        error_log=(),
        resolver=ResolverSettings(),
        starttls=Starttls.OFF,
        ssl=None,
        dialogue=dialogue_settings(protocol),
        source=auth_http_settings(),
        proxy=proxy_settings(),
        real_ip_from=(),
        where="mailworker.conf:1",
    )
    return replace(server, **changes)


def configuration(
    *servers: MailServer, worker_connections: int = 512, debug_connection: tuple[Network, ...] = ()
) -> Settings:
    """A whole configuration with these servers."""
    events = EventsSettings(
        worker_connections=worker_connections,
        use=None,
        multi_accept=False,
        accept_mutex=False,
        accept_mutex_delay=0.5,
        debug_connection=debug_connection,
    )
    return Settings(Path("/nonexistent/mailworker.conf"), _CORE, events, servers, (), (), ())


def limit_tables() -> Tables:
    """Tables of limits that belong to this process alone."""
    zones: dict[str, Limits] = {}

    def table(zone: LimitZone) -> LimitTable:
        if zone.name not in zones:
            zones[zone.name] = Limits(zone.name, zone.zone.size, zone.text)
        return zones[zone.name].table((zone.gain, zone.period))

    return table


def access_log(form: bytes | LogFormat = b"$session_end", on: On = On.END, **changes: Any) -> AccessLogSettings:
    """One log with a format, or with a text as its format; `changes` are fields of AccessLog or AccessLogSettings."""
    text = TextFormat(parse(form), DEFAULT) if isinstance(form, bytes) else form
    settings = {name: changes.pop(name) for name in tuple(changes) if name in AccessLogSettings.__slots__}
    log = AccessLog(changes.pop("destination", AccessLogFile(Path("/a"))), text, on=on, **changes)
    used = Variables({}).used_by(text.template) if isinstance(text, TextFormat) else frozenset({"tls_handshake_time"})
    return AccessLogSettings((log,), used=used, **settings)
