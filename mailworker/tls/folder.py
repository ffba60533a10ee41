"""A folder of certificates in memory: the pairs of certificate and key for each name."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator
from math import inf
from typing import Final

from mailworker.errors import MailworkerError, escape
from mailworker.model import is_host_name
from mailworker.native.tls.certificate import Certificate
from mailworker.native.tls.pair import Pair, certificate_from, key_from, other_names
from mailworker.native.tls.queue import OpenSslError
from mailworker.tls.folder_units import Loaded, PairData

_WILDCARD: Final = b"*."
_DAY: Final = 86400  # seconds
# Days before the end of a certificate within which it should have been renewed.
_NOTICE: Final = 14

STATES: Final = ("valid", "due", "invalid", "unused")
"""The states of pairs: `due` should have been renewed, `invalid` has expired or is not valid yet, and other pairs are
used instead of an `unused` one."""


def notice(begins: float, ends: float, days: int) -> float:
    """The time before the end of a certificate, in seconds, within which it should have been renewed.

    It is `days`, but at most a quarter of the validity of a short-lived certificate.
    """
    return min(days * _DAY, (ends - begins) / 4)


class BadPair(MailworkerError):
    """A certificate cannot be used; the text is the reason."""


class NamedPair(Pair):
    """A certificate and key from files; `names` are in lower case. `begins` and `ends` are seconds since the epoch.

    `chain` are the certificates that are sent after it.
    """

    __slots__ = ("begins", "chain", "ends", "key_path", "kind", "names", "path")

    def __init__(self, loaded: Loaded, chain: Iterable[Certificate]) -> None:
        """Raises OpenSslError and BadPair."""
        self.chain = tuple(chain)
        super().__init__(loaded.leaf, loaded.key, self.chain)
        self.path = loaded.data.path
        self.key_path = loaded.data.key_path
        self.kind = self.leaf.key_kind
        self.names = _names(self.leaf)
        now = int(time.time())
        self.begins, self.ends = now + self.leaf.seconds_before, now + self.leaf.seconds_left
        if not self.names:
            raise BadPair("names no host")


def _names(leaf: Certificate) -> tuple[bytes, ...]:
    """The common name and alternative names of a certificate that are host names."""
    names = dict.fromkeys(name.lower() for name in (leaf.common_name, *other_names(leaf)))
    return tuple(name for name in names if is_host_name(name.removeprefix(_WILDCARD)))


class Folder:
    """The pairs below a folder. A unit is a set of files that are read together, see `folder_units`."""

    __slots__ = ("_chains", "_named", "_units", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._chains: dict[bytes, Certificate] = {}  # intermediate certificates, which many pairs have in common
        self._named: dict[bytes, tuple[NamedPair, ...]] = {}
        self._units: dict[str, tuple[NamedPair, ...]] = {}

    def __iter__(self) -> Iterator[NamedPair]:
        """All pairs at the time of the call, whatever `put` changes during the iteration."""
        return iter([pair for pairs in self._units.values() for pair in pairs])

    def __len__(self) -> int:
        return sum(map(len, self._units.values()))

    def __contains__(self, name: bytes) -> bool:
        return name in self._named

    def find(self, name: bytes) -> tuple[NamedPair, ...]:
        """The pairs for a name or a wildcard, in lower case: one for each kind of key."""
        pairs = self._named.get(name, ())
        return pairs if len(pairs) < 2 else _latest(pairs)

    def served(self, pair: NamedPair) -> list[bytes]:
        """The names for which clients get this pair, unless an earlier folder has them."""
        return [
            name
            for name in pair.names
            if any(each is pair or each.leaf.der == pair.leaf.der for each in self.find(name))
        ]

    def states(self, now: float) -> tuple[dict[str, int], float | None]:
        """The number of pairs in each of STATES, and the earliest end of those in use, None if there is none."""
        counts, first = dict.fromkeys(STATES, 0), inf
        for pair in self:
            state = _state(pair, now) if self.served(pair) else "unused"
            counts[state] += 1
            if state != "unused":
                first = min(first, pair.ends)
        return counts, None if first == inf else first

    def unit(self, unit: str) -> tuple[NamedPair, ...]:
        """The pairs of a unit."""
        return self._units.get(unit, ())

    def build(self, data: PairData) -> NamedPair:
        """Make a pair that another process has read; raises BadPair."""
        try:
            return self.complete(Loaded(data, certificate_from(data.leaf), key_from(data.label, data.key)))
        except OpenSslError as error:
            raise BadPair(f"cannot be used ({error.call}() failed)") from None

    def complete(self, loaded: Loaded) -> NamedPair:
        """Make a pair that this process has read; raises BadPair."""
        try:
            return NamedPair(loaded, [self._intermediate(der) for der in loaded.data.chain])
        except OpenSslError as error:
            raise BadPair(f"cannot be used ({error.call}() failed)") from None

    def put(self, unit: str, pairs: Iterable[NamedPair]) -> None:
        """Replace the pairs of a unit; no pairs remove it."""
        for pair in self._units.pop(unit, ()):
            for name in pair.names:
                left = tuple(each for each in self._named[name] if each is not pair)
                if left:
                    self._named[name] = left
                else:
                    del self._named[name]
        added = tuple(pairs)
        if added:
            self._units[unit] = added
        for pair in added:
            for name in pair.names:
                self._named[name] = (*self._named.get(name, ()), pair)

    def duplicates(self, before: Collection[Folder]) -> Iterator[str]:
        """Warnings about certificates that are not used for some of their names.

        Another one with the same kind of key is used, or one in a folder of the server `before` this one.
        """
        told: set[tuple[str, str]] = set()
        for name, pairs in self._named.items():
            if len(pairs) < 2:
                continue
            used = _latest(pairs)
            for pair in pairs:
                for other in used:
                    if pair.kind != other.kind or (pair.path, other.path) in told:
                        continue
                    if pair.leaf.der != other.leaf.der:
                        told.add((pair.path, other.path))
                        better = "became valid later" if other.begins >= pair.begins else "is valid now"
                        yield f'{_unused_message(pair, name)}: "{escape(other.path)}" {better}'
        for pair in self if before else ():
            for name in pair.names:
                first = next((folder.find(name)[0] for folder in before if name in folder), None)
                if first is not None and first.leaf.der != pair.leaf.der:
                    yield f'{_unused_message(pair, name)}: the directory of "{escape(first.path)}" comes first'
                    break

    def _intermediate(self, der: bytes) -> Certificate:
        found = self._chains.get(der)
        if found is None:
            found = self._chains[der] = certificate_from(der)
        return found


def _state(pair: NamedPair, now: float) -> str:
    if not pair.begins <= now < pair.ends:
        return "invalid"
    return "due" if pair.ends - now < notice(pair.begins, pair.ends, _NOTICE) else "valid"


def _unused_message(pair: NamedPair, name: bytes) -> str:
    return f'"{escape(pair.path)}" is not used for "{name.decode("latin-1")}"'


def _latest(pairs: Iterable[NamedPair]) -> tuple[NamedPair, ...]:
    """For each kind of key, the pair whose validity began last; the one that ends last may be older.

    Pairs that are valid now come first.
    """
    now = time.time()
    found: dict[int, NamedPair] = {}
    for pair in sorted(pairs, key=lambda pair: (pair.begins <= now < pair.ends, pair.begins, pair.ends), reverse=True):
        found.setdefault(pair.kind, pair)
    return tuple(found.values())


def find_pairs(folders: Iterable[Folder], name: bytes) -> tuple[NamedPair, ...]:
    """The pairs for a name in lower case, or for the wildcard that matches it (RFC 6125)."""
    for asked in (name, b"*" + name[name.find(b".") :] if b"." in name else b""):
        for folder in folders:
            pairs = folder.find(asked)
            if pairs:
                return pairs
    return ()
