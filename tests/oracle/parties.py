"""The parties of one dialogue, moved by one thread: nothing here waits."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress

from tests.oracle.case import Answer
from tests.oracle.services import Replies
from tests.support.patience import PATIENCE


class Party:
    """One connection, and what has come on it since it was last looked at."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.received = b""
        self.over = False
        self.told_over = False
        connection.setblocking(False)
        if connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def pump(self) -> bytes:
        """Read all that is there; an end sets `over`."""
        pumped = b""
        while not self.over:
            self._acknowledge()
            try:
                data = self.connection.recv(65536)
            except (BlockingIOError, ssl.SSLWantReadError):
                break
            except OSError:
                data = b""
            pumped += data
            self.over = not data
        self.received += pumped
        return pumped

    def _acknowledge(self) -> None:
        """At once, as the proxy's kernel may wait for it with what else there is to send (RFC 1122, 4.2.3.2 and 4)."""
        if self.connection.family != socket.AF_UNIX:
            with suppress(OSError):
                self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def send(self, data: bytes) -> None:
        with suppress(OSError):  # it is closed, which reading will tell
            self.connection.sendall(data)

    def close(self) -> None:
        self.over = True
        self.connection.close()


class Client(Party):
    """The proxy's client, in clear or over TLS."""

    def shake_hands(self, context: ssl.SSLContext) -> str:
        """Begin TLS; says how that went. A certificate that we take for bad is a fault of the test's, and raised."""
        self.connection.settimeout(PATIENCE)
        try:
            self.connection = context.wrap_socket(self.connection)
        except ssl.SSLCertVerificationError:
            raise
        except OSError as error:
            self.over = True
            return f"no handshake: {getattr(error, 'reason', None)}"
        self.connection.setblocking(False)
        return "TLS"

    def end(self) -> None:
        """Send nothing more."""
        with suppress(OSError):
            socket.socket.shutdown(self.connection, socket.SHUT_WR)  # an SSLSocket would forget its keys


class Control(Party):
    """A connection that shows that the proxy's worker has seen what others have sent before."""

    def round_trip(self) -> None:
        self.send(b"NOOP\r\n")
        while not self.pump().endswith(b"\r\n"):
            if self.over or not select.select([self.connection], [], [], PATIENCE)[0]:
                raise AssertionError("the proxy is gone")


class AuthService(Party):
    """Reads one request."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(connection)
        self._request = b""

    def is_asked(self, pumped: bytes) -> bool:
        """Whether this is what was missing of a whole request."""
        before, self._request = self._request, self._request + pumped
        return b"\r\n\r\n" in self._request and b"\r\n\r\n" not in before


class Backend(Party):
    """Gives the n-th of the script's answers to the n-th command, and a healthy server's behind the last.

    The first answer is the greeting; with `headed` a line comes before it (`proxy_protocol`). A CAPA that comes next is
    refused, and not told: mailworker asks a POP3 backend whose greeting it knows, and nginx does not.
    """

    def __init__(
        self, connection: socket.socket, protocol: str, script: Sequence[Answer | None], *, headed: bool
    ) -> None:
        super().__init__(connection)
        self._script = list(script)
        self._replies = Replies(protocol)
        self._input = b""
        self._greets = True
        self._asks = False
        self._headed = headed

    def answers(self, pumped: bytes) -> list[Answer]:
        """What is to be answered to what has come."""
        self._input += pumped
        answers: list[Answer] = []
        while (command := self._take()) is not None:
            if self._is_asked(command):
                answers.append(b"-ERR\r\n")
                continue
            self._asks = self._greets
            answer = self._script.pop(0) if self._script else None
            if self._greets:
                answer, self._greets = self._replies.greet(answer), False
            answers.append(self._replies.to(command) if answer is None else answer)
        return answers

    def _is_asked(self, command: bytes) -> bool:
        """Whether it is a CAPA right after the greeting; no client gets to send one then."""
        if not self._asks or command != b"CAPA\r\n":
            return False
        self.received = self.received.replace(command, b"", 1)
        return True

    def _take(self) -> bytes | None:
        if self._greets and not self._headed:
            return b""
        end = self._input.find(b"\n", self._replies.literal or 0) + 1
        if not end:
            return None
        command, self._input = self._input[:end], self._input[end:]
        return command
