"""The counters in the formats of Prometheus and OpenMetrics. prometheus_client is imported only where it is needed."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from mailworker import __version__
from mailworker.mail.counting import DURATION, LATENCY
from mailworker.mail.vitals import LAG
from mailworker.native.tls.version import running_with
from mailworker.status.snapshot import MICROSECONDS, CertificateState, Snapshot

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_PREFIX: Final = "mailworker_"

# A family of words, its metric, its help text, and its labels.
_COUNTERS: Final[Sequence[tuple[str, str, str, Sequence[str]]]] = (
    ("reloads", "config_reloads", "Reloads of the configuration.", ("result",)),
    ("respawns", "worker_respawns", "Workers that were replaced, by how they ended.", ("reason",)),
    ("accepted", "connections_accepted", "Clients that were accepted.", ("server", "protocol")),
    ("dropped", "connections_dropped", "Clients that were turned away, or not even accepted.", ("reason",)),
    ("logins", "logins", "Sessions that were logged in at a backend.", ("server", "protocol")),
    ("ended", "sessions", "Sessions that have ended, by why.", ("server", "protocol", "end")),
    ("bytes", "bytes", "Bytes of ended sessions, in TLS those of its data.", ("server", "protocol", "direction")),
    ("handshakes", "tls_handshakes", "Handshakes with clients.", ("server", "protocol", "version", "resumed")),
    ("handshake_failures", "tls_handshake_failures", "Those that failed.", ("server", "protocol", "reason")),
    ("tls_cache", "tls_session_cache_lookups", "Sessions that were asked for by their ids.", ("zone", "result")),
    ("limit_rejected", "limit_rejected", "Logins that a limit has refused.", ("zone",)),
    ("limit_delayed", "limit_delayed", "Logins that a limit has delayed.", ("zone",)),
    ("limit_dry_run", "limit_dry_run", "What a limit would have done, but for its dry run.", ("zone",)),
    ("limit_banned", "limit_banned", "Connections of who is banned.", ("zone",)),
    ("log_lines", "log_lines", "Lines that the log writer has taken.", ("log",)),
    ("log_dropped", "log_dropped", "Lines of access logs that were lost.", ("log",)),
    ("auth", "auth_requests", "Decisions about logins.", ("protocol", "source", "method", "result")),
)  # fmt: skip

_HISTOGRAMS: Final[Sequence[tuple[str, str, str, Sequence[str], Sequence[float]]]] = (
    ("auth_seconds", "auth_seconds", "What decisions about logins took.", ("source",), LATENCY),
    ("handshake_seconds", "tls_handshake_seconds", "What handshakes with clients took that ended well.",
     ("protocol", "resumed"), LATENCY),
    ("login_seconds", "upstream_login_seconds", "From a decision to the end of the login at a backend.",
     ("protocol",), LATENCY),
    ("session_seconds", "session_seconds", "From a login to the end of its session.", ("server", "protocol"), DURATION),
    ("loop_lag", "worker_loop_lag_seconds", "How late a worker does what is due; one look a second.", (), LAG),
)  # fmt: skip


class Metrics:
    """Renders the snapshot that `take` returns, each time anew."""

    __slots__ = ("_choose", "_core", "_registry", "_take")

    def __init__(self, take: Callable[[], Snapshot]) -> None:
        """Raises ImportError without the library."""
        from prometheus_client import CollectorRegistry, core, exposition  # noqa: PLC0415 - 14 MB, needed only here

        self._choose = exposition.choose_encoder
        self._core: Any = core
        self._registry = CollectorRegistry(auto_describe=False)
        self._take = take
        self._registry.register(self)

    def render(self, accept: str) -> tuple[bytes, str]:
        """The text in the format that an Accept header asks for, and its type."""
        encode, kind = self._choose(accept)
        return encode(self._registry), kind

    def collect(self) -> Iterator[Metric]:
        """The registry calls this for all metrics."""
        snapshot = self._take()
        yield from self._process(snapshot)
        yield from self._workers(snapshot)
        expiry = self._gauge(
            "tls_certificate_expiry_seconds", "When it ends, since 1970.", CertificateState._fields[:-1]
        )
        for certificate in snapshot.certificates:
            expiry.add_metric(certificate[:-1], certificate.expires)
        yield expiry
        sessions = self._gauge("connections", "Clients that are there.", ("server", "protocol", "state"))
        for each, living in snapshot.sessions.items():
            for state, value in living._asdict().items():
                sessions.add_metric([*each, state], value)
        yield sessions
        yield from self._limits(snapshot)
        for family, name, text, labels in _COUNTERS:
            counter = self._core.CounterMetricFamily(_PREFIX + name, text, labels=labels)
            for parts, value in snapshot.family(family):
                counter.add_metric(parts, value)
            yield counter
        for family, name, text, labels, bounds in _HISTOGRAMS:
            yield self._histogram(_PREFIX + name, text, labels, bounds, snapshot.family(family))

    def _limits(self, snapshot: Snapshot) -> Iterator[Metric]:
        entries = self._gauge("limit_zone_entries", "Keys in a zone of limits.", ("zone",))
        room = self._gauge("limit_zone_capacity", "How many keys there is room for.", ("zone",))
        bans = self._gauge("bans", "Keys that are banned.", ("zone",))
        exhausted = self._core.CounterMetricFamily(
            _PREFIX + "limit_zone_exhausted", "Keys that still counted and had to make room.", labels=("zone",)
        )
        for zone in snapshot.limits:
            entries.add_metric([zone.zone], zone.entries)
            room.add_metric([zone.zone], zone.room)
            bans.add_metric([zone.zone], zone.bans)
            exhausted.add_metric([zone.zone], zone.dropped)
        yield from (entries, room, bans, exhausted)

    def _process(self, snapshot: Snapshot) -> Iterator[Metric]:
        info = self._core.InfoMetricFamily(_PREFIX + "build", "What runs.")
        info.add_metric([], {"version": __version__, "python": platform.python_version(), "openssl": running_with()})
        yield info
        for name, text, value in (
            ("start_time_seconds", "When the master began, since 1970.", snapshot.started),
            ("config_last_reload_seconds", "When the configuration was last read, since 1970.", snapshot.reloaded),
            ("config_last_reload_successful", "Whether that succeeded.", not snapshot.reload_failed),
            ("ready", "Whether clients are accepted, and will be for a while.", snapshot.ready),
            ("workers", "Workers that accept.", snapshot.serving),
            ("workers_draining", "Workers that finish what they have.", snapshot.draining),
            ("worker_connections_limit", "The directive worker_connections.", snapshot.limit),
        ):
            gauge = self._gauge(name, text, ())
            gauge.add_metric([], float(value))
            yield gauge

    def _workers(self, snapshot: Snapshot) -> Iterator[Metric]:
        seconds = self._core.CounterMetricFamily(_PREFIX + "worker_cpu_seconds", "Processor time.", labels=("worker",))
        memory = self._gauge("worker_resident_memory_bytes", "Memory, shared parts of it too.", ("worker",))
        started = self._gauge("worker_start_time_seconds", "When it began, since 1970.", ("worker",))
        connections = self._gauge("worker_connections", "Connections in use, of worker_connections_limit.", ("worker",))
        for each in snapshot.workers:
            if each.process.leaving:
                continue
            name = [str(each.process.number)]
            if each.cpu is not None:
                seconds.add_metric(name, each.cpu)
            started.add_metric(name, each.started)
            memory.add_metric(name, each.memory)
            connections.add_metric(name, each.connections)
        yield from (seconds, started, memory, connections)

    def _gauge(self, name: str, text: str, labels: Sequence[str]) -> Any:
        return self._core.GaugeMetricFamily(_PREFIX + name, text, labels=labels)

    def _histogram(
        self,
        name: str,
        text: str,
        labels: Sequence[str],
        bounds: Sequence[float],
        words: Iterable[tuple[tuple[str, ...], int]],
    ) -> Metric:
        found: dict[tuple[str, ...], dict[str, int]] = {}
        for parts, value in words:
            found.setdefault(parts[:-1], {})[parts[-1]] = value
        family = self._core.HistogramMetricFamily(name, text, labels=labels)
        for parts, buckets in found.items():
            total, steps = 0, []
            for bound in (*map(repr, bounds), "+Inf"):
                total += buckets[bound]
                steps.append((bound, total))
            family.add_metric(parts, steps, buckets["sum"] / MICROSECONDS)
        metric: Metric = family
        return metric
