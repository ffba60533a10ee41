"""The auth service and the backends behind the proxy: they answer by the script of a case and record what they get."""

from __future__ import annotations

import re
import socketserver
import threading
from collections.abc import Callable, Sequence
from secrets import token_hex

from tests.oracle import addresses
from tests.oracle.case import Act, Answer, AtEnd, Case, Held
from tests.oracle.configuration import SERVERS
from tests.oracle.transcript import Transcript, shown

_CLIENT_IP = re.compile(rb"\r\nClient-IP: (\S+)\r\n")
_LITERAL = re.compile(rb"\{([0-9]+)(\+?)\}\r\n\Z")

_GREETINGS = {"imap": b"* OK backend ready\r\n", "pop3": b"+OK backend ready\r\n", "smtp": b"220 backend ESMTP\r\n"}
_POP3_REPLIES = {b"AUTH PLAIN\r\n": b"+ \r\n", b"CAPA\r\n": b"-ERR\r\n"}
_SMTP_GREETING = re.compile(rb"220[ -].*\r\n", re.DOTALL)
_SMTP_REPLIES = {
    b"EHLO": b"250-backend\r\n250 XCLIENT ADDR NAME LOGIN\r\n",
    b"XCLI": b"220 backend ESMTP again\r\n",
    b"AUTH": b"235 2.7.0 welcome\r\n",
    b"DATA": b"354 go ahead\r\n",
}


class Scripts:
    """The cases of one run and their transcripts, by the numbers that their addresses are made of."""

    def __init__(self, cases: Sequence[tuple[int, Case]]) -> None:
        self.cases = dict(cases)
        self.transcripts = {number: Transcript() for number, _ in cases}
        self.ports: dict[str, int] = {}

    def translate(self, number: int, text: bytes) -> bytes:
        """Put a case's own addresses for its placeholders."""
        values = {
            "$server": addresses.backend(number),
            "$port": str(self.ports["backend"]),
            "$closed": str(self.ports["closed"]),
            "$client": addresses.client(number),
            "$real6": addresses.pretended_v6(number),
            "$real": addresses.pretended(number),
        }
        for name, value in values.items():
            text = text.replace(name.encode(), value.encode())
        return text


class Service:
    """A TCP server with a thread for each connection; `stop` waits for all of them."""

    def __init__(self, address: tuple[str, int], serve: Callable[[socketserver.StreamRequestHandler], None]) -> None:
        handler = type("Handler", (socketserver.StreamRequestHandler,), {"handle": serve})
        self._server = socketserver.ThreadingTCPServer(address, handler, bind_and_activate=False)
        self._server.daemon_threads = False
        self._server.request_queue_size = 256
        self._server.allow_reuse_address = True
        self._server.server_bind()
        self._server.server_activate()
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def auth_service(scripts: Scripts, port: int) -> Service:
    def serve(handler: socketserver.StreamRequestHandler) -> None:
        request = b""
        while not request.endswith(b"\r\n\r\n") and (received := handler.rfile.readline()):
            request += received
        match = _CLIENT_IP.search(request)
        if match is None:
            return  # somebody looks whether the service is there
        number = addresses.number(match[1].decode())
        lines = scripts.transcripts[number].auth
        asked = sum(line.startswith("< GET") for line in lines)
        lines.extend(f"< {shown(line)}" for line in request.splitlines(keepends=True))
        answers = scripts.cases[number].auth
        _give(handler, scripts.translate, number, answers[min(asked, len(answers) - 1)])

    return Service(("127.0.0.1", port), serve)


def backend(scripts: Scripts, port: int) -> Service:
    def serve(handler: socketserver.StreamRequestHandler) -> None:
        number = addresses.number(handler.connection.getsockname()[0])
        _Backend(scripts, number, handler).run()

    return Service(("0.0.0.0", port), serve)


class Replies:
    """What a healthy backend answers; `literal` is how many bytes of an IMAP literal come before the next line ends."""

    def __init__(self, protocol: str) -> None:
        self._protocol = protocol
        self._tag = b""
        self.literal: int | None = None

    def greet(self, greeting: Answer | None) -> Answer:
        """A greeting, None for the usual one; no SMTP backend repeats it, as mailworker would send XCLIENT at once."""
        if greeting is None:
            greeting = _GREETINGS[self._protocol]
        if self._protocol != "smtp" or not isinstance(greeting, bytes) or not _SMTP_GREETING.fullmatch(greeting):
            return greeting
        return b"%b %b\r\n" % (greeting[:-2], token_hex(8).encode())

    def to(self, command: bytes) -> bytes:
        """The reply to a command: a line, or the rest of a literal's line; nothing where the client does not wait."""
        if self._protocol == "pop3":
            return _POP3_REPLIES.get(command, b"+OK\r\n")
        if self._protocol == "smtp":
            return _SMTP_REPLIES.get(command[:4].upper(), b"250 2.0.0 Ok\r\n")
        match = _LITERAL.search(command)
        self.literal = int(match[1]) if match else None
        self._tag = self._tag or command.split(b" ")[0]
        if match:
            return b"" if match[2] else b"+ go on\r\n"
        if command.endswith(b" AUTHENTICATE PLAIN\r\n"):
            return b"+ \r\n"
        tag, self._tag = self._tag, b""
        return tag + b" OK done\r\n"


class _Backend:
    """One connection to a backend."""

    def __init__(self, scripts: Scripts, number: int, handler: socketserver.StreamRequestHandler) -> None:
        self._scripts = scripts
        self._number = number
        self._handler = handler
        self._case = scripts.cases[number]
        self._lines = scripts.transcripts[number].backend
        self._input = handler.rfile
        self._replies = Replies(self._case.protocol)

    def run(self) -> None:
        self._lines.append("= connected")
        command = self._read() if "proxy_protocol on" in SERVERS[self._case.server].directives else b""
        if command:
            self._record(command)
        script = list(self._case.backend)
        script[:1] = [self._replies.greet(script[0] if script else None)]
        go_on = self._answer(script, b"")
        while go_on and (command := self._read()):
            self._record(command)
            go_on = self._answer(script, self._replies.to(command))
        self._lines.append("= closed")

    def _read(self) -> bytes:
        try:
            return self._input.read(self._replies.literal or 0) + self._input.readline()
        except ConnectionResetError:
            return b""

    def _record(self, command: bytes) -> None:
        self._lines.append(f"< {shown(command)}")

    def _answer(self, script: list[Answer | None], default: bytes) -> bool:
        answer = script.pop(0) if script else None
        return _give(self._handler, self._scripts.translate, self._number, default if answer is None else answer)


def _give(
    handler: socketserver.StreamRequestHandler,
    translate: Callable[[int, bytes], bytes],
    number: int,
    answer: Answer,
) -> bool:
    """Answer; whether the connection is to go on."""
    if isinstance(answer, Act):
        if answer is Act.KEEP_SILENT:
            handler.rfile.read()
        return False
    hold = isinstance(answer, Held)
    if isinstance(answer, AtEnd):
        handler.rfile.read()
    if isinstance(answer, AtEnd | Held):
        answer = answer.data
    try:
        handler.wfile.write(translate(number, answer))
    except (BrokenPipeError, ConnectionResetError):
        return False
    if hold:
        handler.rfile.read()
    return True
