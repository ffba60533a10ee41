"""The keys by which session tickets are encrypted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from mailworker.native.tls._native import ffi, lib

if TYPE_CHECKING:
    from mailworker.native.tls._native import CData

_NAME_SIZE = 16
_AES_128_SIZE = 16


class TicketKeySource(Protocol):
    """A source of keys that change while connections are served.

    Its methods must not raise: an exception goes to Python's `sys.unraisablehook`, and the keys stay as they were.
    """

    @property
    def memory(self) -> Any:
        """A buffer that begins with a sequence number of 64 bits, which changes with the keys."""

    @property
    def seen(self) -> int:
        """The sequence number of the keys that `read` has given."""

    def read(self) -> tuple[bytes, ...]:
        """The present keys, in the layout of `TicketKeys.set`; the same object as long as they are unchanged."""


class TicketKeys:
    """The table of keys that the ticket-key callback of one context uses."""

    __slots__ = ("_keys", "_policy", "_sequence", "_source", "_table")

    def __init__(self, policy: CData, source: TicketKeySource | None = None) -> None:
        """`source`, if there is one, is read again whenever its keys have changed."""
        self._policy = policy
        self._source = source
        self._keys: Sequence[bytes] = ()
        self._table: CData = None
        self._sequence: CData = None
        if source is not None:
            self._sequence = ffi.from_buffer("uint64_t[]", source.memory)
            policy.ticket_key_sequence = self._sequence
            self.refresh()

    def set(self, keys: Sequence[bytes]) -> None:
        """Set keys of 48 or 80 bytes in the layout of nginx's files; the first encrypts, all decrypt."""
        table = ffi.new("struct ticket_key[]", len(keys))
        size_of_table = ffi.sizeof(table)
        cleansed = ffi.gc(table, lambda start: lib.OPENSSL_cleanse(start, size_of_table))
        for entry, key in zip(table, keys, strict=True):
            entry.size = size = (len(key) - _NAME_SIZE) // 2
            first, second = key[_NAME_SIZE : _NAME_SIZE + size], key[_NAME_SIZE + size :]
            ffi.memmove(entry.name, key, _NAME_SIZE)
            ffi.memmove(entry.aes, first if size == _AES_128_SIZE else second, size)
            ffi.memmove(entry.hmac, second if size == _AES_128_SIZE else first, size)
        self._policy.ticket_keys = table
        self._policy.ticket_key_count = len(keys)
        self._table = cleansed  # C points to it; the former table is wiped
        self._keys = keys

    def refresh(self) -> None:
        """Take over the source's present keys."""
        source = self._source
        if source is not None:
            if (keys := source.read()) is not self._keys:
                self.set(keys)
            self._policy.ticket_key_seen = source.seen


@ffi.def_extern()
def refresh_ticket_keys(ticket_keys: CData) -> None:
    """Called by C before a ticket is encrypted or decrypted with changed keys."""
    keys: TicketKeys = ffi.from_handle(ticket_keys)
    keys.refresh()
