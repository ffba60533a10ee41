"""Log lines of a start or a reload."""

from __future__ import annotations

import os
import resource
from contextlib import closing

from mailworker import __version__
from mailworker.config.settings import Settings
from mailworker.config.source import ByBackendSettings
from mailworker.errors import ConfigError, StartError, UnreadableError
from mailworker.event.loop import Loop
from mailworker.log.line import describe
from mailworker.log.log import Log
from mailworker.model import Level

_UNTRUSTED = (
    '"auth_upstream" is on for SMTP: the backend must not take mail to others from this proxy\'s address without AUTH '
    '("mynetworks" in Postfix)'
)


def log_event_method(log: Log) -> None:
    """Log nginx's `using the "epoll" event method`."""
    log.write(Level.NOTICE, f'using the "{event_method()}" event method')


def log_system(log: Log) -> None:
    """Log the version, the system, and its limits."""
    system = os.uname()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    log.write(Level.NOTICE, f"mailworker/{__version__}")
    log.write(Level.NOTICE, f"OS: {system.sysname} {system.release}")
    log.write(Level.NOTICE, f"getrlimit(RLIMIT_NOFILE): {soft}:{hard}")


def log_room(log: Log, settings: Settings) -> None:
    """Warn, as nginx does, if workers may have fewer descriptors than connections."""
    count = settings.events.worker_connections
    most = settings.core.worker_rlimit_nofile or resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if most != resource.RLIM_INFINITY and count > most:
        log.write(Level.WARN, f"{count} worker_connections exceed open file resource limit: {most}")


def log_trust(log: Log, settings: Settings) -> None:
    """Log a reminder for SMTP with `auth_upstream`: `-t` cannot test whether the backend trusts our address."""
    if any(isinstance(server.source, ByBackendSettings) and server.protocol == "smtp" for server in settings.servers):
        log.write(Level.NOTICE, _UNTRUSTED)


def log_refusal(log: Log, error: ConfigError | StartError) -> None:
    """Log why the start or the reload has failed."""
    log.write(Level.CRIT if isinstance(error, UnreadableError) else Level.EMERG, str(error))


def event_method() -> str:
    """The best event method of this system, by nginx's name. Raises StartError."""
    try:
        with closing(Loop(on_bug=lambda bug: None)) as loop:
            return loop.method
    except OSError as error:
        raise StartError(f"epoll_create() failed {describe(error)}") from None
