"""What is counted of sessions: the names of the words in a row of counters, and who counts in them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Awaitable, Coroutine, Iterable, Mapping, Sequence
from itertools import product
from typing import Any, Final, NamedTuple, Protocol

from mailworker.config.auth_http import AuthHttpSettings
from mailworker.config.listen import Listen
from mailworker.config.source import ByBackendSettings
from mailworker.config.source import LoginSource as SourceSettings
from mailworker.errors import PeerError, TimedOut, TlsError
from mailworker.event.plan import Link
from mailworker.mail.authentication.source import Applicant, LoginSource
from mailworker.mail.end import End
from mailworker.model import METHOD_NAMES, AuthMethod
from mailworker.shm.counters import Counters
from mailworker.tls.connection import TlsConnection
from mailworker.wire.auth_request import AuthRequest
from mailworker.wire.auth_response import Accepted, Rejected

LATENCY: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of a histogram's buckets, in seconds."""

DURATION: Final = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 14400.0, 43200.0, 86400.0)
"""The same for what lasts."""

BY_BACKEND: Final = "upstream"
"""The source that is the backend itself."""

METHODS: Final[Mapping[AuthMethod, str]] = {method: names.directive for method, names in METHOD_NAMES.items()}
RESULTS: Final = ("ok", "failed", "wait", "error", "timeout")
VERSIONS: Final = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
DIRECTIONS: Final = ("client_in", "client_out", "upstream_in", "upstream_out")
DROPPED: Final = ("worker_connections", "system")

# A part of OpenSSL's error, and what it is called: reasons have one word in all versions.
_FAULTS: Final = {
    "unsupported protocol": "no_common_protocol",
    "no protocols available": "no_common_protocol",
    "version too low": "no_common_protocol",
    "no shared cipher": "no_common_cipher",
    "no application protocol": "alpn",
    "http request": "plaintext",
    "wrong version number": "plaintext",
    "alert": "peer_rejected",
}
FAULTS: Final = (*dict.fromkeys(_FAULTS.values()), "timeout", "left", "other")

_MICROSECONDS: Final = 1_000_000


class Served(Protocol):
    """A `server` block: what is asked of its settings."""

    @property
    def listens(self) -> tuple[Listen, ...]: ...
    @property
    def protocol(self) -> str: ...
    @property
    def source(self) -> SourceSettings: ...
    @property
    def status_zone(self) -> str | None: ...


class Bytes(Protocol):
    """Those of a connection."""

    @property
    def received(self) -> int: ...
    @property
    def sent(self) -> int: ...


class Ended(Protocol):
    """A session that has ended: what is asked of its `SessionRecord`."""

    @property
    def reason(self) -> End | None: ...
    @property
    def logged_in(self) -> float | None: ...
    @property
    def client_bytes(self) -> Bytes: ...
    @property
    def backend_bytes(self) -> Bytes | None: ...


class Label(NamedTuple):
    """What tells a server's sessions from those of others."""

    server: str
    protocol: str


def label(settings: Served) -> Label:
    """A server's, by its `status_zone` or its first `listen`."""
    return Label(settings.status_zone or str(settings.listens[0].address), settings.protocol)


def source(settings: Served) -> str:
    """Who decides about its logins."""
    if isinstance(settings.source, AuthHttpSettings):
        return "http"
    return BY_BACKEND if isinstance(settings.source, ByBackendSettings) else "file"


def word(family: str, *labels: str) -> str:
    """The name of a word."""
    return "\0".join((family, *labels))


def reloads(succeeded: bool) -> str:
    """The master's word for those that have succeeded, or failed."""
    return word("reloads", "success" if succeeded else "failure")


def respawns(by_signal: bool) -> str:
    """The master's word for workers that were replaced, as a signal has ended them or they themselves."""
    return word("respawns", "signal" if by_signal else "exit")


def histogram(family: str, bounds: Sequence[float], *labels: str) -> Iterable[str]:
    """The names of a histogram's words: its buckets, which are not cumulative, and the sum of microseconds."""
    return (word(family, *labels, each) for each in (*map(repr, bounds), "+Inf", "sum"))


