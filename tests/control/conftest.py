"""A control socket whose answers a test has written."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from tests.support.patience import PATIENCE

GREETING = {"mailworker": "9.9", "control": 1}

Lines = Sequence[Any]
Server = Callable[..., "ScriptedControl"]


class ScriptedControl:
    """Greets each connection with `greeting`, and gives each request the next of `answers`; ends then.

    Bytes among the lines are sent as they are; None ends the connection.
    """

    def __init__(self, path: Path, *answers: Lines, greeting: Any = GREETING) -> None:
        self.path = path
        self.requests: list[Any] = []
        self._answers = [*answers]
        self._greeting = greeting
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(os.fspath(path))
        self._listening.listen()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while self._answers:
            try:
                connected, _ = self._listening.accept()
            except OSError:
                return
            with connected, connected.makefile("rb") as requests, suppress(OSError):
                connected.settimeout(PATIENCE)
                connected.sendall(line(self._greeting))
                self._serve(connected, requests)

    def _serve(self, connected: socket.socket, requests: BinaryIO) -> None:
        while self._answers:
            text = requests.readline()
            if not text:
                return
            self.requests.append(json.loads(text))
            for each in self._answers.pop(0):
                if each is None:
                    return
                connected.sendall(each if isinstance(each, bytes) else line(each))
        requests.readline()

    def stop(self) -> None:
        self._answers.clear()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE)
        self._listening.close()


def line(words: Any) -> bytes:
    return words if isinstance(words, bytes) else json.dumps(words).encode() + b"\n"


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[Server]:
    made: list[ScriptedControl] = []

    def make(*answers: Lines, greeting: Any = GREETING) -> ScriptedControl:
        made.append(ScriptedControl(tmp_path / f"s{len(made)}", *answers, greeting=greeting))
        return made[-1]

    yield make
    for each in made:
        each.stop()
