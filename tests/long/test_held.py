from __future__ import annotations

import multiprocessing
import os
import socket
from multiprocessing.connection import Connection

import psutil
import pytest

from tests.long.held import served
from tests.support.process import hold

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root sees whom a worker serves")


def _serve(listening: socket.socket, ready: Connection) -> None:
    accepted = [listening.accept() for _ in range(3)]
    accepted.pop()[0].close()
    ready.send(True)
    ready.recv()  # never


def test_a_process_that_is_held_serves_whom_it_has_accepted_and_not_yet_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("fork").Process(target=_serve, args=(listening, theirs), daemon=True)
        process.start()
        try:
            clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(4)]
            assert ours.recv()
            assert process.pid is not None
            hold(psutil.Process(process.pid))
            found = [ports for ports in served(process.pid) if ports[1] == port]  # it has those of other tests, too
            assert sorted(found) == sorted((each.getsockname()[1], port) for each in clients[:2])
        finally:
            process.kill()
            process.join()
            for each in clients:
                each.close()


def test_a_process_that_has_ended_is_not_held() -> None:
    process = multiprocessing.get_context("fork").Process(target=int)
    process.start()
    assert process.pid is not None
    gone = psutil.Process(process.pid)
    process.join()
    with pytest.raises(psutil.NoSuchProcess):
        hold(gone)
