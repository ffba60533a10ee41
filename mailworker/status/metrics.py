"""The counters in the formats of Prometheus and OpenMetrics.

prometheus_client, which is imported here alone, writes each line once for each format. Later answers have the
beginnings of its lines with new values.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mailworker import __version__
from mailworker.mail.counting import DURATION, LATENCY
from mailworker.mail.vitals import LAG
from mailworker.native.tls.version import running_with
from mailworker.status.master_state import MICROSECONDS
from mailworker.status.snapshot import CertificateState, Snapshot

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_PREFIX: Final = "mailworker_"

# A family of counters, its metric, the help text, and the labels.
_COUNTERS: Final[Sequence[tuple[str, str, str, Sequence[str]]]] = (
    ("reloads", "config_reloads", "Reloads of the configuration, by result.", ("result",)),
    ("respawns", "worker_respawns", "Workers that ended unexpectedly and were replaced.", ("reason",)),
    ("accepted", "connections_accepted", "Accepted connections of clients.", ("server", "protocol")),
    ("dropped", "connections_dropped", "Connections of clients that could not be served.", ("reason",)),
    ("logins", "logins", "Sessions that have logged in at a backend.", ("server", "protocol")),
    ("ended", "sessions", "Ended sessions, by reason.", ("server", "protocol", "end")),
    ("bytes", "bytes", "Bytes of ended sessions; with TLS, of the decrypted data.",
     ("server", "protocol", "direction")),
    ("handshakes", "tls_handshakes", "Successful TLS handshakes with clients.",
     ("server", "protocol", "version", "resumed")),
    ("handshake_failures", "tls_handshake_failures", "Failed TLS handshakes with clients, by reason.",
     ("server", "protocol", "reason")),
    ("tls_cache", "tls_session_cache_lookups", "Lookups of TLS sessions by id, by result.", ("zone", "result")),
    ("limit_rejected", "limit_rejected", "Logins refused by limit_auth.", ("zone",)),
    ("limit_delayed", "limit_delayed", "Logins delayed by limit_auth.", ("zone",)),
    ("limit_dry_run", "limit_dry_run", "Logins that limit_auth would have refused or delayed without dry run.",
     ("zone",)),
    ("limit_banned", "limit_banned", "Connections closed because of a ban.", ("zone",)),
    ("log_lines", "log_lines", "Lines of access logs received by the log writer.", ("log",)),
    ("log_dropped", "log_dropped", "Lines of access logs that were lost.", ("log",)),
    ("auth", "auth_requests", "Decisions about logins, by result.", ("protocol", "source", "method", "result")),
    ("upstream_failures", "upstream_failures", "Logins that failed by a fault of the backend, by reason.",
     ("protocol", "reason")),
)  # fmt: skip

_HISTOGRAMS: Final[Sequence[tuple[str, str, str, Sequence[str], Sequence[float]]]] = (
    ("auth_seconds", "auth_seconds", "Time until the decision about a login.", ("source",), LATENCY),
    ("handshake_seconds", "tls_handshake_seconds", "Duration of successful TLS handshakes with clients.",
     ("protocol", "resumed"), LATENCY),
    ("login_seconds", "upstream_login_seconds",
     "Time from the decision about a login to the end of the login at the backend.",
     ("protocol",), LATENCY),
    ("session_seconds", "session_seconds", "Time from the login to the end of the session.",
     ("server", "protocol"), DURATION),
    ("loop_lag", "worker_loop_lag_seconds", "Delay of a worker's timers, measured once a second.", (), LAG),
)  # fmt: skip


# The most formats whose lines are kept, as Accept headers can ask for any version.
_MOST_FORMATS: Final = 4
# Series or lines that are written at one time.
_PORTION: Final = 1000

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
    """The output of prometheus_client for a family with these series: comments, and the beginnings of lines."""

    series: list[Labels]
    comments: str
    beginnings: list[str]


class _Texts(dict[float, str]):
    """A cache of the texts of values in one answer; most values are 0."""

    def __init__(self, write: Callable[[float], str]) -> None:
        self._write = write

    def __missing__(self, value: float) -> str:
        self[value] = text = self._write(value)
        return text


class Metrics:
    """Renders the snapshots that `take` returns."""

    __slots__ = ("_choose", "_core", "_lines", "_take", "_write")

    def __init__(self, take: Callable[[], Snapshot]) -> None:
        """Raises ImportError without prometheus_client."""
        from prometheus_client import core, exposition, utils  # noqa: PLC0415 - 14 MB, needed only here

        self._choose = exposition.choose_encoder
        self._core: Any = core
        self._lines = dict[str, dict[str, _Lines]]()
        self._take = take
        self._write: Callable[[float], str] = utils.floatToGoString

    def render(self, accept: str) -> Generator[None, None, tuple[bytes, str]]:
        """The metrics in the format for an Accept header, and the content type; yields after each portion."""
        try:
            encode, kind = self._choose(accept)
        except (TypeError, ValueError):  # the library fails if a version is not a number
            encode, kind = self._choose("")
        lines, texts = self._lines_of(kind), _Texts(self._write)
        written: list[bytes] = []
        for family in families(self._take()):
            known = lines.get(family.name)
            if known is None or known.series != [labels for labels, _ in family.series]:
                lines[family.name] = known = yield from self._learn(encode, family)
            values = [value for _, values in family.series for value in values]
            written.append(known.comments.encode())
            for start in _portions(len(values)):
                end = start + _PORTION
                pairs = zip(known.beginnings[start:end], values[start:end], strict=True)
                written.append("".join([f"{line} {texts[value]}\n" for line, value in pairs]).encode())
                if end < len(values):
                    yield
        return b"".join(written) + encode(_Only()), kind

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
        """The lines that are known in the format with this content type."""
        if kind not in self._lines:
            while len(self._lines) >= _MOST_FORMATS:
                del self._lines[next(iter(self._lines))]
            self._lines[kind] = {}
        return self._lines[kind]

    def _learn(self, encode: Encode, family: Family) -> Generator[None, None, _Lines]:
        """The library's lines. It gets portions of the series, as it takes a kilobyte for each."""
        comments, beginnings = "", list[str]()
        for start in _portions(len(family.series)):
            if start:
                yield
            part = family._replace(series=family.series[start : start + _PORTION])
            lines = encode(_Only(self.metric(part))).removesuffix(encode(_Only())).decode().split("\n")[:-1]
            beginnings += [line.rpartition(" ")[0] for line in lines if not line.startswith("#")]
            comments = "".join(f"{line}\n" for line in lines if line.startswith("#"))
        return _Lines([labels for labels, _ in family.series], comments, beginnings)


