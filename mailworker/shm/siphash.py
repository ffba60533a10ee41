"""SipHash-2-4, a hash with a key of 128 bits; native/shm/siphash.h has it in C."""

from __future__ import annotations

from typing import Final

_WORD: Final = (1 << 64) - 1
_FIRST: Final = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)


def siphash(key: bytes, data: bytes) -> int:
    """The hash of 64 bits; `key` has 16 bytes."""
    low, high = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:16], "little")
    state = [start ^ part for start, part in zip(_FIRST, (low, high, low, high), strict=True)]
    whole = len(data) // 8 * 8
    words = [int.from_bytes(data[start : start + 8], "little") for start in range(0, whole, 8)]
    words.append((len(data) & 0xFF) << 56 | int.from_bytes(data[whole:], "little"))
    for word in words:
        state[3] ^= word
        _mix(state, 2)
        state[0] ^= word
    state[2] ^= 0xFF
    _mix(state, 4)
    return state[0] ^ state[1] ^ state[2] ^ state[3]


def _mix(state: list[int], rounds: int) -> None:
    a, b, c, d = state
    for _ in range(rounds):
        a = (a + b) & _WORD
        c = (c + d) & _WORD
        b = _rotate(b, 13) ^ a
        d = _rotate(d, 16) ^ c
        a = (_rotate(a, 32) + d) & _WORD
        c = (c + b) & _WORD
        d = _rotate(d, 21) ^ a
        b = _rotate(b, 17) ^ c
        c = _rotate(c, 32)
    state[:] = a, b, c, d


def _rotate(word: int, bits: int) -> int:
    return (word << bits | word >> (64 - bits)) & _WORD
