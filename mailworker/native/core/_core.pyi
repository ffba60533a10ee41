"""The types and functions of `event/` in C; their counterparts in Python have the type hints and docstrings."""

from typing import Any

def use_tls(address: int, /) -> None:
    """Set the address of the TLS transport, for streams and sides that have a TLS connection."""

def __getattr__(name: str) -> Any: ...
