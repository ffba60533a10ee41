"""Counters of sessions: the names of the words in a row of counters, and the classes that count in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from itertools import product
from typing import Final, NamedTuple, Protocol

from mailworker.config.auth_http import AuthHttpSettings
from mailworker.config.limit_auth import LimitAuthSettings
from mailworker.config.listen import Listen
from mailworker.config.source import ByBackendSettings
from mailworker.config.source import LoginSource as SourceSettings
from mailworker.errors import PeerError, TimedOut, TlsError
from mailworker.event.lobby import Guest
from mailworker.event.loop import LoopState
from mailworker.event.tally import ByteCounts, Places, SessionTally, Tally
from mailworker.event.timers import Timed
from mailworker.mail.end import USUAL, End
from mailworker.model import METHOD_NAMES, AuthMethod
from mailworker.shm.counters import LATEST, Counters
from mailworker.shm.gate import Holdings
from mailworker.tls.connection import TlsConnection
from mailworker.variables.facts import Clock
from mailworker.wire.auth_response import Rejected

LATENCY: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of a histogram's buckets, in seconds."""

DURATION: Final = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 14400.0, 43200.0, 86400.0)
"""Upper bounds of the buckets for the duration of sessions, in seconds."""

LATEST_END: Final = f"{LATEST} end"
"""The family of words for the last end that was not usual: see `latest_end`."""

BY_BACKEND: Final = "upstream"
"""The label of the login source that is the backend itself."""

METHODS: Final[Mapping[AuthMethod, str]] = {method: names.directive for method, names in METHOD_NAMES.items()}
_ENDS: Final = tuple(End)
_ODD: Final = tuple(end not in USUAL for end in _ENDS)
RESULTS: Final = ("ok", "failed", "wait", "error", "timeout")
VERSIONS: Final = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
# The numbers of the words "handshakes", by the version and whether the session was resumed.
_HANDSHAKES: Final = {each: number for number, each in enumerate(product(VERSIONS, (False, True)))}
DIRECTIONS: Final = ("client_in", "client_out", "upstream_in", "upstream_out")
DROPPED: Final = ("worker_connections", "system")

# A part of OpenSSL's error text, and our label for it, as the texts differ between versions.
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

BACKEND_FAULTS: Final = (
    End.BACKEND_CONNECT,
    End.BACKEND_CONNECT_TIMEOUT,
    End.BACKEND_TLS,
    End.BACKEND_TIMEOUT,
    End.BACKEND_TEMP,
    End.BACKEND_PROTOCOL,
)
"""Why a login fails at a backend by a fault of this or of its network, whether it ends the session or not."""

LIMITED: Final = ("limit_rejected", "limit_delayed", "limit_dry_run", "limit_banned")
"""Families of a zone: attempts that were refused, delayed, or would have been; connections of banned clients."""


class Served(Protocol):
    """The settings of a `server` block that are needed here."""

    @property
    def listens(self) -> tuple[Listen, ...]: ...
    @property
    def protocol(self) -> str: ...
    @property
    def source(self) -> SourceSettings: ...
    @property
    def status_zone(self) -> str | None: ...
    @property
    def limit_auth(self) -> LimitAuthSettings: ...


class Countable(Protocol):
    """A server whose sessions can be counted."""

    @property
    def settings(self) -> Served: ...

    counted: Counted | None


class Label(NamedTuple):
    """The labels of a server's sessions."""

    server: str
    protocol: str


def label(settings: Served) -> Label:
    """The labels of a server: its `status_zone`, or else its first `listen`, and its protocol."""
    return Label(settings.status_zone or str(settings.listens[0].address), settings.protocol)


def source(settings: Served) -> str:
    """The label of the source that decides about a server's logins."""
    if isinstance(settings.source, AuthHttpSettings):
        return "http"
    return BY_BACKEND if isinstance(settings.source, ByBackendSettings) else "file"


def word(family: str, *labels: str) -> str:
    """The name of a counter's word."""
    return "\0".join((family, *labels))


def latest_end(value: int) -> tuple[int, End] | None:
    """Decode a word of LATEST_END: the time in seconds since 1970, and the end; None if there was none yet.

    Any value can be decoded, as a compromised worker may have written it.
    """
    seconds, number = divmod(value, len(_ENDS))
    return (seconds, _ENDS[number]) if seconds else None


def reloads(succeeded: bool) -> str:
    """The master's word for reloads that have succeeded, or failed."""
    return word("reloads", "success" if succeeded else "failure")


def respawns(by_signal: bool) -> str:
    """The master's word for workers that were replaced after a signal has killed them, or after they have exited."""
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
        found |= dict.fromkeys(word(family, zone.name) for zone in settings.limit_auth.zones for family in LIMITED)
    return tuple(found)


