"""Reading a folder of certificates: first all of it, then what has changed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from mailworker.errors import escape
from mailworker.log.line import describe
from mailworker.tls.folder import BadPair, Folder, NamedPair
from mailworker.tls.folder_files import File, Walk, is_readable
from mailworker.tls.folder_units import PairData, pairs_of, units, units_left_out, wanted

GRACE: Final = 1.0
"""Seconds for which a certificate or its key may be missing, as files are written one after the other."""

# The most files with the same fault that are named: with a failing file system, there are thousands.
_MOST_NAMED: Final = 10

_KEPT: Final = "its certificates stay as they were"

Check = Callable[[NamedPair], str | None]
"""Returns the reason why a pair cannot be used by its servers, None if it can."""


class Change(NamedTuple):
    """The new pairs of a unit: `pairs` were read, and `kept` are the paths of former pairs that stay.

    `stamp` is a hash of its files' names, sizes and times, None if its files are gone. `faults` are the reasons for the
    paths that cannot be used. A change of the unit with the folder's own path has only faults, those of the walk.
    """

    unit: str
    stamp: int | None
    pairs: tuple[PairData, ...]
    kept: tuple[str, ...]
    faults: Mapping[str, str]


class Changes(NamedTuple):
    """The changes, the messages for the log, and whether all changes have been read."""

    changes: list[Change]
    texts: list[str]
    settled: bool


class FolderScan:
    """Reads a folder. `check` is called for each pair; `watched` are the folders to watch for changes."""

    __slots__ = (
        "_before", "_duplicates", "_failing", "_faults", "_left_out", "_missed", "_read", "_seen", "_unread", "check",
        "folder", "watched",
    )  # fmt: skip

    def __init__(self, path: str) -> None:
        self.check: Check = lambda pair: None
        self.folder = Folder(path)
        self.watched: set[str] = set()
        self._before: dict[str, Folder] = {}  # earlier folders of the servers, by their paths
        self._failing: dict[str, tuple[int, float]] = {}  # units with faults: their stamps, and since when
        # By units, which the next `load` reads again, even if their files are the same.
        self._faults: dict[str, Mapping[str, str]] = {}
        self._left_out: Mapping[str, str] = {}  # the faults of the last walk
        self._missed: dict[str, float] = {}  # units without files: since when
        self._read: dict[str, int] = {}  # stamps of units: hashes, as lists of files would take a kilobyte each
        self._seen: dict[str, int] = {}
        self._unread: set[str] = set()  # units with files that could not be read, but may be later
        self._duplicates: set[str] = set()

    @property
    def faults(self) -> dict[str, str]:
        """The reasons why files, or the whole folder, are not used as they are, by their paths."""
        return dict(pair for each in (self._left_out, *self._faults.values()) for pair in each.items())

    def load(self, earlier: FolderScan | None) -> Generator[str, None, None]:
        """Read the folder, except units that are the same in an `earlier` scan; yields warnings.

        Units with faults are read again, and keep the pairs of the earlier scan that are not replaced. Yields "" after
        each unit, so that the caller can do other work in between. Raises OSError if the folder cannot be read.
        """
        walk = Walk(self.folder.path, wanted)
        self.watched = walk.folders
        faults: dict[str, str] = {}
        present = units(walk.files)
        former = FolderScan(self.folder.path) if earlier is None else earlier
        left_out = _left_out(walk, former.folder)
        warnings = self._fault_messages(left_out)
        for unit in units_left_out(former._read.keys() - present.keys(), left_out):
            self.folder.put(unit, former.folder.unit(unit))
            self._read[unit] = former._read[unit]
        for unit, files in present.items():
            self.folder.put(unit, former.folder.unit(unit))
            self._read[unit] = self._seen[unit] = hash(files)
            if unit in former._faults or former._read.get(unit) != self._read[unit]:
                change, pairs, wrong = self._read_unit(unit, files)
                self.note(change, pairs)
                faults.update(wrong)
            yield ""
        yield from warnings
        yield from _messages(faults)
        yield from self._new_duplicates()

    def note_earlier(self, others: Iterable[Folder]) -> list[str]:
        """Note earlier folders of a server; returns warnings of names that they have as well."""
        self._before.update((folder.path, folder) for folder in others)
        return self._new_duplicates()

    def remove_refused(self, check: Check) -> list[str]:
        """Remove the pairs that `check` refuses; returns messages with the reasons."""
        faults: dict[str, str] = {}
        for unit in self._read:
            pairs = self.folder.unit(unit)
            refused = {pair.path: fault for pair in pairs if (fault := check(pair)) is not None}
            if refused:
                self.folder.put(unit, [pair for pair in pairs if pair.path not in refused])
                self._faults[unit] = {**self._faults.get(unit, {}), **refused}
                faults.update(refused)
        return _messages(faults)

    def find_changes(self, now: float) -> Changes:
        """Find changes; `now` is in seconds. Files that still change, or do not match yet, are read later."""
        changes: list[Change] = []
        try:
            walk = Walk(self.folder.path, wanted)
        except OSError as error:
            fault = f"could not be read {describe(error)}, {_KEPT}"
            return Changes(changes, self._fault_messages({self.folder.path: fault}, changes), True)
        self.watched = walk.folders
        left_out = _left_out(walk, self.folder)
        if self.folder.path in left_out and self._is_early(self.folder.path, now):
            return Changes([], [], False)
        texts = self._fault_messages(left_out, changes)
        faults: dict[str, str] = {}
        settled = True
        present = units(walk.files)
        for unit, files in present.items():
            stamp = hash(files)
            if self._read.get(unit) == stamp and not (unit in self._unread and all(map(is_readable, files))):
                continue
            if self._seen.get(unit) != stamp:
                self._seen[unit], settled = stamp, False
                continue
            settled = self._renew(unit, files, now, changes, faults) and settled
        absent = self._read.keys() - present.keys()
        absent -= units_left_out(absent, left_out)
        for unit in absent:
            settled = self._remove(unit, now, changes) and settled
        kept = absent | left_out.keys()
        self._missed = {path: since for path, since in self._missed.items() if path in kept}
        texts += _messages(faults)
        if changes:
            texts += self._new_duplicates()
        return Changes(changes, texts, settled)

    def note(self, change: Change, pairs: Sequence[NamedPair]) -> None:
        """Apply a change; `pairs` are made from its data."""
        if change.unit == self.folder.path:
            self._left_out = change.faults
            return
        kept = [pair for pair in self.folder.unit(change.unit) if pair.path in change.kept]
        self.folder.put(change.unit, (*pairs, *kept))
        self._faults.pop(change.unit, None)
        if change.stamp is None:
            self._read.pop(change.unit, None)
            self._seen.pop(change.unit, None)
            self._unread.discard(change.unit)
            return
        self._read[change.unit] = change.stamp
        if change.faults:
            self._faults[change.unit] = change.faults

    def _remove(self, unit: str, now: float, changes: list[Change]) -> bool:
        """Remove a unit whose files are gone; False if it is too early."""
        if self._is_early(unit, now):
            return False
        changes.append(Change(unit, None, (), (), {}))
        self.note(changes[-1], ())
        return True

    def _is_early(self, path: str, now: float) -> bool:
        """Whether files are missing only for a moment, as they may be about to be replaced."""
        return now - self._missed.setdefault(path, now) < GRACE

    def _renew(
        self, unit: str, files: tuple[File, ...], now: float, changes: list[Change], faults: dict[str, str]
    ) -> bool:
        """Read a unit that has changed; False if it must be read again later."""
        change, pairs, wrong = self._read_unit(unit, files)
        if wrong:
            stamp = hash(files)
            known, since = self._failing.setdefault(unit, (stamp, now))
            if known != stamp:
                self._failing[unit] = stamp, now
            if known != stamp or now - since < GRACE:
                return False
        self._failing.pop(unit, None)
        faults.update(wrong)
        changes.append(change)
        self.note(change, pairs)
        return True

    def _read_unit(self, unit: str, files: tuple[File, ...]) -> tuple[Change, list[NamedPair], dict[str, str]]:
        """The change of a unit, its usable pairs, and the faults of its other files, whose former pairs are kept."""
        found = pairs_of(files)
        pairs, loaded = [], []
        for each in found.pairs:
            try:
                pair = self.folder.complete(each)
                fault = self.check(pair)
            except BadPair as bad:
                fault = str(bad)
            if fault is None:
                pairs.append(pair)
                loaded.append(each.data)
            else:
                found.faults[each.data.path] = fault
        (self._unread.add if found.unread else self._unread.discard)(unit)
        kept: tuple[str, ...] = ()
        if found.faults:
            there = {file.path for file in files} | self._left_out.keys()
            there -= {pair.path for pair in pairs}
            kept = tuple(pair.path for pair in self.folder.unit(unit) if pair.path in there)
        return Change(unit, hash(files), tuple(loaded), kept, found.faults), pairs, found.faults

    def _fault_messages(self, faults: dict[str, str], changes: list[Change] | None = None) -> list[str]:
        """Messages for the faults of a walk that are new. If any have changed, `changes` gets them all."""
        fresh = {path: fault for path, fault in faults.items() if self._left_out.get(path) != fault}
        if changes is not None and faults != self._left_out:
            changes.append(Change(self.folder.path, 0, (), (), faults))
        self._left_out = faults
        return _messages(fresh)

    def _new_duplicates(self) -> list[str]:
        earlier, self._duplicates = self._duplicates, set(self.folder.duplicates(self._before.values()))
        return sorted(self._duplicates - earlier)


def _left_out(walk: Walk, folder: Folder) -> dict[str, str]:
    """The faults of a walk. A folder without any files has one if it had files, as a disk may not be mounted."""
    if walk.files or walk.faults or not len(folder):
        return walk.faults
    return {folder.path: f"has no files any more, {_KEPT}"}


def _messages(faults: Mapping[str, str]) -> list[str]:
    alike: dict[str, list[str]] = {}
    for path, fault in faults.items():
        alike.setdefault(fault, []).append(escape(path))
    return [text for fault, paths in alike.items() for text in _named(fault, paths)]


def _named(fault: str, paths: Sequence[str]) -> Iterator[str]:
    yield from (f'"{path}" {fault}' for path in paths[:_MOST_NAMED])
    if len(paths) > _MOST_NAMED:
        yield f'{len(paths) - _MOST_NAMED} more files, up to "{paths[-1]}", have the same fault: {fault}'
