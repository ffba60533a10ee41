"""The status page. It is complete without scripts; with scripts it is refreshed again and again."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

from mailworker import __version__
from mailworker.mail.counting import DURATION, LATENCY, LATEST_END, Label, latest_end
from mailworker.mail.end import USUAL
from mailworker.mail.vitals import LAG
from mailworker.status.snapshot import Snapshot
from mailworker.tls.folder import notice

_DAY: Final = 86400
# Days before the end of a certificate, see `notice`: it should have been renewed, and it is about to expire.
_SOON, _LATE = 21, 7
_USUAL: Final = frozenset(end.word for end in USUAL)
_MOST_ENDS: Final = 3
_RESUMED: Final = {"no": "in full", "yes": "resumed"}
# The part of worker_connections above which a worker is marked as nearly full.
_FULL: Final = 0.9
# Tables with more columns need a wide window.
_WIDE: Final = 8

# As html.escape, whose module takes 350 KB for the names of characters.
_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})

_UNITS: Final = ("B", "KB", "MB", "GB", "TB", "PB")


class Page:
    """Renders the page; its template is loaded once."""

    __slots__ = ("_after", "_before", "policy")

    def __init__(self) -> None:
        text = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
        self._before, self._after = text.split("{snapshot}")
        sources = [f"{kind}-src {_hash(text, tag)}" for kind, tag in (("style", "style"), ("script", "script"))]
        self.policy = "; ".join(
            ("default-src 'none'", *sources, "connect-src 'self'", "base-uri 'none'", "form-action 'none'",
             "frame-ancestors 'none'")
        )  # fmt: skip

    def render(self, snapshot: Snapshot) -> str:
        """The whole page, whose Content-Security-Policy is `policy`."""
        return f"{self._before}{render(snapshot)}{self._after}"


def _hash(text: str, tag: str) -> str:
    match = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    assert match is not None
    return f"'sha256-{b64encode(sha256(match[1].encode()).digest()).decode()}'"


def render(snapshot: Snapshot) -> str:
    """The part of the page that changes."""
    return "\n".join((_head(snapshot), _tiles(snapshot), *_tables(snapshot)))


def _head(snapshot: Snapshot) -> str:
    if snapshot.stopping:
        state = _marked("warn", "stopping")
    else:
        state = _marked("good", "ready") if snapshot.ready else _marked("bad", "not ready: no worker accepts")
    failed = snapshot.reload_failed
    reload = _marked("bad", "failed, see the error log") if failed else "succeeded"
    what = "last reload" if snapshot.generation > 1 or failed else "configuration"
    return (
        f"<h1>mailworker {_escape(__version__)} is {state}</h1>\n"
        f"<p>started {_ago(snapshot.now - snapshot.started)} ago; "
        f"{what} {_ago(snapshot.now - snapshot.reloaded)} ago {reload}; generation {snapshot.generation}</p>"
    )


def _tiles(snapshot: Snapshot) -> str:
    def total(family: str, *labels: str) -> int:
        return sum(value for parts, value in snapshot.family(family).items() if not labels or parts[-1] in labels)

    living = snapshot.sessions.values()
    tiles = (
        ("accepted", "clients", "rate", total("accepted")),
        ("logins", "logins", "rate", total("logins")),
        ("refused", "logins refused", "rate", total("auth", "failed", "wait", "error", "timeout")),
        ("sessions", "sessions now", "level", sum(each.login + each.relay for each in living)),
    )
    shown = "".join(
        f'<div data-kind="{kind}" data-number="{name}" data-value="{value}">'
        f"<dt>{_escape(text)}</dt><dd>{value:,}</dd></div>"
        for name, text, kind, value in tiles
    )
    return f'<span data-number="time" data-value="{snapshot.now:.3f}"></span><dl class="tiles">{shown}</dl>'


def _tables(snapshot: Snapshot) -> Iterable[str]:
    yield _table("Servers", _SERVERS, _servers(snapshot))
    yield _table("Decisions about logins", _SOURCES, _sources(snapshot))
    yield _table("Times", _TIMES, _times(snapshot))
    yield _table("Workers", _WORKERS, _workers(snapshot))
    for title, columns, rows in (
        ("TLS session caches", _CACHES, [*_caches(snapshot)]),
        ("Logs", _LOGS, [*_logs(snapshot)]),
    ):
        if rows:
            yield _table(title, columns, rows)
    if snapshot.certificates:
        yield _table("Certificates", _CERTIFICATES, _certificates(snapshot))
    if snapshot.directories:
        yield _table("Certificates by name", _DIRECTORIES, _directories(snapshot))


_SERVERS: Final = (
    *("-Server", "-Protocol", "Before login", "Logged in", "Clients", "Logins", "Handshakes", "Failed", "Received"),
    *("Sent", "-Ends to look at", "-The last of them"),
)
_OF_SERVERS: Final = ("bytes", "ended", "handshakes", "handshake_failures")
_SOURCES: Final = ("-Source", "-Protocol", "OK", "Refused", "Told to wait", "Error", "Timeout")
_TIMES: Final = ("-What took it", "-Of", "Count", "Half", "95 %", "99 %")
_WORKERS: Final = ("-Worker", "Process", "-State", "-Since", "Connections", "Memory", "Processor time")
_CACHES: Final = ("-TLS session cache", "Found", "Missed")
_LOGS: Final = ("-Log", "Lines", "Lost")
_CERTIFICATES: Final = ("-Name", "-Server", "-Serial number", "Days left")
_DIRECTORIES: Final = ("-Directory", "Valid", "To be renewed", "Not valid", "Not used", "Faulty files", "Days left")


def _servers(snapshot: Snapshot) -> Iterable[Sequence[str]]:
    counted = {family: _by_server(snapshot, family) for family in _OF_SERVERS}
    for each, living in snapshot.sessions.items():
        below = {family: found.get(each, {}) for family, found in counted.items()}
        traffic = below["bytes"]
        ends = sorted(below["ended"].items(), key=lambda pair: -pair[1])
        odd = [f"{count:,} {end}" for end, count in ends if count and end not in _USUAL][:_MOST_ENDS]
        yield (
            *(each.server, each.protocol, f"{living.login:,}", f"{living.relay:,}"),
            *(f"{snapshot.count(name, *each):,}" for name in ("accepted", "logins")),
            *(f"{sum(below[name].values()):,}" for name in ("handshakes", "handshake_failures")),
            *(_size(traffic[direction]) for direction in ("client_in", "client_out")),
            ", ".join(odd) or "none",
            _last(snapshot, each),
        )


def _last(snapshot: Snapshot, server: Label) -> str:
    found = latest_end(snapshot.count(LATEST_END, *server))
    return "-" if found is None else f"{found[1].word} {_ago(snapshot.now - found[0])} ago"


def _sources(snapshot: Snapshot) -> Iterable[Sequence[str]]:
    found: dict[tuple[str, str], dict[str, int]] = {}
    for (protocol, source, _, result), value in snapshot.family("auth").items():
        results = found.setdefault((source, protocol), {})
        results[result] = results.get(result, 0) + value
    for (source, protocol), results in found.items():
        yield (source, protocol, *(f"{results[name]:,}" for name in ("ok", "failed", "wait", "error", "timeout")))


def _times(snapshot: Snapshot) -> Iterable[Sequence[str]]:
    for family, text, bounds in (
        ("auth_seconds", "decision", LATENCY),
        ("handshake_seconds", "handshake", LATENCY),
        ("login_seconds", "login at a backend", LATENCY),
        ("session_seconds", "session", DURATION),
        ("loop_lag", "wait for a worker", LAG),
    ):
        found: dict[str, dict[str, int]] = {}
        for (*names, bucket), value in snapshot.family(family).items():
            if family == "handshake_seconds":
                names[-1] = _RESUMED[names[-1]]
            found.setdefault(" ".join(names), {})[bucket] = value
        for name, buckets in found.items():
            count = sum(value for bucket, value in buckets.items() if bucket != "sum")
            quantiles = (_quantile(buckets, bounds, count, part) for part in (0.5, 0.95, 0.99))
            yield (text, name or "-", f"{count:,}", *quantiles)


def _workers(snapshot: Snapshot) -> Iterable[Sequence[str]]:
    for each in snapshot.workers:
        process = each.process
        state = "finishing" if process.leaving else "serving" if process.serves else "starting"
        cpu = "unknown" if each.cpu is None else f"{each.cpu:,.1f} s"
        used = f"{each.connections:,} of {snapshot.limit:,}"
        kind = "warn" if each.connections > _FULL * snapshot.limit else "good"
        since = f"{_ago(snapshot.now - each.started)} ago" if each.started else "-"
        yield str(process.number), str(process.pid), state, since, f"\0{kind} {used}", _size(each.memory), cpu


def _caches(snapshot: Snapshot) -> Iterable[Sequence[str]]:
    lookups = snapshot.family("tls_cache")
    for name in dict.fromkeys(name for name, _ in lookups):
        yield (name, *(f"{lookups[name, result]:,}" for result in ("hit", "miss")))


def _logs(snapshot: Snapshot) -> Iterable[Sequence[str]]:
    lines, lost = snapshot.family("log_lines"), snapshot.family("log_dropped")
    for (name,), count in lost.items():
        yield name, f"{lines[name,]:,}" if (name,) in lines else "-", f"\0{'bad' if count else 'good'} {count:,}"


def _certificates(snapshot: Snapshot) -> Iterable[Sequence[str]]:
    for each in sorted(snapshot.certificates, key=lambda certificate: certificate.expires):
        left = each.expires - snapshot.now
        soon, late = (left < notice(each.begins, each.expires, days) for days in (_SOON, _LATE))
        kind = "bad" if late else "warn" if soon else "good"
        yield each.subject, each.server, each.serial, f"\0{kind} {int(left // _DAY):,}"


def _directories(snapshot: Snapshot) -> Iterable[Sequence[str]]:
    for each in snapshot.directories:
        counts = each.certificates
        days = "-" if each.expires is None else f"{int((each.expires - snapshot.now) // _DAY):,}"
        yield (
            *(each.directory, f"{counts['valid']:,}"),
            *_colored(("warn", counts["due"]), ("bad", counts["invalid"])),
            *(f"{counts['unused']:,}", *_colored(("bad", each.faults)), days),
        )


def _colored(*counts: tuple[str, int]) -> Iterable[str]:
    """Cells with counts, each marked with its class, or "good" if it is 0."""
    return (f"\0{kind if count else 'good'} {count:,}" for kind, count in counts)


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table. The headings of text columns begin with "-"; a marked cell begins with NUL and its class."""
    head = "".join(f'<th scope="col"{_kind(column)}>{_escape(column.removeprefix("-"))}</th>' for column in columns)
    body = "".join(f"<tr>{_row(columns, row)}</tr>" for row in rows)
    wide = ' class="wide"' if len(columns) > _WIDE else ""
    return f"<h2>{_escape(title)}</h2>\n<table{wide}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _row(columns: Sequence[str], row: Sequence[str]) -> str:
    first, *others = (_cell(each) for each in row)
    cells = (
        f'<td{_kind(column)} data-label="{_escape(column.removeprefix("-"))}">{cell}</td>'
        for column, cell in zip(columns[1:], others, strict=True)
    )
    return f'<th scope="row">{first}</th>{"".join(cells)}'


