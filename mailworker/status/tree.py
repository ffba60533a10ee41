"""The counters as JSON, for programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mailworker import __version__
from mailworker.mail.counting import LATEST_END, LIMITED, Label, latest_end
from mailworker.mail.limits.zones import ZoneUse
from mailworker.status.snapshot import Snapshot, WorkerState

# Families that are shown unchanged.
_FAMILIES = (
    *("dropped", "auth", "auth_seconds", "handshake_seconds", "login_seconds", "session_seconds", "loop_lag"),
    *("respawns", "tls_cache"),
)
_OF_SERVERS = ("bytes", "ended", "handshakes", "handshake_failures")


def tree(snapshot: Snapshot) -> dict[str, Any]:
    """Totals since the start, and the present state. It contains no names of users."""
    servers: dict[str, dict[str, Any]] = {}
    counted = {family: _of(snapshot, family) for family in _OF_SERVERS}
    for each in snapshot.sessions:
        below = {family: found.get(each.server, {}).get(each.protocol, {}) for family, found in counted.items()}
        servers.setdefault(each.server, {})[each.protocol] = _server(snapshot, each, below)
    return {
        "version": __version__,
        "now": snapshot.now,
        "started": snapshot.started,
        "generation": snapshot.generation,
        "ready": snapshot.ready,
        "stopping": snapshot.stopping,
        "reload": {"time": snapshot.reloaded, "successful": not snapshot.reload_failed, **_of(snapshot, "reloads")},
        "workers": [*map(_worker, snapshot.workers)],
        "worker_connections": snapshot.limit,
        "certificates": [each._asdict() for each in snapshot.certificates],
        "certificate_directories": [each._asdict() for each in snapshot.directories],
        "servers": servers,
        "limits": {zone.zone: _zone(snapshot, zone) for zone in snapshot.limits},
        "logs": {"lines": _of(snapshot, "log_lines"), "dropped": _of(snapshot, "log_dropped")},
        **{family: _of(snapshot, family) for family in _FAMILIES},
    }


def _zone(snapshot: Snapshot, zone: ZoneUse) -> dict[str, Any]:
    counts = {family: snapshot.count(family, zone.zone) for family in LIMITED}
    return {**zone._asdict(), **{family.removeprefix("limit_"): value for family, value in counts.items()}}


def _server(snapshot: Snapshot, label: Label, below: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "connections": snapshot.sessions[label]._asdict(),
        "accepted": snapshot.count("accepted", *label),
        "logins": snapshot.count("logins", *label),
        "sessions": below["ended"],
        "last_end_to_look_at": _latest(snapshot, label),
        "bytes": below["bytes"],
        "tls": {
            "handshakes": below["handshakes"],
            "failures": below["handshake_failures"],
        },
    }


def _worker(worker: WorkerState) -> dict[str, Any]:
    return {
        "worker": worker.process.number,
        "pid": worker.process.pid,
        "serves": worker.process.serves,
        "leaving": worker.process.leaving,
        "started": worker.started,
        "cpu": worker.cpu,
        "connections": worker.connections,
        "memory": worker.memory,
    }


def _latest(snapshot: Snapshot, server: Label) -> dict[str, Any] | None:
    found = latest_end(snapshot.count(LATEST_END, *server))
    return None if found is None else {"time": found[0], "end": found[1].word}


def _of(snapshot: Snapshot, family: str) -> dict[str, Any]:
    """The counters of a family, as objects nested by labels."""
    found: dict[str, Any] = {}
    for (*outer, last), value in snapshot.family(family).items():
        place = found
        for part in outer:
            place = place.setdefault(part, {})
        place[last] = value
    return found