def _portions(count: int) -> range:
    """The starts of the portions of so many series or lines; there is at least one."""
    return range(0, max(1, count), _PORTION)


class _Only:
    """A registry with only these metrics."""

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
    yield from _certificates(snapshot)
    living = snapshot.sessions.items()
    connections = [((*label, state), count) for label, each in living for state, count in each._asdict().items()]
    yield _gauge("connections", "Connected clients, by state.", ("server", "protocol", "state"), connections)
    yield from _limits(snapshot)
    for family, name, text, labels in _COUNTERS:
        yield Family("Counter", name, text, labels, _single(snapshot.family(family).items()))
    for family, name, text, labels, bounds in _HISTOGRAMS:
        yield _histogram(name, text, labels, bounds, snapshot.family(family).items())


def _process(snapshot: Snapshot) -> Iterator[Family]:
    build = {"version": __version__, "python": platform.python_version(), "openssl": running_with()}
    yield Family(
        "Info",
        "build",
        "The version of mailworker, and the Python and OpenSSL that it runs with.",
        tuple(build),
        [(tuple(build.values()), (1,))],
    )
    for name, text, value in (
        ("start_time_seconds", "When the master started, in seconds since 1970.", snapshot.started),
        (
            "config_last_reload_seconds",
            "When the configuration was last reloaded, in seconds since 1970.",
            snapshot.reloaded,
        ),
        (
            "config_last_reload_successful",
            "Whether the last reload of the configuration succeeded.",
            not snapshot.reload_failed,
        ),
        ("ready", "Whether clients are accepted, and no shutdown has begun.", snapshot.ready),
        ("workers", "Workers that accept clients.", snapshot.serving),
        ("workers_draining", "Workers that only finish their sessions.", snapshot.draining),
        ("worker_connections_limit", "The limit of connections of each worker, worker_connections.", snapshot.limit),
    ):
        yield _gauge(name, text, (), [((), value)])