def _kind(column: str) -> str:
    return ' class="text"' if column.startswith("-") else ""


def _cell(text: str) -> str:
    if not text.startswith("\0"):
        return f"<span>{_escape(text)}</span>"
    kind, _, rest = text[1:].partition(" ")
    return _marked(kind, rest)


def _marked(kind: str, text: str) -> str:
    return f'<span class="{kind}">{_escape(text)}</span>'


def _by_server(snapshot: Snapshot, family: str) -> Mapping[tuple[str, ...], Mapping[str, int]]:
    """The counters of each server by their last label, added up over the labels before it."""
    found: dict[tuple[str, ...], dict[str, int]] = {}
    for parts, value in snapshot.family(family).items():
        below = found.setdefault(parts[:2], {})
        below[parts[-1]] = below.get(parts[-1], 0) + value
    return found


def _quantile(buckets: Mapping[str, int], bounds: Sequence[float], count: int, part: float) -> str:
    """The bound below which that part of the times is."""
    if not count:
        return "-"
    total = 0
    for bound in bounds:
        total += buckets[repr(bound)]
        if total >= part * count:
            return f"< {_ago(bound)}"
    return f"> {_ago(bounds[-1])}"


def _ago(seconds: float) -> str:
    """A duration, in its largest unit; 0 for a time in the future, after the clock was set back."""
    if seconds < 1:
        return f"{max(0, seconds) * 1000:.0f} ms"
    for unit, size in (("days", _DAY), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size:,.0f} {unit}"
    return f"{seconds:.0f} s"


def _size(count: int) -> str:
    power = min(max(count.bit_length() - 1, 0) // 10, len(_UNITS) - 1)
    return f"{count / 1024**power:.1f} {_UNITS[power]}" if power else f"{count} B"


def _escape(text: str) -> str:
    return text.translate(_ESCAPES)