def words(servers: Iterable[Served]) -> tuple[str, ...]:
    """The names of all words that the workers of these servers count in."""
    found = dict.fromkeys(word("dropped", reason) for reason in DROPPED)
    found |= dict.fromkeys((*map(reloads, (True, False)), *map(respawns, (True, False))))
    for settings in servers:
        found |= dict.fromkeys(_of_server(settings))
    return tuple(found)


def _of_server(settings: Served) -> Iterable[str]:
    mine, judge = label(settings), source(settings)
    for family in ("accepted", "arrived", "moved", "logins"):
        yield word(family, *mine)
    yield from (word("ended", *mine, end.word) for end in End)
    yield from (word("bytes", *mine, direction) for direction in DIRECTIONS)
    yield from (word("handshakes", *mine, *each) for each in product(VERSIONS, ("no", "yes")))
    yield from (word("handshake_failures", *mine, fault) for fault in FAULTS)
    yield from (word("auth", settings.protocol, judge, *each) for each in product(METHODS.values(), RESULTS))
    yield from histogram("auth_seconds", LATENCY, judge)
    yield from histogram("login_seconds", LATENCY, settings.protocol)
    yield from histogram("session_seconds", DURATION, *mine)


class _Histogram:
    """Sorts times in seconds into buckets."""

    __slots__ = ("_bounds", "_first", "_row", "_sum")

    def __init__(self, counters: Counters, row: memoryview, family: str, bounds: Sequence[float], *labels: str) -> None:
        self._bounds = bounds
        self._first = counters.place(word(family, *labels, repr(bounds[0])))
        self._row = row
        self._sum = self._first + len(bounds) + 1

    def observe(self, seconds: float) -> None:
        self._row[self._first + bisect_left(self._bounds, seconds)] += 1
        self._row[self._sum] += int(seconds * _MICROSECONDS)


class Counted:
    """Counts the sessions of one server in a worker's row."""

    __slots__ = (
        "_accepted", "_arrived", "_auth", "_auth_seconds", "_bytes", "_ended", "_faults", "_handshakes", "_judge",
        "_login_seconds", "_logins", "_moved", "_row", "_session_seconds",
    )  # fmt: skip

    def __init__(self, counters: Counters, settings: Served) -> None:
        """`counters` has a row for this process."""
        assert counters.row is not None
        self._row = row = counters.row
        place, mine, judge, protocol = counters.place, label(settings), source(settings), settings.protocol
        self._accepted, self._arrived, self._moved, self._logins = (
            place(word(family, *mine)) for family in ("accepted", "arrived", "moved", "logins")
        )
        self._ended = {end.word: place(word("ended", *mine, end.word)) for end in End}
        self._bytes = place(word("bytes", *mine, DIRECTIONS[0]))
        self._handshakes = {
            (version, resumed == "yes"): place(word("handshakes", *mine, version, resumed))
            for version, resumed in product(VERSIONS, ("no", "yes"))
        }
        self._faults = {fault: place(word("handshake_failures", *mine, fault)) for fault in FAULTS}
        self._judge = judge
        self._auth = {
            result: {method: place(word("auth", protocol, judge, name, result)) for method, name in METHODS.items()}
            for result in RESULTS
        }
        self._auth_seconds = _Histogram(counters, row, "auth_seconds", LATENCY, judge)
        self._login_seconds = _Histogram(counters, row, "login_seconds", LATENCY, protocol)
        self._session_seconds = _Histogram(counters, row, "session_seconds", DURATION, *mine)

    def accept(self) -> None:
        """A client has come."""
        self._row[self._accepted] += 1

    def move(self, there: Counted) -> None:
        """A client has asked for another server, and goes on there."""
        self._row[self._moved] += 1
        self._row[there._arrived] += 1

    def shake_hands(self, tls: TlsConnection) -> None:
        """A handshake with a client has ended well."""
        place = self._handshakes.get((tls.protocol, tls.reused))
        if place is not None:
            self._row[place] += 1

    def fail_handshake(self, error: PeerError) -> None:
        """A handshake with a client has failed."""
        self._row[self._faults[fault_of(error)]] += 1

    def judge(self, method: AuthMethod, result: str, seconds: float) -> None:
        """Somebody has decided about a login, or could not."""
        self._row[self._auth[result][method]] += 1
        self._auth_seconds.observe(seconds)

    def refuse(self, method: AuthMethod, *, wait: bool) -> None:
        """A login is refused; who decides by itself has been counted already."""
        if self._judge == BY_BACKEND:
            self._row[self._auth["wait" if wait else "failed"][method]] += 1

    def log_in(self, method: AuthMethod, seconds: float) -> None:
        """A client is logged in, which has taken that long at the backend."""
        row = self._row
        row[self._logins] += 1
        self._login_seconds.observe(seconds)
        if self._judge == BY_BACKEND:
            row[self._auth["ok"][method]] += 1

    def end(self, record: Ended, now: float) -> None:
        """A session has ended."""
        assert record.reason is not None
        row, place, client, backend = self._row, self._bytes, record.client_bytes, record.backend_bytes
        row[self._ended[record.reason.word]] += 1
        row[place] += client.received
        row[place + 1] += client.sent
        if backend is not None:
            row[place + 2] += backend.received
            row[place + 3] += backend.sent
        if record.logged_in is not None:
            self._session_seconds.observe(now - record.logged_in)


