"""The counters in the formats of Prometheus and OpenMetrics. prometheus_client is imported only where it is needed.

It writes each line once for each format; later only the values are written anew, behind the beginnings of its lines.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final, NamedTuple

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
    ("upstream_failures", "upstream_failures", "Logins that a backend's fault has prevented.", ("protocol", "reason")),
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


# Formats whose lines are kept: an Accept header can ask for any number of versions.
_MOST_FORMATS: Final = 4

Encode = Callable[[Any], bytes]
Labels = tuple[str, ...]


class Family(NamedTuple):
    """A metric: `labels` are the names of labels, `series` the labels' values, each with the values of its lines.

    `kind` is the beginning of the name of prometheus_client's class. `bounds` are those of a histogram's buckets.
    """

    kind: str
    name: str
    text: str
    labels: Sequence[str]
    series: Sequence[tuple[Labels, Sequence[float]]]
    bounds: Sequence[str] = ()


class _Lines(NamedTuple):
    """What prometheus_client has written for a family with these series: comments, and the beginnings of lines."""

    series: list[Labels]
    comments: str
    beginnings: list[str]


class _Texts(dict[float, str]):
    """The texts of values in one answer; most of them are 0."""

    def __init__(self, write: Callable[[float], str]) -> None:
        self._write = write

    def __missing__(self, value: float) -> str:
        self[value] = text = self._write(value)
        return text


class Metrics:
    """Renders the snapshot that `take` returns, each time anew."""

    __slots__ = ("_choose", "_core", "_lines", "_take", "_write")

    def __init__(self, take: Callable[[], Snapshot]) -> None:
        """Raises ImportError without the library."""
        from prometheus_client import core, exposition, utils  # noqa: PLC0415 - 14 MB, needed only here

        self._choose = exposition.choose_encoder
        self._core: Any = core
        self._lines = dict[str, dict[str, _Lines]]()
        self._take = take
        self._write: Callable[[float], str] = utils.floatToGoString

    def render(self, accept: str) -> tuple[bytes, str]:
        """The text in the format that an Accept header asks for, and its type."""
        try:
            encode, kind = self._choose(accept)
        except (TypeError, ValueError):  # the library fails at a version that is no number
            encode, kind = self._choose("")
        lines, texts = self._lines_of(kind), _Texts(self._write)
        written: list[str] = []
        for family in families(self._take()):
            known = lines.get(family.name)
            if known is None or known.series != [labels for labels, _ in family.series]:
                lines[family.name] = known = self._learn(encode, family)
            values = [value for _, values in family.series for value in values]
            written.append(known.comments)
            written += [f"{line} {texts[value]}\n" for line, value in zip(known.beginnings, values, strict=True)]
        return "".join(written).encode() + encode(_Only()), kind

    def metric(self, family: Family) -> Metric:
        """The family as an object of the library."""
        kind = getattr(self._core, f"{family.kind}MetricFamily")
        metric: Any = kind(_PREFIX + family.name, family.text, labels=family.labels)
        for labels, values in family.series:
            if family.kind == "Histogram":
                *buckets, _, total = values
                metric.add_metric(labels, [*zip(family.bounds, buckets, strict=True)], total)
            elif family.kind == "Info":
                metric.add_metric([], dict(zip(family.labels, labels, strict=True)))
            else:
                metric.add_metric(labels, *values)
        found: Metric = metric
        return found

    def _lines_of(self, kind: str) -> dict[str, _Lines]:
        """The lines that are known in a format, which is named by its type."""
        if kind not in self._lines:
            while len(self._lines) >= _MOST_FORMATS:
                del self._lines[next(iter(self._lines))]
            self._lines[kind] = {}
        return self._lines[kind]

    def _learn(self, encode: Encode, family: Family) -> _Lines:
        text = encode(_Only(self.metric(family))).removesuffix(encode(_Only())).decode()
        lines = text.split("\n")[:-1]
        beginnings = [line.rpartition(" ")[0] for line in lines if not line.startswith("#")]
        comments = "".join(f"{line}\n" for line in lines if line.startswith("#"))
        return _Lines([labels for labels, _ in family.series], comments, beginnings)


class _Only:
    """A registry that has these metrics alone."""

    __slots__ = ("_metrics",)

    def __init__(self, *metrics: Metric) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        """The library calls this."""
        return self._metrics


def families(snapshot: Snapshot) -> Iterator[Family]:
    """All metrics of a snapshot."""
    yield from _process(snapshot)
    yield from _workers(snapshot)
    yield _gauge(
        *("tls_certificate_expiry_seconds", "When it ends, since 1970.", CertificateState._fields[:-1]),
        [(each[:-1], each.expires) for each in snapshot.certificates],
    )
    yield _gauge(
        *("connections", "Clients that are there.", ("server", "protocol", "state")),
        [
            ((*each, state), value)
            for each, living in snapshot.sessions.items()
            for state, value in living._asdict().items()
        ],
    )
    yield from _limits(snapshot)
    for family, name, text, labels in _COUNTERS:
        yield Family("Counter", name, text, labels, _single(snapshot.family(family)))
    for family, name, text, labels, bounds in _HISTOGRAMS:
        yield _histogram(name, text, labels, bounds, snapshot.family(family))


def _process(snapshot: Snapshot) -> Iterator[Family]:
    build = {"version": __version__, "python": platform.python_version(), "openssl": running_with()}
    yield Family("Info", "build", "What runs.", tuple(build), [(tuple(build.values()), (1,))])
    for name, text, value in (
        ("start_time_seconds", "When the master began, since 1970.", snapshot.started),
        ("config_last_reload_seconds", "When the configuration was last read, since 1970.", snapshot.reloaded),
        ("config_last_reload_successful", "Whether that succeeded.", not snapshot.reload_failed),
        ("ready", "Whether clients are accepted, and will be for a while.", snapshot.ready),
        ("workers", "Workers that accept.", snapshot.serving),
        ("workers_draining", "Workers that finish what they have.", snapshot.draining),
        ("worker_connections_limit", "The directive worker_connections.", snapshot.limit),
    ):
        yield _gauge(name, text, (), [((), value)])


def _workers(snapshot: Snapshot) -> Iterator[Family]:
    """The figures of each worker: during a reload two have the same number, and the one that began last is shown."""
    staying = (each for each in snapshot.workers if not each.process.leaving)
    workers = {(str(each.process.number),): each for each in sorted(staying, key=lambda each: each.started)}.items()
    cpu = [(name, each.cpu) for name, each in workers if each.cpu is not None]
    yield Family("Counter", "worker_cpu_seconds", "Processor time.", ("worker",), _single(cpu))
    for field, metric, text in (
        ("started", "worker_start_time_seconds", "When it began, since 1970."),
        ("memory", "worker_resident_memory_bytes", "Memory, shared parts of it too."),
        ("connections", "worker_connections", "Connections in use, of worker_connections_limit."),
    ):
        yield _gauge(metric, text, ("worker",), [(name, getattr(each, field)) for name, each in workers])


def _limits(snapshot: Snapshot) -> Iterator[Family]:
    for kind, field, name, text in (
        ("Gauge", "entries", "limit_zone_entries", "Keys in a zone of limits."),
        ("Gauge", "room", "limit_zone_capacity", "How many keys there is room for."),
        ("Gauge", "bans", "bans", "Keys that are banned."),
        ("Counter", "dropped", "limit_zone_exhausted", "Keys that still counted and had to make room."),
    ):
        values = [((zone.zone,), getattr(zone, field)) for zone in snapshot.limits]
        yield Family(kind, name, text, ("zone",), _single(values))


def _gauge(name: str, text: str, labels: Sequence[str], values: Iterable[tuple[Labels, float]]) -> Family:
    return Family("Gauge", name, text, labels, _single(values))


def _single(values: Iterable[tuple[Labels, float]]) -> list[tuple[Labels, tuple[float]]]:
    return [(labels, (value,)) for labels, value in values]


def _histogram(
    name: str, text: str, labels: Sequence[str], bounds: Sequence[float], words: Iterable[tuple[Labels, int]]
) -> Family:
    """A histogram: its words are the buckets, which are not cumulative, and the sum of microseconds."""
    names, series = (*map(repr, bounds), "+Inf"), []
    found: dict[Labels, dict[str, int]] = {}
    for parts, value in words:
        found.setdefault(parts[:-1], {})[parts[-1]] = value
    for parts, buckets in found.items():
        steps = [*accumulate(buckets[bound] for bound in names)]
        series.append((parts, (*steps, steps[-1], buckets["sum"] / MICROSECONDS)))
    return Family("Histogram", name, text, labels, series, names)
