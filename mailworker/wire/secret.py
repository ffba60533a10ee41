"""Passwords, kept from being printed by accident."""

from __future__ import annotations

from hmac import compare_digest


class Secret:
    """Bytes that no repr, format or log line shows.

    False when empty. Python cannot wipe bytes in place: to forget a secret, drop the last reference to it.
    """

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """The value itself, for code that sends or checks it."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and compare_digest(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]  # a set or dict of secrets would keep them alive

    def __repr__(self) -> str:
        return "Secret(...)"