def _of_server(settings: Served) -> Iterable[str]:
    mine, judge = label(settings), source(settings)
    for family in ("accepted", "arrived", "moved", "logins"):
        yield word(family, *mine)
    yield from (word("ended", *mine, end.word) for end in End)
    yield word(LATEST_END, *mine)
    yield from (word("bytes", *mine, direction) for direction in DIRECTIONS)
    yield from (word("handshakes", *mine, *each) for each in product(VERSIONS, ("no", "yes")))
    yield from (word("handshake_failures", *mine, fault) for fault in FAULTS)
    yield from (word("auth", settings.protocol, judge, *each) for each in product(METHODS.values(), RESULTS))
    yield from (word("upstream_failures", settings.protocol, end.word) for end in BACKEND_FAULTS)
    yield from histogram("auth_seconds", LATENCY, judge)
    for resumed in ("no", "yes"):
        yield from histogram("handshake_seconds", LATENCY, settings.protocol, resumed)
    yield from histogram("login_seconds", LATENCY, settings.protocol)
    yield from histogram("session_seconds", DURATION, *mine)


class Alarm(Timed):
    """The timer that is set while a worker has clients; see `mailworker.mail.vitals`."""

    __slots__ = ()

    def wake(self) -> None:
        """Set a deadline, as there is a client and no deadline yet."""
        raise NotImplementedError


class _Common(NamedTuple):
    """The places of words that all servers of one protocol and one source of logins share."""

    auth: Mapping[str, Sequence[int]]
    auth_seconds: int
    backend_faults: Mapping[End, int]
    handshake_seconds: Sequence[int]
    login_seconds: int


class Counting:
    """Makes the objects that count in this process's row, one for all servers whose words are the same.

    Making one takes some 100 microseconds, so a worker with thousands of servers makes it when the first client comes.
    """

    __slots__ = ("_alarm", "_common", "_counters", "_loop", "_made")

    def __init__(self, counters: Counters, loop: LoopState, alarm: Alarm) -> None:
        """`counters` must have a row for this process."""
        self._alarm = alarm
        self._common: Callable[[str, str], _Common] = cache(partial(_common, counters))
        self._counters = counters
        self._loop = loop
        self._made: dict[tuple[Label, str], Counted] = {}

    def count(self, servers: Iterable[Countable]) -> None:
        """Count the sessions of these servers from now on."""
        for server in servers:
            server.counted = self._of(server.settings)

    def _of(self, settings: Served) -> Counted:
        mine, judge = label(settings), source(settings)
        if (mine, judge) not in self._made:
            common = self._common(settings.protocol, judge)
            self._made[mine, judge] = Counted(self._counters, mine, judge, common, self._loop, self._alarm)
        return self._made[mine, judge]


def _common(counters: Counters, protocol: str, judge: str) -> _Common:
    place = counters.place
    return _Common(
        auth={
            result: _by_number({each: place(word("auth", protocol, judge, METHODS[each], result)) for each in METHODS})
            for result in RESULTS
        },
        auth_seconds=place(word("auth_seconds", judge, repr(LATENCY[0]))),
        backend_faults={end: place(word("upstream_failures", protocol, end.word)) for end in BACKEND_FAULTS},
        handshake_seconds=[
            place(word("handshake_seconds", protocol, resumed, repr(LATENCY[0]))) for resumed in ("no", "yes")
        ],
        login_seconds=place(word("login_seconds", protocol, repr(LATENCY[0]))),
    )


