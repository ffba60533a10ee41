"""The load against its own backend, which logs everybody in."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pytest

from mailworker.tune.load import Kind
from tests.support.patience import PATIENCE
from tests.support.ports import Ports


@contextmanager
def loading(kind: Kind, ports: Ports) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Its standard input and output; it is ready, and waits for a line."""
    numbers = [str(ports[name]) for name in ("backend", "auth", "backend")]
    command = [sys.executable, "-m", "mailworker.tune.load", kind.value, *numbers, "0.05", "2"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as load:
        assert load.stdin is not None
        assert load.stdout is not None
        try:
            assert load.stdout.readline() == b"ready\n"
            yield load.stdin, load.stdout
        finally:
            load.kill()


@pytest.mark.parametrize("kind", [Kind.LOGINS, Kind.RELAYED_BYTES])
def test_what_is_done_is_told_per_second(kind: Kind, ports: Ports) -> None:
    with loading(kind, ports) as (ours, theirs):
        began = time.monotonic()
        ours.write(b"go\n")
        ours.flush()
        assert float(theirs.readline()) > 0
        assert time.monotonic() - began >= 0.05


def test_the_auth_service_sends_everybody_to_the_backend(ports: Ports) -> None:
    with (
        loading(Kind.LOGINS, ports),
        socket.create_connection(("127.0.0.1", ports["auth"]), timeout=PATIENCE) as client,
        client.makefile("rb") as answer,
    ):
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        headers = answer.read().split(b"\r\n")
    assert headers[1:4] == [b"Auth-Status: OK", b"Auth-Server: 127.0.0.1", b"Auth-Port: %d" % ports["backend"]]
