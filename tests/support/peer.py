"""One end of a connection in a test: it reads what it expects, and records every byte."""

from __future__ import annotations

import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from select import select

from tests.support.patience import PATIENCE

_PIECE = 65536
_DATA_SEGMENTS = 152  # the offset of tcpi_data_segs_in in Linux's struct tcp_info
_WAITING = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Peer:
    """One that sends and receives, by TLS too."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._socket.settimeout(PATIENCE)
        self._unread = bytearray()
        self._received = bytearray()
        self.cut = False  # whether TLS ended without a close_notify

    @classmethod
    def connect(cls, address: tuple[str, int], receive_buffer: int | None = None, source: str = "") -> Peer:
        """A new connection, from `source` if that is given; `receive_buffer` in bytes makes it a slow reader."""
        connecting = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        if receive_buffer is not None:
            connecting.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connecting.settimeout(PATIENCE)
        try:
            if source:
                connecting.bind((source, 0))
            connecting.connect(address)
            connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            connecting.close()
            raise
        return cls(connecting)

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._socket.getsockname()[:2]
        return host, port

    @property
    def received(self) -> bytes:
        """All bytes received, with TLS in clear."""
        return bytes(self._received)

    @property
    def unread(self) -> int:
        """The number of received bytes that have not been asked for."""
        return len(self._unread)

    @property
    def segments(self) -> int:
        """The number of segments with data that have come, whether or not they have been read."""
        info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _DATA_SEGMENTS + 4)
        return int.from_bytes(info[_DATA_SEGMENTS:], sys.byteorder)

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def send_slowly(self, data: bytes) -> None:
        """Send each byte in a segment of its own."""
        for i in range(len(data)):
            self.send(data[i : i + 1])

    def expect(self, data: bytes) -> None:
        """Assert that exactly `data` comes next."""
        heard = self.skip(len(data))
        assert heard == data, f"{heard!r} instead of {data!r}"

    def skip(self, length: int) -> bytes:
        """The next `length` bytes, or fewer where the other side closes before that."""
        while len(self._unread) < length and self._receive():
            pass
        return self._take(length)

    def until(self, end: bytes) -> bytes:
        """The bytes up to and including `end`, or fewer where the other side closes before that."""
        while end not in self._unread and self._receive():
            pass
        found = self._unread.find(end)
        return self._take(len(self._unread) if found < 0 else found + len(end))

    def line(self) -> bytes:
        """The next line with its end; b"" where there is none."""
        return self.until(b"\n")

    def one_line(self) -> bytes:
        """A line, without reading any byte after it, which may be TLS."""
        line = b""
        while not line.endswith(b"\n"):
            line += self._socket.recv(1)
        return line

    def rest(self) -> bytes:
        """All bytes until the other side closes or resets."""
        while self._receive():
            pass
        return self._take(len(self._unread))

    def is_silent(self, seconds: float = 0.05) -> bool:
        """Whether nothing comes for a while, not even the end."""
        self._socket.settimeout(seconds)
        try:
            self._receive()
        except TimeoutError:
            return not self._unread
        else:
            return False
        finally:
            self._socket.settimeout(PATIENCE)

    def talk(self, *turns: tuple[bytes, bytes]) -> None:
        """Send each text, and expect the answer beside it."""
        for said, heard in turns:
            self.send(said)
            self.expect(heard)

    def exchange(self, data: bytes, length: int, pause: float = 0.0) -> bytes:
        """Send `data` and receive `length` bytes at the same time, with a pause in seconds after each read."""
        received = bytearray()

        def take(piece: bytes) -> None:
            received.extend(piece)
            time.sleep(pause)

        self.stream((data[start : start + _PIECE] for start in range(0, len(data), _PIECE)), length, take)
        return bytes(received)

    def stream(self, pieces: Iterator[bytes], length: int, take: Callable[[bytes], None], most: int = _PIECE) -> None:
        """Send `pieces`, and pass the next `length` bytes to `take`, at most `most` at once, both at the same time."""
        unsent = next(pieces, b"")
        if early := self._take(length):
            length -= len(early)
            take(early)
        self._socket.setblocking(False)
        try:
            while unsent or length:
                select([self._socket] if length else [], [self._socket] if unsent else [], [], PATIENCE)
                with suppress(*_WAITING):
                    if unsent:
                        unsent = unsent[self._socket.send(unsent) :] or next(pieces, b"")
                with suppress(*_WAITING):
                    while length:  # up to the end of the decrypted data, which select() does not see
                        piece = self._socket.recv(min(most, length))
                        assert piece, "the other side has closed"
                        length -= len(piece)
                        take(piece)
        finally:
            self._socket.settimeout(PATIENCE)

    def send_what_fits(self, data: bytes, seconds: float) -> int:
        """Send `data` repeatedly until nothing has been taken for this time; returns the number of bytes taken."""
        sent = 0
        self._socket.setblocking(False)
        while select([], [self._socket], [], seconds)[1]:
            sent += self._socket.send(data)
        self._socket.settimeout(PATIENCE)
        return sent

    def start_tls(self, context: ssl.SSLContext) -> None:
        assert not self._unread
        self._socket = context.wrap_socket(self._socket, server_hostname="mail.example.com", suppress_ragged_eofs=False)

    def serve_tls(self, context: ssl.SSLContext) -> ssl.SSLSocket:
        """Shake hands as the server."""
        assert not self._unread
        self._socket = encrypted = context.wrap_socket(self._socket, server_side=True)
        return encrypted

    def end(self) -> None:
        """End our side with a FIN, unless the other side has already reset the connection."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._socket.close()

    def reset(self) -> None:
        """Close with a RST."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def give_up(self) -> None:
        """From another thread, let a read here find the end."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _receive(self) -> bool:
        try:
            data = self._socket.recv(_PIECE)
        except ConnectionResetError:
            return False
        except (ssl.SSLEOFError, BrokenPipeError):  # OpenSSL 3.6 answers by an alert, and nobody takes it
            self.cut = True
            return False
        self._unread += data
        self._received += data
        return bool(data)

    def _take(self, length: int) -> bytes:
        taken = bytes(self._unread[:length])
        del self._unread[:length]
        return taken
