"""A file that holds a secret; see `Parser.declare_secret`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SecretFile:
    """`kind` is how messages call it, `path` is absolute."""

    kind: str
    path: str
