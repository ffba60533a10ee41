"""Selecting sessions, and showing them on the control socket."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Final

from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.model import unmapped
from mailworker.shm.session_row import SessionRow, State
from mailworker.wire import control_request as request
from mailworker.wire.control_request import Mask, Read

_UNIX: Final = "unix:"


def shown(session: SessionRow) -> dict[str, Any]:
    """A session for clients; ages are in seconds."""
    client = f"[{session.client}]" if ":" in session.client.removeprefix(_UNIX) else session.client
    return {
        "id": session.id,
        "user": session.user,
        "proto": session.protocol,
        "client": f"{client}:{session.client_port}" if session.client_port else client,
        "server": session.server,
        "upstream": session.backend,
        "state": session.state.word,
        "age": session.age,
        "idle": session.idle,
        "in": session.received,
        "out": session.sent,
        **({"foreign": True} if session.foreign else {}),
    }


SELECTORS: Final[Mapping[str, Read]] = {
    "user": request.mask,
    "address": request.network,
    "upstream": request.text,
    "protocol": request.one_of({name: name for name in PROTOCOLS}),
    "server": request.text,
    "state": request.one_of({state.word: state.word for state in State}),
    "older": request.whole(0, 1 << 31),
    "id": request.text,
}
"""The keys of a request that select sessions."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The sessions for which all `tests` hold."""

    tests: tuple[Callable[[SessionRow], bool], ...]

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Selection:
        """The selection by the keys of a request."""
        return cls(tuple(_TESTS[key](found[key]) for key in SELECTORS if key in found))

    def __bool__(self) -> bool:
        return bool(self.tests)

    def selects(self, session: SessionRow) -> bool:
        """Whether the session is selected."""
        return all(test(session) for test in self.tests)


def is_logged_in(session: SessionRow) -> bool:
    """Whether the client has logged in; before that, it may have sent any name."""
    return session.state is State.RELAY


def _by_user(mask: Mask) -> Callable[[SessionRow], bool]:
    whole = str(mask).encode()

    def test(session: SessionRow) -> bool:
        if session.shortened:
            return session.is_of(whole) or ("*" in str(mask) and mask.fits(session.user))
        return bool(session.name) and mask.fits(session.name.decode(errors="surrogateescape"))

    return test


def _by_address(network: IPv4Network | IPv6Network | str) -> Callable[[SessionRow], bool]:
    if isinstance(network, str):
        return lambda session: session.client == network
    return lambda session: session.client != _UNIX and unmapped(session.client) in network


def _by_backend(name: str) -> Callable[[SessionRow], bool]:
    if name == _UNIX:
        return lambda session: session.backend is not None and session.backend.startswith(_UNIX)
    if name.startswith(_UNIX):
        path = name.removeprefix(_UNIX).encode()
        return lambda session: session.backend == name or session.is_at(path)
    host = name.removeprefix("[").removesuffix("]")
    return lambda session: session.backend is not None and (session.backend == name or _host(session.backend) == host)


def _host(address: str) -> str:
    """An address without its port and brackets; that of a UNIX socket has none."""
    return address if address.startswith(_UNIX) else address.rpartition(":")[0].removeprefix("[").removesuffix("]")


_TESTS: Final[Mapping[str, Callable[[Any], Callable[[SessionRow], bool]]]] = {
    "user": _by_user,
    "address": _by_address,
    "upstream": _by_backend,
    "protocol": lambda word: lambda session: session.protocol == word,
    "server": lambda word: lambda session: session.server == word,
    "state": lambda word: lambda session: session.state.word == word,
    "older": lambda seconds: lambda session: session.age >= seconds,
    "id": lambda word: lambda session: session.id == word,
}
