"""A folder of certificates as it is read: at first all of it, later what has changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from typing import Final, NamedTuple

from mailworker.errors import escape
from mailworker.tls.folder import BadPair, Folder, NamedPair
from mailworker.tls.folder_files import File, Walk
from mailworker.tls.folder_units import Loaded, PairData, pairs_of, units, wanted

GRACE: Final = 1.0
"""Seconds in which a certificate may be there without its key, or be gone: one file is written after the other."""

Check = Callable[[NamedPair], str | None]
"""Why a pair cannot be used where it would be, None where it can."""


class Change(NamedTuple):
    """What a unit has from now on: those that were read, and of those it had the paths of those that it keeps.

    `stamp` is what its files looked like, None where there are none any more.
    """

    unit: str
    stamp: int | None
    pairs: tuple[PairData, ...]
    kept: tuple[str, ...]


class Look(NamedTuple):
    """What has changed, what there is to be told, and whether all that was seen is read."""

    changes: list[Change]
    told: list[str]
    settled: bool


class FolderScan:
    """Reads a folder. `check` is asked about each pair; `watched` are the folders whose entries count."""

    __slots__ = ("_doubles", "_failing", "_missed", "_read", "_seen", "_told", "check", "folder", "watched")

    def __init__(self, path: str) -> None:
        self.check: Check = lambda pair: None
        self.folder = Folder(path)
        self.watched: set[str] = set()
        self._failing: dict[str, tuple[int, float]] = {}  # since when
        self._missed: dict[str, float] = {}  # since when
        self._read: dict[str, int] = {}  # stamps of units: hashes, as the files' names would take a kilobyte for each
        self._seen: dict[str, int] = {}
        self._told: dict[str, str] = {}  # what was wrong at the last look
        self._doubles: set[str] = set()

    def load(self, earlier: FolderScan | None) -> Generator[str, None, None]:
        """Read all of it, but what an `earlier` scan has read and is the same; gives warnings, and "" in between.

        Raises OSError where the folder cannot be read.
        """
        walk = Walk(self.folder.path, wanted)
        self.watched = walk.folders
        faults: dict[str, str] = {}
        for unit, files in units(walk.files).items():
            stamp = hash(files)
            if earlier is not None and earlier._read.get(unit) == stamp:
                self.folder.put(unit, earlier.folder.unit(unit))
            else:
                found = self._load(files)
                self.folder.put(unit, found[0])
                faults.update(found[2])
            self._read[unit] = self._seen[unit] = stamp
            yield ""
        yield from self._tell(walk.faults)
        yield from _texts(faults)
        yield from self._tell_doubles()

    def sift(self, check: Check) -> list[str]:
        """Drop what `check` has something against; gives what that is."""
        faults: dict[str, str] = {}
        for unit in self._read:
            pairs = self.folder.unit(unit)
            refused = {pair.path: fault for pair in pairs if (fault := check(pair)) is not None}
            if refused:
                self.folder.put(unit, [pair for pair in pairs if pair.path not in refused])
                faults.update(refused)
        return _texts(faults)

    def look(self, now: float) -> Look:
        """See what has changed; `now` is in seconds. Files that still change, or fit only in part, are not read yet."""
        changes: list[Change] = []
        try:
            walk = Walk(self.folder.path, wanted)
        except OSError as error:
            reason = f"{error.errno}: {os.strerror(error.errno or 0)}"
            fault = f"could not be read ({reason}), its certificates stay as they were"
            return Look([], self._tell({self.folder.path: fault}), True)
        self.watched = walk.folders
        faults: dict[str, str] = {}
        settled = True
        present = units(walk.files)
        for unit, files in present.items():
            stamp = hash(files)
            if self._read.get(unit) == stamp:
                continue
            if self._seen.get(unit) != stamp:
                self._seen[unit], settled = stamp, False
                continue
            settled = self._renew(unit, files, now, changes, faults) and settled
        absent = self._read.keys() - present.keys()
        for unit in absent:
            if not any(unit.startswith(f"{folder}/") for folder in walk.unread):
                settled = self._drop(unit, now, changes) and settled
        self._missed = {unit: since for unit, since in self._missed.items() if unit in absent}
        told = [*self._tell(walk.faults), *_texts(faults)]
        if changes:
            told += self._tell_doubles()
        return Look(changes, told, settled)

    def note(self, change: Change, pairs: Sequence[NamedPair]) -> None:
        """Take over a change; `pairs` are what its data have come to."""
        kept = [pair for pair in self.folder.unit(change.unit) if pair.path in change.kept]
        self.folder.put(change.unit, (*pairs, *kept))
        if change.stamp is not None:
            self._read[change.unit] = change.stamp
        else:
            self._read.pop(change.unit, None)
            self._seen.pop(change.unit, None)

    def _drop(self, unit: str, now: float, changes: list[Change]) -> bool:
        """Drop a unit whose files are gone; False where they may come back: who replaces some may remove them first."""
        if now - self._missed.setdefault(unit, now) < GRACE:
            return False
        changes.append(Change(unit, None, (), ()))
        self.note(changes[-1], ())
        return True

    def _renew(
        self, unit: str, files: tuple[File, ...], now: float, changes: list[Change], faults: dict[str, str]
    ) -> bool:
        """Read a unit that has changed; False where it is to be read once more."""
        pairs, loaded, wrong = self._load(files)
        if wrong:
            stamp = hash(files)
            known, since = self._failing.setdefault(unit, (stamp, now))
            if known != stamp:
                self._failing[unit] = stamp, now
            if known != stamp or now - since < GRACE:
                return False
        self._failing.pop(unit, None)
        faults.update(wrong)
        there = {file.path for file in files}
        fresh = {pair.path for pair in pairs}
        kept = [pair.path for pair in self.folder.unit(unit) if pair.path in there - fresh] if wrong else []
        changes.append(Change(unit, hash(files), tuple(each.data for each in loaded), tuple(kept)))
        self.note(changes[-1], pairs)
        return True

    def _load(self, files: tuple[File, ...]) -> tuple[list[NamedPair], list[Loaded], dict[str, str]]:
        """The pairs that can be used, and what is wrong with others."""
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
                loaded.append(each)
            else:
                found.faults[each.data.path] = fault
        return pairs, loaded, found.faults

    def _tell(self, faults: dict[str, str]) -> list[str]:
        """Texts of what is wrong and was not so at the last look."""
        fresh = {path: fault for path, fault in faults.items() if self._told.get(path) != fault}
        self._told = faults
        return _texts(fresh)

    def _tell_doubles(self) -> list[str]:
        earlier, self._doubles = self._doubles, set(self.folder.doubles())
        return sorted(self._doubles - earlier)


def _texts(faults: dict[str, str]) -> list[str]:
    return [f'"{escape(path)}" {fault}' for path, fault in faults.items()]
