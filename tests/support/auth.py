"""An auth_http service that answers from a script."""

from __future__ import annotations

from mailworker.model import Address, InetAddress
from tests.support.backend import Script, ScriptedServer
from tests.support.peer import Peer

END = b"\r\n\r\n"


def response(*headers: tuple[bytes, bytes], status: bytes = b"HTTP/1.0 200 OK") -> bytes:
    return status + b"\r\n" + b"".join(b"%b: %b\r\n" % header for header in headers) + b"\r\n"


def accepted(backend: Address, *headers: tuple[bytes, bytes]) -> bytes:
    """A response that sends the client to `backend`."""
    if isinstance(backend, InetAddress):
        server = (b"Auth-Server", backend.host.encode()), (b"Auth-Port", b"%d" % backend.port)
    else:
        server = (b"Auth-Server", str(backend).encode()), (b"Auth-Port", b"1")
    return response((b"Auth-Status", b"OK"), *server, *headers)


def rejected(text: bytes, *headers: tuple[bytes, bytes]) -> bytes:
    return response((b"Auth-Status", text), *headers)


def wait(seconds: bytes, *headers: tuple[bytes, bytes]) -> bytes:
    return response((b"Auth-Status", b"WAIT"), (b"Auth-Wait", seconds), *headers)


class AuthService(ScriptedServer):
    """Gives its `answers` one after the other, the last one for ever; `requests` are the requests received."""

    def __init__(self, *answers: bytes | Script) -> None:
        self._answers = list(answers)
        self.requests: list[bytes] = []
        super().__init__(self._answer)

    def prepare(self, *answers: bytes | Script) -> None:
        """Replace the remaining answers."""
        self._answers[:] = answers

    def header(self, name: bytes, number: int = -1) -> bytes | None:
        """The value of a header in the request of this number, None where it is absent."""
        for line in self.requests[number].split(b"\r\n"):
            key, colon, value = line.partition(b": ")
            if colon and key == name:
                return value
        return None

    def _answer(self, peer: Peer) -> None:
        self.requests.append(peer.until(END))
        answer = self._answers[0] if len(self._answers) == 1 else self._answers.pop(0)
        if isinstance(answer, bytes):
            peer.send(answer)
        else:
            answer(peer)