def _workers(snapshot: Snapshot) -> Iterator[Family]:
    """The metrics of each worker. During a reload two have the same number; the newer one is shown."""
    staying = (each for each in snapshot.workers if not each.process.leaving)
    workers = {(str(each.process.number),): each for each in sorted(staying, key=lambda each: each.started)}.items()
    cpu = [(name, each.cpu) for name, each in workers if each.cpu is not None]
    yield Family("Counter", "worker_cpu_seconds", "Processor time of the worker.", ("worker",), _single(cpu))
    for field, metric, text in (
        ("started", "worker_start_time_seconds", "When the worker started, in seconds since 1970."),
        ("memory", "worker_resident_memory_bytes", "Resident memory of the worker, including shared pages."),
        ("connections", "worker_connections", "Connections in use, including listening sockets."),
    ):
        yield _gauge(metric, text, ("worker",), [(name, getattr(each, field)) for name, each in workers])


def _certificates(snapshot: Snapshot) -> Iterator[Family]:
    labels = CertificateState._fields[:3]
    for name, field, text in (
        ("start", "begins", "When the validity of the certificate begins, in seconds since 1970."),
        ("expiry", "expires", "When the certificate expires, in seconds since 1970."),
    ):
        values = [(each[:3], getattr(each, field)) for each in snapshot.certificates]
        yield _gauge(f"tls_certificate_{name}_seconds", text, labels, values)
    below = snapshot.directories
    counts = [((each.directory, state), count) for each in below for state, count in each.certificates.items()]
    text = "Certificates below the directory, by state."
    yield _gauge("tls_directory_certificates", text, ("directory", "state"), counts)
    first = [((each.directory,), each.expires) for each in below if each.expires is not None]
    text = "When the first certificate expires that is in use, in seconds since 1970."
    yield _gauge("tls_directory_first_expiry_seconds", text, ("directory",), first)
    text = "Files below the directory that cannot be used as they are."
    yield _gauge(
        "tls_directory_faulty_files", text, ("directory",), [((each.directory,), each.faults) for each in below]
    )


def _limits(snapshot: Snapshot) -> Iterator[Family]:
    for kind, field, name, text in (
        ("Gauge", "entries", "limit_zone_entries", "Keys in the zone."),
        ("Gauge", "room", "limit_zone_capacity", "Keys that fit into the zone."),
        ("Gauge", "bans", "bans", "Keys that are banned."),
        ("Counter", "dropped", "limit_zone_exhausted", "Keys that were evicted although their count had not decayed."),
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
    """A histogram: the values of `words` are its buckets, not cumulative, and the sum in microseconds."""
    names, series = (*map(repr, bounds), "+Inf"), []
    found: dict[Labels, dict[str, int]] = {}
    for parts, value in words:
        found.setdefault(parts[:-1], {})[parts[-1]] = value
    for parts, buckets in found.items():
        steps = [*accumulate(buckets[bound] for bound in names)]
        series.append((parts, (*steps, steps[-1], buckets["sum"] / MICROSECONDS)))
    return Family("Histogram", name, text, labels, series, names)
