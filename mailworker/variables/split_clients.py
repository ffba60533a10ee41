"""`split_clients`: percentages, selected by the hash of a text (ngx_stream_split_clients_module)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mailworker.variables.facts import Evaluate, Facts
from mailworker.variables.table import USERS
from mailworker.variables.template import Template
from mailworker.variables.variables import Variables

WHOLE: Final = 10_000
"""A hundred per cent: shares are in hundredths of one per cent."""

_MULTIPLIER: Final = 0x5BD1E995
_WORD: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class SplitClients:
    """A `split_clients` block: shares in hundredths of one per cent, None for "*", which takes the rest.

    A name in the source is in lower case, as two spellings of a user must not open one mailbox at two backends.
    """

    source: Template
    parts: tuple[tuple[int | None, bytes], ...]

    def outcomes(self) -> Iterable[bytes]:
        """See `Definition.outcomes`."""
        return (b"", *(value for _, value in self.parts))

    def bind(self, variables: Variables) -> Evaluate:
        """See `Definition.bind`."""
        source, bounds = variables.bind(self.source), tuple(self._bounds())
        by_user = not USERS.isdisjoint(self.source.names)

        def evaluate(facts: Facts) -> bytes:
            text = source(facts)
            place = murmur_hash2(text.lower() if by_user else text)
            return next((value for bound, value in bounds if place < bound), b"")

        return evaluate

    def _bounds(self) -> Iterable[tuple[int, bytes]]:
        """The first hash beyond each part. The share that completes 100% includes the last hash, too."""
        bound = total = 0
        for share, value in self.parts:
            total = WHOLE if share is None else total + share
            bound += 0 if share is None else share * _WORD // WHOLE
            yield _WORD + 1 if total == WHOLE else bound, value


def murmur_hash2(data: bytes) -> int:
    """The 32-bit MurmurHash2 with seed 0 (ngx_murmur_hash2)."""
    value = len(data) & _WORD
    whole = len(data) & ~3
    for start in range(0, whole, 4):
        word = int.from_bytes(data[start : start + 4], "little") * _MULTIPLIER & _WORD
        word = (word ^ (word >> 24)) * _MULTIPLIER & _WORD
        value = (value * _MULTIPLIER & _WORD) ^ word
    if whole < len(data):
        value = (value ^ int.from_bytes(data[whole:], "little")) * _MULTIPLIER & _WORD
    value = (value ^ (value >> 13)) * _MULTIPLIER & _WORD
    return value ^ (value >> 15)
