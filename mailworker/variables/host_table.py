"""Tables by host names and masks for them, as nginx's hash tables (ngx_hash_add_key, ngx_hash_find_combined)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Final, Generic, TypeVar

V = TypeVar("V")

_DOT: Final = len(".")


def mask(key: bytes) -> tuple[int, int] | None:
    """The place of the fixed part in ".example.com", "*.example.com" and "www.example.*"; None for other keys."""
    if len(key) > 1 and key.startswith(b"."):
        return _DOT, len(key)
    if len(key) > 2 and key.startswith(b"*."):
        return len(b"*."), len(key)
    if len(key) > 2 and key.endswith(b".*"):
        return 0, len(key) - len(b".*")
    return None


def is_host(key: bytes) -> bool:
    """Whether the key is a name or a valid mask."""
    start, end = mask(key) or (0, len(key))
    return b"*" not in key[start:end] and b".." not in key and b"\0" not in key


class HostTable(Generic[V]):
    """Values by names and masks. The longest mask decides, "*.example.com" before "www.example.*".

    Keys are in lower case. Those of `names`, which precede masks, are Latin-1 text: comparing them writes to no key,
    not even to its reference count, so all workers keep sharing the memory of a long table.
    """

    __slots__ = ("_heads", "_longest_head", "_longest_tail", "_passed_over", "_tails", "names")

    def __init__(self) -> None:
        self.names: dict[str, V] = {}
        self._heads: dict[bytes, V] = {}  # the part after "*."
        self._tails: dict[bytes, V] = {}  # the part before ".*"
        self._longest_head = self._longest_tail = 0
        self._passed_over: set[str] = set()

    @property
    def has_masks(self) -> bool:
        """Whether any key is a mask."""
        return bool(self._heads or self._tails)

    def values(self) -> Iterator[V]:
        """The values of all keys."""
        return chain(self.names.values(), self._heads.values(), self._tails.values())

    def add_name(self, name: bytes, value: V) -> bool:
        """Add a name; returns whether it was new, else the table stays as it is."""
        text = name.decode("latin-1")
        if text in self.names or text in self._passed_over:
            return False
        self.names[text] = value
        return True

    def add(self, key: bytes, value: V) -> bool:
        """Add a name or a mask; returns whether it was new. ".example.com" is the name and "*.example.com" at once."""
        fixed = mask(key)
        if fixed is None:
            return self.add_name(key, value)
        start, end = fixed
        part, text = key[start:end], key[start:end].decode("latin-1")
        if start == _DOT and (text in self.names or text in self._passed_over):
            return False
        masks = self._heads if start else self._tails
        if part in masks:
            if start == _DOT:
                self._passed_over.add(text)  # nginx notes the name before it sees that the mask exists
            return False
        masks[part] = value
        if not start:
            self._longest_tail = max(self._longest_tail, len(part))
            return True
        self._longest_head = max(self._longest_head, len(part))
        return start != _DOT or self.add_name(part, value)

    def find(self, name: bytes) -> V | None:
        """The value of a name in lower case, None without one."""
        found = self.names.get(name.decode("latin-1"))
        return self.find_mask(name) if found is None else found

    def find_mask(self, name: bytes) -> V | None:
        """The value of the mask for a name in lower case, None without one."""
        for part in _suffixes(name, self._longest_head):
            if part in self._heads:
                return self._heads[part]
        for part in _prefixes(name, self._longest_tail):
            if part in self._tails:
                return self._tails[part]
        return None


def _suffixes(name: bytes, longest: int) -> Iterator[bytes]:
    """The text after each dot, the longest first, but none longer than `longest`."""
    dot = name.find(b".", max(0, len(name) - longest - 1))
    while dot >= 0:
        yield name[dot + 1 :]
        dot = name.find(b".", dot + 1)


def _prefixes(name: bytes, longest: int) -> Iterator[bytes]:
    """The text before each dot, the longest first, but none longer than `longest`."""
    dot = name.rfind(b".", 0, longest + 1)
    while dot >= 0:
        yield name[:dot]
        dot = name.rfind(b".", 0, dot)
