"""`worker_cpu_affinity auto [MASK]` and `worker_cpu_affinity MASK...`; a mask's last digit is the first CPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mailworker.config.rows import Value
from mailworker.config.slots import once
from mailworker.config.tree import Parser


@dataclass(frozen=True, slots=True)
class CpuAffinity:
    """`worker_cpu_affinity`: for `auto`, worker n gets the n-th CPU of `masks[0]` (empty: of all usable CPUs)."""

    auto: bool
    masks: tuple[int, ...]


MOST_CPUS: Final = 1024  # CPU_SETSIZE


def _read_cpu_affinity(parser: Parser) -> CpuAffinity:
    """The directive's masks, bit 0 for the first CPU."""
    words = parser.words[1:]
    auto = words[0] == "auto"
    if auto and len(words) > 2:
        raise parser.error(f'invalid number of arguments in "{parser.words[0]}" directive')
    return CpuAffinity(auto, tuple(_mask(parser, word) for word in words[auto:]))


def _mask(parser: Parser, word: str) -> int:
    if len(word) > MOST_CPUS:
        raise parser.error(f'"worker_cpu_affinity" supports up to {MOST_CPUS} CPUs only')
    digits = word.replace(" ", "")
    strange = next((char for char in reversed(digits) if char not in "01"), None)
    if strange is not None:
        raise parser.error(f'invalid character "{strange}" in "worker_cpu_affinity"')
    return int(digits or "0", 2)


CPU_AFFINITY: Final = Value(once(_read_cpu_affinity))
