"""A real nginx with its stream module: the oracle for variables, which nginx's mail module lacks."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support import nginx
from tests.support.daemon import ServerUnavailable, running
from tests.support.patience import PATIENCE

MODULE = nginx.find_module("stream")

_END = b"\x1e"  # RS, which no text of a test contains


def answers(folder: Path, block: str, texts: Sequence[str], escape: str = "none") -> list[bytes]:
    """What nginx writes to its log for each of `texts`, which use variables of the stream `block`."""
    lines = "\n".join(f'"{text}\x1e"' for text in texts)
    log = folder / "answers"
    serving = f'access_log {log} answers; return "";'
    with _serving(folder, f"{block} log_format answers escape={escape} {lines};", serving):
        pass
    *found, rest = log.read_bytes().split(_END)
    assert rest == b"\n"
    return found


def answers_to(folder: Path, block: str, text: str, clients: Sequence[bytes]) -> list[bytes]:
    """What nginx returns for `text` to each of the clients, whose addresses are sent in PROXY headers.

    It accepts as an address any text of dots, colons and hexadecimal digits.
    """
    with _serving(folder, block, f'return "{text}";', "proxy_protocol") as gate:
        return [_ask(gate, b"PROXY TCP4 %b 192.0.2.1 1 2\r\n" % client) for client in clients]


@contextmanager
def _serving(folder: Path, block: str, serving: str, *parameters: str) -> Iterator[Path]:
    """An nginx whose only server executes `serving`, at the unix socket that this yields."""
    gate = folder / "gate"
    configuration = f"""
        events {{ worker_connections 64; }}
        stream {{
            variables_hash_max_size 65536;
            map_hash_bucket_size 256;
            {block}
            server {{ listen unix:{gate} {" ".join(parameters)}; {serving} }}
        }}
    """
    command = _command(folder, configuration, "-g", "daemon off; master_process off;")
    with running(command, folder / "output", lambda: _served(gate)):
        yield gate


def _served(gate: Path) -> bool:
    """Whether nginx listens there; if so, it has served this connection."""
    try:
        _ask(gate, b"PROXY UNKNOWN\r\n")
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    return True


def _ask(gate: Path, sent: bytes) -> bytes:
    """All data received from a socket after `sent` is sent."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        client.connect(str(gate))
        with suppress(BrokenPipeError):
            client.sendall(sent)
        with suppress(ConnectionResetError), client.makefile("rb") as stream:
            return stream.read()
    return b""


def verdict(folder: Path, configuration: str) -> list[str]:
    """See `nginx.verdict`, for a configuration."""
    return nginx.verdict(folder, _command(folder, configuration, "-t"))


def _command(folder: Path, configuration: str, *switches: str) -> list[str]:
    if MODULE is None:
        raise ServerUnavailable("nginx's stream module is not installed")
    return nginx.command(folder, f"load_module {MODULE}; {configuration}", *switches)
