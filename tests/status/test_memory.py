"""Where an accept of the status process finds no memory, nothing of the client is left, and the next one is served."""

from __future__ import annotations

import gc
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from mailworker.event.loop import Loop
from mailworker.model import Address
from mailworker.native.core import accelerator
from mailworker.status.control_server import Answers, Asker, ControlServer
from mailworker.status.server import Response, Server, StatusServer, plain
from mailworker.wire.http_request import HttpRequest
from tests.support.proxy import open_descriptors
from tests.support.settings import configuration

if accelerator is None:
    pytest.skip("there is no C", allow_module_level=True)

memory = pytest.importorskip("_testcapi")

MOST = 60  # allocations of an accept, and of the greeting of the control socket


def _no_request(_request: HttpRequest, _peer: Address) -> Response:
    return plain(404)


async def _no_command(command: str, request: Mapping[str, Any], asker: Asker) -> Answers:
    yield {}


def _no_failure(error: OSError) -> None:
    raise error


def _serve_round(loop: Loop) -> None:
    loop.urgent = True  # so that the poller waits once
    loop.poller.dispatch(loop, 1.0)


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000.0)  # no other thread may get what is to fail
    gc.disable()  # nor the collector, which runs finalizers
    loop = Loop(lambda bug: None)
    yield loop
    memory.remove_mem_hooks()
    gc.enable()
    gc.collect()  # coroutines without a task, with their warnings
    loop.close()
    sys.setswitchinterval(interval)


@pytest.mark.parametrize(
    "make",
    [
        lambda loop: StatusServer(loop, _no_request, loop.on_bug),
        lambda loop: ControlServer(loop, _no_command, loop.on_bug),
    ],
    ids=["status", "control"],
)
def test_a_client_whom_there_is_no_memory_for_is_disconnected(loop: Loop, make: Callable[[Loop], Server[Any]]) -> None:
    server, failed = make(loop), 0
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        server.open([(listening, False)], configuration().events, _no_failure)
        before = open_descriptors()
        for number in range(MOST):
            with socket.create_connection(listening.getsockname()):
                memory.set_nomemory(number, number + 1)
                try:
                    _serve_round(loop)
                except MemoryError:
                    failed += 1
                finally:
                    memory.remove_mem_hooks()
            while server._connections:
                _serve_round(loop)
            assert open_descriptors() == before, number
    assert 2 < failed < MOST