class Counted(SessionTally):
    """Counts the sessions of the servers with one label and one source of logins in a worker's row.

    The words of a family are in a row: `_backend_bytes`, `_faults` and `_handshakes` are the places of the first ones.
    """

    __slots__ = (
        "_arrived", "_backend_bytes", "_by_backend", "_common", "_dropped", "_faults", "_handshakes", "_moved",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913, PLR0917 - Counting makes it
        self, counters: Counters, mine: Label, judge: str, common: _Common, loop: LoopState, alarm: Alarm
    ) -> None:
        assert counters.row is not None

        def place(family: str, *labels: str) -> int:
            return counters.place(word(family, *mine, *labels))

        self._arrived, self._moved = place("arrived"), place("moved")
        self._backend_bytes = place("bytes", "upstream_in")
        self._by_backend = judge == BY_BACKEND
        self._common = common
        self._faults = place("handshake_failures", FAULTS[0])
        self._handshakes = place("handshakes", VERSIONS[0], "no")
        ended = place("ended", _ENDS[0].word)
        self._dropped = ended + End.BUG.number
        places = Places(
            accepted=place("accepted"),
            logins=place("logins"),
            bytes=place("bytes", DIRECTIONS[0]),
            latest=place(LATEST_END),
            auth_seconds=common.auth_seconds,
            login_seconds=common.login_seconds,
            session_seconds=place("session_seconds", repr(DURATION[0])),
            allowed=tuple(common.auth["ok"]),
            ended=tuple(range(ended, ended + len(_ENDS))),
            odd=_ODD,
            latency=LATENCY,
            duration=DURATION,
            by_backend=self._by_backend,
        )
        super().__init__(counters.row, loop, places, alarm, alarm.wake)

    def move(self, there: Counted) -> None:
        """Count a client that has asked for another server and continues there."""
        self.add(self._moved)
        there.add(there._arrived)

    def drop(self) -> None:
        """Count a client that has arrived, and gets no session because of a bug or for lack of memory."""
        self.add(self._dropped)

    def shake_hands(self, tls: TlsConnection, seconds: float) -> None:
        """Count a successful handshake with a client."""
        number = _HANDSHAKES.get((tls.protocol, tls.reused))
        if number is not None:
            self.observe(self._common.handshake_seconds[tls.reused], LATENCY, seconds, self._handshakes + number)

    def welcome(self, clock: Clock, guest: Guest) -> None:
        """Count the handshake of a client that has no session yet; it began when the client was accepted."""
        tls = guest.stream.tls
        assert tls is not None
        self.shake_hands(tls, clock.now - guest.accepted)

    def fail_handshake(self, error: PeerError) -> None:
        """Count a failed handshake with a client."""
        self.add(self._faults + FAULTS.index(fault_of(error)))

    def reject(self, method: AuthMethod, verdict: Rejected, seconds: float) -> None:
        """Count a login that the source has refused; refusals by the backend are counted by `refuse`."""
        if not self._by_backend:
            self.observe(self._common.auth_seconds, LATENCY, seconds, self._common.auth[result_of(verdict)][method])

    def fail_to_judge(self, method: AuthMethod, error: Exception, seconds: float) -> None:
        """Count a login that got no verdict."""
        place = self._common.auth["timeout" if isinstance(error, TimedOut) else "error"][method]
        self.observe(self._common.auth_seconds, LATENCY, seconds, place)

    def refuse(self, method: AuthMethod, verdict: Rejected) -> None:
        """Count a refused login if the backend decides; `reject` has counted the refusals of other sources."""
        if self._by_backend:
            self.add(self._common.auth[result_of(verdict)][method])

    def leave(self, backend: ByteCounts) -> None:
        """Count the bytes of a backend without which its session goes on; `end` counts those of the last one."""
        self.gain(self._backend_bytes, backend.received)
        self.gain(self._backend_bytes + 1, backend.sent)

    def fail_at_backend(self, end: End) -> None:
        """Count a login that has failed at a backend, if `end` is one of BACKEND_FAULTS."""
        if end in self._common.backend_faults:
            self.add(self._common.backend_faults[end])


def forget(held: Holdings | None, counted: Counted | None, guest: Guest) -> None:
    """Uncount a guest that is dropped because of a bug, or for lack of memory."""
    if held is not None:
        held.end(guest)
    if counted is not None:
        counted.drop()


def _by_number(places: Mapping[AuthMethod, int]) -> list[int]:
    """The mapping as a list: indexing it avoids the slow hash of an enum's member."""
    return [places.get(AuthMethod(number), 0) for number in range(max(places) + 1)]


class Words:
    """Counts in words of a worker's row: `words` are their names, by the names that `add` takes."""

    __slots__ = ("_places", "_tally")

    def __init__(self, counters: Counters, words: Mapping[str, str]) -> None:
        assert counters.row is not None
        self._tally = Tally(counters.row)
        self._places = {name: counters.place(each) for name, each in words.items()}

    def add(self, name: str) -> None:
        """Add one to a word."""
        self._tally.add(self._places[name])


def limit_words(counters: Counters, zone: str) -> Words:
    """Counts the effects of a limit zone by their families, those of LIMITED."""
    return Words(counters, {family: word(family, zone) for family in LIMITED})


def drop_words(counters: Counters) -> Words:
    """Counts clients that are turned away by the reasons in DROPPED."""
    return Words(counters, {reason: word("dropped", reason) for reason in DROPPED})


def result_of(verdict: Rejected) -> str:
    """The result of a refused login, one of RESULTS; a temporary refusal does not mean a wrong password."""
    if verdict.wait:
        return "wait"
    return "error" if verdict.temporary else "failed"


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
