"""Secrets, which are never printed by accident."""

from __future__ import annotations

from hmac import compare_digest


class Secret:
    """Bytes that no repr, format or log line shows; `revealed` are the bytes themselves, for sending and checking them.

    False when empty. Python cannot wipe bytes in place: to forget a secret, drop the last reference to it.
    """

    __slots__ = ("revealed",)

    def __init__(self, revealed: bytes) -> None:
        self.revealed = revealed

    def __bool__(self) -> bool:
        return bool(self.revealed)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and compare_digest(self.revealed, other.revealed)

    __hash__ = None  # type: ignore[assignment]  # a set or dict of secrets would keep them alive

    def __repr__(self) -> str:
        return "Secret(...)"
