"""The types and functions of `event/` in C; those in Python have the types and say what they mean."""

from typing import Any

def use_tls(address: int, /) -> None:
    """Where the transport of TLS is, for streams and sides that have a TLS connection."""

def __getattr__(name: str) -> Any: ...
