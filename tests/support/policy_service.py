"""A policy service that speaks weakforced's JSON over HTTP, and gives the answers of a test."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tests.support.backend import ScriptedServer
from tests.support.patience import PATIENCE
from tests.support.peer import Peer

# The fields that weakforced demands for each command (wforce_api).
_REQUIRED: Mapping[str, Mapping[str, type]] = {
    "allow": {"login": str, "pwhash": str, "remote": str},
    "report": {"login": str, "pwhash": str, "remote": str, "success": bool},
}
_OPTIONAL: Mapping[str, type] = {
    **{"protocol": str, "tls": bool, "device_id": str, "attrs": dict, "session_id": str},
    **{"policy_reject": bool, "fail_type": str},
}


class Asked(NamedTuple):
    command: str
    fields: dict[str, Any]
    head: bytes
    connection: int


Say = Callable[[str, dict[str, Any]], Any]
"""Answers a command with its fields: an object for JSON, or the bytes of a whole response."""


def response(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    lines = b"".join(b"%b\r\n" % header for header in headers)
    return b"HTTP/1.1 %b\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n%b" % (
        status, lines, len(body), body
    )  # fmt: skip


def permit(command: str, _: dict[str, Any]) -> Any:
    """The answer of weakforced to a login that it permits."""
    return {"status": 0, "msg": "", "r_attrs": {}} if command == "allow" else {"status": "ok"}


class PolicyService(ScriptedServer):
    """`asked` are the requests received; connections stay open, as those of weakforced do."""

    def __init__(self, say: Say = permit) -> None:
        self.asked: list[Asked] = []
        self.say = say
        self._changed = threading.Condition()
        super().__init__(self._serve)

    def commands(self, count: int) -> list[str]:
        """The commands received, once there are so many."""
        return [asked.command for asked in self.wait(count)]

    def wait(self, count: int) -> list[Asked]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.asked) >= count, PATIENCE), self.asked
            return list(self.asked)

    def _serve(self, peer: Peer) -> None:
        number = self.peers.index(peer)
        while head := peer.until(b"\r\n\r\n"):
            length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:"))
            fields = json.loads(peer.skip(length))
            method, target, version = head.split(b"\r\n")[0].decode().split(" ")
            command = target.rpartition("command=")[2]
            assert (method, version) == ("POST", "HTTP/1.1")
            for name, kind in _REQUIRED[command].items():
                assert isinstance(fields[name], kind), name
            for name in fields.keys() - _REQUIRED[command].keys():
                assert isinstance(fields[name], _OPTIONAL[name]), name
            with self._changed:
                self.asked.append(Asked(command, fields, head, number))
                self._changed.notify_all()
            said = self.say(command, fields)
            if callable(said):
                said(peer)
                return
            peer.send(said if isinstance(said, bytes) else response(json.dumps(said).encode()))
