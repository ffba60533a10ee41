"""Every case has its own addresses, so that whoever sees one of them knows the case.

The client connects from its own address of 127.0.0.0/8 and the backend is reached at another. Behind a balancer
the client pretends to be at a third, IPv4 or IPv6.
"""

from __future__ import annotations

from ipaddress import ip_address

_PER_NET = 250


def client(number: int) -> str:
    return f"127.0.{_low(number)}"


def backend(number: int) -> str:
    return f"127.1.{_low(number)}"


def pretended(number: int) -> str:
    return f"10.0.{_low(number)}"


def pretended_v6(number: int) -> str:
    third, fourth = _low(number).split(".")
    return f"2001:db8::{int(third) << 8 | int(fourth):x}"


def number(address: str) -> int:
    """The case whose address it is."""
    third, fourth = ip_address(address).packed[-2:]
    return (third - 1) * _PER_NET + fourth - 1


def _low(number: int) -> str:
    return f"{number // _PER_NET + 1}.{number % _PER_NET + 1}"
