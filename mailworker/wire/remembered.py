"""A memory of what backends have sent before, and of what it allows: a login at a known backend is then one plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from mailworker.wire.backend import Known

LONGEST: Final = 1024
"""The most bytes of a text that is remembered; a longer one is read each time."""

MOST: Final = 4096
"""The most texts that are remembered, and the most backends; beyond that, the memory is emptied."""

AllowedT = TypeVar("AllowedT")


class Kind(Generic[AllowedT]):
    """The remembered texts that allow the same; `known` are these texts, for a step that waits for one of them."""

    __slots__ = ("allows", "known", "texts")

    def __init__(self, allows: AllowedT) -> None:
        self.allows = allows
        self.texts = set[bytes]()
        self.known = Known(self.texts)


class Remembered(Generic[AllowedT]):
    """Texts of backends, such as greetings, grouped by what they allow, which has to be hashable.

    `expected` has the kinds that are expected of backends, which are named as in the log. A text becomes part of a kind
    when it is heard a second time, byte for byte. So a text that contains, for example, the time of day is never
    expected, and replaces no text that is. Only texts of backends are kept, nothing about clients or logins.
    """

    __slots__ = ("_kinds", "_known", "_once", "expected")

    def __init__(self) -> None:
        self._kinds = dict[AllowedT, Kind[AllowedT]]()
        self._known = dict[bytes, Kind[AllowedT]]()
        self._once = dict[bytes, AllowedT]()
        self.expected = dict[str | None, Kind[AllowedT]]()

    def allowed(self, backend: str | None, text: bytes, read: Callable[[bytes], AllowedT]) -> AllowedT:
        """What a backend's text allows: as it is remembered, or else as `read` says, which may raise an error."""
        kind = self.hear(backend, text)
        if kind is not None:
            return kind.allows
        allows = read(text)
        self.remember(backend, text, allows)
        return allows

    def hear(self, backend: str | None, text: bytes) -> Kind[AllowedT] | None:
        """The kind of a backend's text, which is expected of this backend from now on.

        None for a text that is new, or not remembered; then nothing is expected of this backend any more.
        """
        kind = self._known.get(text)
        if kind is None and text in self._once:
            kind = self._group(text, self._once.pop(text))
        if kind is None:
            self.expected.pop(backend, None)
            return None
        if len(self.expected) >= MOST:
            self.expected.clear()
        self.expected[backend] = kind
        return kind

    def remember(self, backend: str | None, text: bytes, allows: AllowedT) -> None:
        """Remember what a text of a backend allows; the text is new, or was remembered with something else."""
        kind = self._known.pop(text, None)
        if kind is not None:
            kind.texts.discard(text)
            self.expected[backend] = self._group(text, allows)
        elif len(text) <= LONGEST:
            if len(self._once) >= MOST:
                self._once.clear()
            self._once[text] = allows

    def _group(self, text: bytes, allows: AllowedT) -> Kind[AllowedT]:
        if len(self._known) >= MOST:
            self._known.clear()
            self._kinds.clear()
            self.expected.clear()
        kind = self._kinds.get(allows)
        if kind is None:
            kind = self._kinds[allows] = Kind(allows)
        kind.texts.add(text)
        self._known[text] = kind
        return kind
