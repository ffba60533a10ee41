"""The client of a case: sends its steps, reads as many replies as the protocol gives to each."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

from tests.oracle.case import Act, Case, Send
from tests.oracle.transcript import shown
from tests.support.daemon import Address

# Seconds after which a proxy that says nothing is taken to say nothing for ever.
SILENCE = 4.0

PROBE = {"imap": b"probe NOOP\r\n", "pop3": b"NOOP\r\n", "smtp": b"NOOP\r\n"}


class Over(Exception):
    """The dialogue ended before its script; the text says how."""


class Client:
    """Plays one case and keeps what was said in `lines`.

    `translate` replaces a case's placeholders. After the script a NOOP shows whether the session goes on and that
    nothing was said in addition.
    """

    def __init__(self, source: str, address: Address, tls: ssl.SSLContext, translate: Callable[[bytes], bytes]) -> None:
        self.lines: list[str] = []
        self._socket: socket.socket = socket.create_connection(address, SILENCE, (source, 0))
        self._tls = tls
        self._translate = translate
        self._input = b""
        self._greeted = False

    def play(self, case: Case, *, greets: bool, secure: bool) -> None:
        try:
            if secure:
                self._shake_hands()
            if greets:
                self._read_reply(case.protocol)
            for step in case.client:
                self._do(step, case.protocol)
            self._do(Send(PROBE[case.protocol]), case.protocol)
        except Over as end:
            self.lines.append(f"= {end}")
        finally:
            with suppress(OSError):
                self._socket.close()

    def _do(self, step: Send | Act, protocol: str) -> None:
        if isinstance(step, Send):
            data = self._translate(step.data)
            self.lines.append(f"> {shown(data)}")
            self._send(data)
            for _ in range(step.replies):
                self._read_reply(protocol)
        elif step is Act.SHAKE_HANDS:
            self._shake_hands()
        else:
            if step is Act.END:
                self.lines.append("= end")
                self._socket.shutdown(socket.SHUT_WR)
            while True:
                self._read_line()

    def _shake_hands(self) -> None:
        if self._input:
            raise Over(f"plaintext {shown(self._input)} before the handshake")
        try:
            self._socket = self._tls.wrap_socket(self._socket, suppress_ragged_eofs=False)
        except ssl.SSLCertVerificationError:
            raise  # a fault of the test's own certificate, which nothing is to be compared with
        except ssl.SSLError as error:
            raise Over(f"no handshake: {error.reason}") from None
        except OSError:
            raise Over("no handshake") from None
        self.lines.append("= TLS")

    def _send(self, data: bytes) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # what was said before it closed is still to be read
            self._socket.sendall(data)

    def _read_reply(self, protocol: str) -> None:
        complete = {"imap": self._is_imap_end, "pop3": self._is_pop3_end, "smtp": self._is_smtp_end}[protocol]
        first = line = self._read_line()
        while not complete(line, first):
            line = self._read_line()
        self._greeted = True

    def _is_imap_end(self, line: bytes, _first: bytes) -> bool:
        return not self._greeted or not line.startswith(b"* ") or line.startswith(b"* BAD")

    def _is_pop3_end(self, line: bytes, first: bytes) -> bool:
        many = first.startswith((b"+OK Capability list", b"+OK methods"))
        return line == b".\r\n" if many else True

    def _is_smtp_end(self, line: bytes, _first: bytes) -> bool:
        return line[3:4] != b"-"

    def _read_line(self) -> bytes:
        while b"\n" not in self._input:
            received, end = self._receive()
            self._input += received
            if end:
                if self._input:
                    self.lines.append(f"< {shown(self._input)}")
                raise Over(end)
        line, newline, self._input = self._input.partition(b"\n")
        self.lines.append(f"< {shown(line + newline)}")
        return line + newline

    def _receive(self) -> tuple[bytes, str]:
        """What has come, and how the connection ended, "" if it did not."""
        try:
            received = self._socket.recv(65536)
        except TimeoutError:
            return b"", "silence"
        except ssl.SSLEOFError:
            return b"", "closed without a goodbye"
        except OSError:
            return b"", "closed"
        return received, "" if received else "closed"
