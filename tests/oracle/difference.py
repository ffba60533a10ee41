"""What a difference from nginx is, and the chapters of their document."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Why(Enum):
    """The chapters of the document."""

    SAFER = "Safer"
    SOUNDER = "Sounder"
    NEWER = "As in a newer nginx"
    LOG = "In the error log only"


@dataclass(frozen=True, slots=True)
class Entry:
    """One named difference; `parts` are those of a transcript in which it may show, all others are equal."""

    why: Why
    nginx: str
    mailworker: str
    reason: str
    parts: tuple[str, ...] = ("client", "auth", "backend", "log")


@dataclass(frozen=True, slots=True)
class Unseen:
    """A difference that no dialogue shows; `test` names the test that does."""

    nginx: str
    mailworker: str
    reason: str
    test: str
