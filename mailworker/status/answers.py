"""The status process's answers to HTTP requests, and its access rules."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Final

from mailworker.config.status import StatusSettings
from mailworker.mail.client.access import Access
from mailworker.model import Address
from mailworker.status.master_state import Serving
from mailworker.status.metrics import Metrics
from mailworker.status.page import Page, render
from mailworker.status.server import Response, ResponseSteps, plain
from mailworker.status.snapshot import Snapshot
from mailworker.status.tree import tree
from mailworker.wire.http_request import HttpRequest

_HTML: Final = "text/html; charset=utf-8"
# gzip's level: it makes a thirtieth of thousands of servers' metrics, in 2 ms for each megabyte.
_FAST: Final = 1
_LOCAL: Final = ("localhost", "")
# For caches: the headers on which the format of the metrics depends.
_VARY: Final = ("Vary", "Accept, Accept-Encoding")


class Answers:
    """Answers requests. It is made before the sandbox is entered, and loads everything that it needs."""

    __slots__ = ("_access", "_look", "_metrics", "_page", "_pages", "_settings", "_take")

    def __init__(self, settings: StatusSettings, take: Callable[[], Snapshot], look: Callable[[], Serving]) -> None:
        self._access = Access(settings.rules)
        self._look = look
        self._metrics = Metrics(take)
        self._page = Page()
        self._pages: dict[str, Callable[[HttpRequest], Response | ResponseSteps]] = {
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
        """The paths that have a page."""
        return tuple(self._pages)

    def __call__(self, request: HttpRequest, peer: Address) -> Response | ResponseSteps:
        """See `Respond`."""
        if not self._access.allows(peer):
            return plain(403)
        if not self._is_for_us(request):
            return plain(421, "Host is not a name of this server: see server_name in the status block")
        page = self._pages.get(request.path)
        return plain(404) if page is None else page(request)

    def _is_for_us(self, request: HttpRequest) -> bool:
        return request.names_address or request.host in {*_LOCAL, *self._settings.names}

    def _show(self, _: HttpRequest) -> Response:
        policy = ("Content-Security-Policy", self._page.policy)
        return Response(200, self._page.render(self._take()).encode(), _HTML, (policy,))

    def _show_again(self, _: HttpRequest) -> Response:
        return Response(200, render(self._take()).encode(), _HTML, (("Content-Security-Policy", "default-src 'none'"),))

    def _render_metrics(self, request: HttpRequest) -> ResponseSteps:
        content, kind = yield from self._metrics.render(request.headers.get("accept", ""))
        if not request.takes_gzip:
            return Response(200, content, kind, (_VARY,))
        yield
        return Response(200, gzip.compress(content, _FAST, mtime=0), kind, (_VARY, ("Content-Encoding", "gzip")))

    def _tree(self, _: HttpRequest) -> Response:
        return Response(200, json.dumps(tree(self._take())).encode(), "application/json")

    def _health(self, _: HttpRequest) -> Response:
        """Healthy as long as a worker serves, whatever backends do: a restart of the proxy would not repair them."""
        return plain(200, "ok") if self._look().alive else plain(503, "no workers")

    def _readiness(self, _: HttpRequest) -> Response:
        serving = self._look()
        if serving.stopping:
            return plain(503, "draining")
        return plain(200, "ok") if serving.ready else plain(503, "no workers")
