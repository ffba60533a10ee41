"""The entries of a `geo` block with `ranges` (ngx_stream_geo_range): ranges of IPv4 addresses.

As in nginx, a range is split at each /16, so messages name the pieces.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain

from mailworker.config.tree import Parser
from mailworker.variables.geo import NOWHERE, GeoRanges, read_address
from mailworker.variables.template import Template

_Piece = tuple[int, int, bytes]

_BLOCK = 0x10000


class Ranges:
    """The ranges read so far: pieces in their order, by the upper 16 bits of their addresses."""

    __slots__ = ("_blocks", "_default")

    def __init__(self) -> None:
        self._default: bytes | None = None
        self._blocks: dict[int, list[_Piece]] = {}

    def definition(self, source: Template) -> GeoRanges:
        """The definition with these entries."""
        pieces = list(chain.from_iterable(self._blocks[block] for block in sorted(self._blocks)))
        return GeoRanges(
            source,
            starts=tuple(start for start, _, _ in pieces),
            ends=tuple(end for _, end, _ in pieces),
            values=tuple(value for _, _, value in pieces),
            default=self._default or b"",
        )

    def take(self, parser: Parser) -> None:
        """Read one entry. Raises ConfigError."""
        word, value = parser.words
        if word == "default":
            if self._default is not None:
                parser.warn(f'duplicate default geo range value: "{value}", old value: "{os.fsdecode(self._default)}"')
            self._default = os.fsencode(value)
        elif word == "delete":
            deleted = [self._delete(*piece) for piece in _pieces(*_range(parser, value))]
            if not all(deleted):
                parser.warn(f'no address range "{value}" to delete')
        else:
            for first, last in _pieces(*_range(parser, word)):
                self._add(parser, (first, last, os.fsencode(value)))

    def _delete(self, first: int, last: int) -> bool:
        """Delete a piece; returns whether there was such a piece."""
        pieces = self._blocks.get(first // _BLOCK, [])
        index = next((index for index, piece in enumerate(pieces) if piece[:2] == (first, last)), None)
        if index is not None:
            del pieces[index]
        return index is not None

    def _add(self, parser: Parser, new: _Piece) -> None:
        """Add a piece between others, or within another one, which is split."""
        pieces = self._blocks.setdefault(new[0] // _BLOCK, [])
        index = next((index for index, piece in enumerate(pieces) if piece[1] >= new[0]), len(pieces))
        if index == len(pieces) or pieces[index][0] > new[1]:
            pieces.insert(index, new)
            return
        word, value = parser.words
        first, last, old = pieces[index]
        if (first, last) == new[:2]:
            parser.warn(f'duplicate range "{word}", value: "{value}", old value: "{os.fsdecode(old)}"')
        if not first <= new[0] <= new[1] <= last:
            first, last, _ = next(piece for piece in reversed(pieces) if piece[0] <= new[1])
            raise parser.error(f'range "{word}" overlaps "{_text(first)}-{_text(last)}"')
        around = [(first, new[0] - 1, old), new, (new[1] + 1, last, old)]
        pieces[index : index + 1] = [piece for piece in around if piece[0] <= piece[1]]


def _range(parser: Parser, word: str) -> tuple[int, int]:
    first, dash, last = os.fsencode(word).partition(b"-")
    (start, is_ipv6), (end, is_ipv6_too) = read_address(first), read_address(last)
    if not dash or is_ipv6 or is_ipv6_too or NOWHERE in (start, end) or start > end:
        raise parser.error(f'invalid range "{word}"')
    return start, end


def _pieces(first: int, last: int) -> Iterator[tuple[int, int]]:
    while first <= last:
        end = min(first | (_BLOCK - 1), last)
        yield first, end
        first = end + 1


def _text(address: int) -> str:
    return ".".join(map(str, address.to_bytes(4, "big")))
