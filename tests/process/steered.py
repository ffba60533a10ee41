"""mailworker with a control socket."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.patience import PATIENCE
from tests.support.process import BINARY, Mailworker

CTL = BINARY.with_name("mailworker-ctl")


class Steered(Mailworker):
    """One with a control socket below its folder, which is made."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "")
        self.path.parent.mkdir(mode=0o755)

    @property
    def path(self) -> Path:
        return self.folder / "control" / "c.sock"

    @property
    def block(self) -> str:
        """The control block of its configuration."""
        return f"control {{ listen unix:{self.path}; listen unix:{self.path}.ro mode=0666 readonly; }}"

    def serve(self, configuration: str, workers: int) -> None:
        """Start with `configuration`, and wait for the workers and the socket."""
        self.configure(configuration)
        self.start()
        self.await_workers(workers)
        self.await_true(self.path.exists, "the socket")

    def ask(self, command: str, path: Path | None = None, **keys: Any) -> list[Any]:
        """The lines of an answer."""
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path or self.path))
            client.settimeout(PATIENCE)
            client.sendall(json.dumps({"cmd": command, **keys}).encode() + b"\n")
            client.shutdown(socket.SHUT_WR)
            greeting, *lines = [json.loads(line) for line in client.makefile("rb")]
        assert greeting["control"] == 1
        return lines

    def last(self, command: str, **keys: Any) -> Any:
        """The last line of an answer."""
        return self.ask(command, **keys)[-1]

    def ctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Call mailworker-ctl and wait for it."""
        command = [sys.executable, str(CTL), "--socket", str(self.path), *arguments]
        return subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False, text=True)
