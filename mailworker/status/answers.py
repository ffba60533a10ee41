"""What the status process answers to whom."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from mailworker import __version__
from mailworker.config.status import StatusSettings
from mailworker.mail.client.access import Access
from mailworker.mail.counting import LATEST_END, Label, latest_end
from mailworker.model import Address
from mailworker.status.metrics import Metrics
from mailworker.status.page import Page, render
from mailworker.status.server import Response, plain
from mailworker.status.snapshot import Snapshot
from mailworker.wire.http_request import HttpRequest

_HTML: Final = "text/html; charset=utf-8"
_LOCAL: Final = ("localhost", "")


class Answers:
    """Made before the fence: it loads all that it will need."""

    __slots__ = ("_access", "_metrics", "_page", "_pages", "_settings", "_take")

    def __init__(self, settings: StatusSettings, take: Callable[[], Snapshot]) -> None:
        self._access = Access(settings.rules)
        self._metrics = Metrics(take)
        self._page = Page()
        self._pages: dict[str, Callable[[HttpRequest], Response]] = {
            "/": self._show,
            "/snapshot": self._show_again,
            "/metrics": self._render_metrics,
            "/status.json": self._tree,
            "/healthz": self._health,
            "/livez": self._health,
            "/readyz": self._readiness,
        }
        self._settings = settings
        self._take = take

    @property
    def paths(self) -> tuple[str, ...]:
        """Where there is something."""
        return tuple(self._pages)

    def __call__(self, request: HttpRequest, peer: Address) -> Response:
        """See `Respond`."""
        if not self._access.allows(peer):
            return plain(403)
        if not self._is_for_us(request):
            return plain(421, "Host is no name of this server: see server_name in the status block")
        page = self._pages.get(request.path)
        return plain(404) if page is None else page(request)

    def _is_for_us(self, request: HttpRequest) -> bool:
        return request.names_address or request.host in {*_LOCAL, *self._settings.names}

    def _show(self, _: HttpRequest) -> Response:
        policy = ("Content-Security-Policy", self._page.policy)
        return Response(200, self._page.render(self._take()).encode(), _HTML, (policy,))

    def _show_again(self, _: HttpRequest) -> Response:
        return Response(200, render(self._take()).encode(), _HTML, (("Content-Security-Policy", "default-src 'none'"),))

    def _render_metrics(self, request: HttpRequest) -> Response:
        content, kind = self._metrics.render(request.headers.get("accept", ""))
        return Response(200, content, kind)

    def _tree(self, _: HttpRequest) -> Response:
        return Response(200, json.dumps(tree(self._take())).encode(), "application/json")

    def _health(self, _: HttpRequest) -> Response:
        """Alive as long as a worker is, whatever backends do: an orchestrator that restarts proxies helps none."""
        alive = any(each.process.serves for each in self._take().workers)
        return plain(200, "ok") if alive else plain(503, "no workers")

    def _readiness(self, _: HttpRequest) -> Response:
        snapshot = self._take()
        if snapshot.stopping:
            return plain(503, "draining")
        return plain(200, "ok") if snapshot.ready else plain(503, "no workers")


def tree(snapshot: Snapshot) -> dict[str, Any]:
    """All numbers, for programs: totals since the start, and what there is now. It names nobody who logs in."""
    servers: dict[str, dict[str, Any]] = {}
    for each, sessions in snapshot.sessions.items():
        servers.setdefault(each.server, {})[each.protocol] = {
            "connections": sessions._asdict(),
            "accepted": snapshot.words.get(("accepted", *each), 0),
            "logins": snapshot.words.get(("logins", *each), 0),
            "sessions": _of(snapshot, "ended", *each),
            "last_end_to_look_at": _latest(snapshot, each),
            "bytes": _of(snapshot, "bytes", *each),
            "tls": {
                "handshakes": _of(snapshot, "handshakes", *each),
                "failures": _of(snapshot, "handshake_failures", *each),
            },
        }
    return {
        "version": __version__,
        "now": snapshot.now,
        "started": snapshot.started,
        "generation": snapshot.generation,
        "ready": snapshot.ready,
        "stopping": snapshot.stopping,
        "reload": {"time": snapshot.reloaded, "successful": not snapshot.reload_failed, **_of(snapshot, "reloads")},
        "respawns": _of(snapshot, "respawns"),
        "workers": [
            {
                "worker": each.process.number,
                "pid": each.process.pid,
                "serves": each.process.serves,
                "leaving": each.process.leaving,
                "started": each.started,
                "cpu": each.cpu,
                "connections": each.connections,
                "memory": each.memory,
            }
            for each in snapshot.workers
        ],
        "worker_connections": snapshot.limit,
        "certificates": [each._asdict() for each in snapshot.certificates],
        "dropped": _of(snapshot, "dropped"),
        "servers": servers,
        "auth": _of(snapshot, "auth"),
        "auth_seconds": _of(snapshot, "auth_seconds"),
        "handshake_seconds": _of(snapshot, "handshake_seconds"),
        "login_seconds": _of(snapshot, "login_seconds"),
        "session_seconds": _of(snapshot, "session_seconds"),
        "loop_lag": _of(snapshot, "loop_lag"),
        "tls_session_caches": _of(snapshot, "tls_cache"),
        "logs": {"lines": _of(snapshot, "log_lines"), "dropped": _of(snapshot, "log_dropped")},
    }


def _latest(snapshot: Snapshot, server: Label) -> dict[str, Any] | None:
    found = latest_end(snapshot.words.get((LATEST_END, *server), 0))
    return None if found is None else {"time": found[0], "end": found[1].word}


def _of(snapshot: Snapshot, family: str, *labels: str) -> dict[str, Any]:
    """The numbers of a family below these labels, in objects by their other labels."""
    found: dict[str, Any] = {}
    for parts, value in snapshot.family(family):
        if parts[: len(labels)] != labels:
            continue
        *outer, last = parts[len(labels) :]
        place = found
        for part in outer:
            place = place.setdefault(part, {})
        place[last] = value
    return found
