"""`mailworker-tune CONFIG`."""

from __future__ import annotations

import argparse
import math
import resource
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path

from mailworker import __version__
from mailworker.config.settings import MailServer, Settings
from mailworker.config.ssl import SslSettings
from mailworker.errors import ConfigError, StartError
from mailworker.log.terminal import put_out, tell
from mailworker.model import Level
from mailworker.paths import PREFIX
from mailworker.process.certificate_folders import CertificateFolders
from mailworker.process.invocation import Invocation
from mailworker.process.steps import at_once
from mailworker.process.system.processors import allowed_processors, usable_processors
from mailworker.tls.folder import find_pairs
from mailworker.tune import report
from mailworker.tune.advice import advise
from mailworker.tune.trial import Result, Trial

_SESSION_TIMEOUT = 300  # seconds, the directive's default
_LEAST_SECONDS = 0.1


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit code; `argv` None is the process's own, without its name."""
    options = _parser().parse_args(argv)
    try:
        invocation = Invocation((), options.prefix.absolute(), options.config.absolute(), error_log=None)
        settings = invocation.read(_show)
        server = next(filter(_has_certificates, settings.servers), None)
        tls = None if server is None else _with_certificates(server)
        results = _measure(settings, tls, options)
    except (ConfigError, StartError) as error:
        _complain(str(error))
        return 1
    limit = settings.core.worker_rlimit_nofile or resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    advice = advise(
        results,
        processors=len(allowed_processors()),
        descriptors=limit,
        session_timeout=_SESSION_TIMEOUT if tls is None else tls.session_timeout,
    )
    try:
        put_out((report.as_json if options.json else report.as_text)(results, advice).encode())
    except StartError as error:
        _complain(str(error))
        return 1
    return 0


def _complain(text: str) -> None:
    tell(f"mailworker-tune: {text}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mailworker-tune",
        description="Measure how handshakes, logins and relayed bytes scale with workers, and recommend directives. "
        "It runs servers and clients of its own on this machine, so it should have nothing else to do.",
    )
    parser.add_argument("config", type=Path, help="the configuration whose certificates are used")
    parser.add_argument("-p", dest="prefix", type=Path, default=Path(PREFIX), help="its prefix")
    parser.add_argument(
        "--workers", type=_count, default=usable_processors(), metavar="N", help="measure 1 to N workers"
    )
    parser.add_argument("--seconds", type=_seconds, default=3.0, help="how long each measurement takes")
    parser.add_argument("--json", action="store_true", help="print for scripts")
    parser.add_argument("--version", action="version", version=f"mailworker-tune {__version__}")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f'invalid number "{text}"')
    return int(text)


def _seconds(text: str) -> float:
    """The value of --seconds, which must not be too short to measure anything."""
    with suppress(ValueError):
        if _LEAST_SECONDS <= (seconds := float(text)) < math.inf:
            return seconds
    raise argparse.ArgumentTypeError(f'invalid time "{text}"')


def _show(level: Level, message: str) -> None:
    _complain(f"[{level.name.lower()}] {message}")


def _has_certificates(server: MailServer) -> bool:
    return server.ssl is not None and bool(server.ssl.certificates or server.ssl.certificate_directories)


def _with_certificates(server: MailServer) -> SslSettings:
    """The server's TLS settings; folders are replaced by their certificates for its name, or by any certificate."""
    tls = server.ssl
    assert tls is not None
    if tls.certificates:
        return tls
    folders = CertificateFolders()
    at_once(folders.read([tls], _show))
    pairs = find_pairs([*folders], server.server_name.lower()) or [*chain.from_iterable(folders)][:1]
    if not pairs:
        raise StartError(f"no certificate in {', '.join(tls.certificate_directories)}")
    files, keys = tuple(pair.path for pair in pairs), tuple(pair.key_path for pair in pairs)
    return replace(tls, certificates=files, certificate_keys=keys)


def _measure(settings: Settings, tls: SslSettings | None, options: argparse.Namespace) -> list[Result]:
    trial = Trial(
        ssl=tls,
        worker_connections=settings.events.worker_connections,
        seconds=options.seconds,
        loads=min(options.workers, usable_processors()),  # more would only take time from each other
    )
    return [trial.run(kind, workers) for kind in trial.kinds for workers in range(1, options.workers + 1)]
