"""The configuration that the measurements suggest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mailworker.tune.load import Kind
from mailworker.tune.trial import Result

# The part of the best rate that suffices: further workers that add less are not worth their memory.
_ENOUGH = 0.95
# Descriptors of a worker for its logs, listeners, selector and others.
_SPARE = 64
# Connections for each client: its own, and one to the auth service or the backend.
_CONNECTIONS_OF_CLIENT = 2
_MOST_CLIENTS = 32768  # of a worker
_SESSIONS_PER_MEGABYTE = 6000
_LARGEST_ZONE = 256  # megabytes
# The full handshakes in the busiest minutes, as a part of those that the machine can do; the others resume sessions.
_BUSY = 0.25


@dataclass(frozen=True, slots=True)
class Advice:
    """Values of directives; `zone` is in megabytes, None without TLS."""

    worker_processes: int
    worker_cpu_affinity: bool
    worker_connections: int
    zone: int | None

    def directives(self) -> list[str]:
        """As they are written in a configuration."""
        lines = [f"worker_processes {self.worker_processes};"]
        if self.worker_cpu_affinity:
            lines.append("worker_cpu_affinity auto;")
        lines.append(f"events {{ worker_connections {self.worker_connections}; }}")
        if self.zone is not None:
            lines.append(f"ssl_session_cache shared:mail:{self.zone}m;")
        return lines


def advise(results: Sequence[Result], *, processors: int, descriptors: int, session_timeout: int) -> Advice:
    """The advice for a machine with so many `processors`, and so many `descriptors` for each process.

    `session_timeout` is in seconds. The number of workers depends on handshakes and logins only, as most of the work of
    relaying is the kernel's.
    """
    kinds = {result.kind for result in results} - {Kind.RELAYED_BYTES}
    workers = max((_enough(results, kind) for kind in kinds), default=1)
    clients = min(max(descriptors - _SPARE, 2) // _CONNECTIONS_OF_CLIENT, _MOST_CLIENTS)
    return Advice(
        worker_processes=workers,
        worker_cpu_affinity=workers > 1 and workers == processors,
        worker_connections=clients * _CONNECTIONS_OF_CLIENT,
        zone=_zone(results, session_timeout),
    )


def _enough(results: Sequence[Result], kind: Kind) -> int:
    """The smallest number of workers that is nearly as good as the best one."""
    of_kind = [result for result in results if result.kind is kind]
    best = max(result.potential for result in of_kind)
    return min(result.workers for result in of_kind if result.potential >= best * _ENOUGH)


def _zone(results: Sequence[Result], session_timeout: int) -> int | None:
    """The size in megabytes for all TLS sessions that begin within their timeout; None without TLS."""
    rates = [result.potential for result in results if result.kind is Kind.HANDSHAKES]
    if not rates:
        return None
    sessions = max(rates) * _BUSY * session_timeout
    return min(max(round(sessions / _SESSIONS_PER_MEGABYTE), 1), _LARGEST_ZONE)
