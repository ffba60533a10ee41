"""Sessions as the session table gives them."""

from __future__ import annotations

from typing import Any

from mailworker.shm.session_row import SHORTENED, SessionRow, State, keep, keep_path


def session(
    number: int = 0, user: str = "bob@example.com", protocol: str = "imap", *, path: str = "", **other: Any
) -> SessionRow:
    """A session of worker 2; `path` is that of a backend that is a unix socket, `other` are fields of its row."""
    length, name = keep(user.encode())
    row = SessionRow(
        worker=2,
        number=number,
        id=f"id{number}",
        foreign=False,
        state=State.RELAY,
        server="in",
        protocol=protocol,
        client="192.0.2.1",
        client_port=4711,
        backend="198.51.100.1:143",
        user=user,
        shortened=length == SHORTENED,
        age=60,
        login_age=50,
        idle=5,
        received=100,
        sent=200,
        name=name,
        socket=keep_path(path.encode()) if path else b"",
    )
    return row._replace(**other)