class Drops:
    """Counts clients that are turned away."""

    __slots__ = ("_places", "_row")

    def __init__(self, counters: Counters) -> None:
        assert counters.row is not None
        self._row = counters.row
        self._places = {reason: counters.place(word("dropped", reason)) for reason in DROPPED}

    def drop(self, reason: str) -> None:
        """One of DROPPED."""
        self._row[self._places[reason]] += 1


class CountedSource:
    """See `LoginSource`: another one, whose verdicts are counted."""

    __slots__ = ("_counted", "_source", "action", "authzid", "kind", "name")

    def __init__(self, counted: Counted, source: LoginSource) -> None:
        self._counted = counted
        self._source = source
        self.action, self.authzid, self.kind, self.name = source.action, source.authzid, source.kind, source.name

    def judge(self, request: AuthRequest, applicant: Applicant) -> Link:
        """See `LoginSource.judge`."""
        counted = _CountedApplicant(self._counted, request.login.method, applicant)
        try:
            return self._source.judge(request, counted)
        except PeerError as error:
            counted.count_failure(error)
            raise

    def close(self) -> None:
        """See `LoginSource.close`."""
        self._source.close()


class _CountedApplicant:
    """See `Applicant`: one that waits for a verdict, which is counted."""

    __slots__ = ("_applicant", "_began", "_counted", "_method", "connections", "log")

    def __init__(self, counted: Counted, method: AuthMethod, applicant: Applicant) -> None:
        self._applicant = applicant
        self._counted = counted
        self._method = method
        self.connections = applicant.connections
        self.log = applicant.log
        self._began = self.connections.loop.now

    def judged(self, verdict: Accepted | Rejected) -> Link:
        """See `Applicant.judged`."""
        self._count("ok" if verdict.accepted else "wait" if verdict.wait else "failed")
        return self._applicant.judged(verdict)

    def fail(self, error: Exception) -> Coroutine[Any, Any, None]:
        """See `Applicant.fail`."""
        self.count_failure(error)
        return self._applicant.fail(error)

    def pause(self, seconds: float) -> Awaitable[None]:
        """See `Applicant.pause`."""
        return self._applicant.pause(seconds)

    def count_failure(self, error: Exception) -> None:
        """There is no verdict."""
        self._count("timeout" if isinstance(error, TimedOut) else "error")

    def _count(self, result: str) -> None:
        self._counted.judge(self._method, result, self.connections.loop.now - self._began)


def fault_of(error: PeerError) -> str:
    """Why a handshake failed, one of FAULTS."""
    if isinstance(error, TimedOut):
        return "timeout"
    if not isinstance(error, TlsError):
        return "left"
    reason = error.reasons[-1].lower() if error.reasons else ""
    if "unexpected eof" in reason or not reason:
        return "left"
    return next((fault for part, fault in _FAULTS.items() if part in reason), "other")
