"""An auth_http service for tests: it knows accounts, can be given other answers, and records every request."""

from __future__ import annotations

import hashlib
import hmac
import socketserver
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import unquote

from tests.support.daemon import Address
from tests.support.mailbox import Account

HEADER_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class AuthRequest:
    """A request of the proxy, byte for byte."""

    raw: bytes

    @property
    def path(self) -> str:
        return self.raw.split(b" ", 2)[1].decode()

    def header(self, name: str) -> str:
        """The unescaped value of a header, "" where it is absent or empty."""
        for line in self.raw.decode("latin-1").split("\r\n")[1:]:
            key, _, value = line.partition(": ")
            if key.lower() == name.lower():
                return unquote(value)
        return ""


Answer = Callable[[AuthRequest], bytes]


def reply(*headers: tuple[str, str]) -> bytes:
    """An HTTP response with these headers."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.0 200 OK\r\n{lines}\r\n".encode()


def accept(backend: Address, password: str | None = None, user: str | None = None) -> bytes:
    """A response that sends the client to `backend`; `password` and `user` replace those that the client gave."""
    headers = [("Auth-Status", "OK"), ("Auth-Server", backend[0]), ("Auth-Port", str(backend[1]))]
    if user is not None:
        headers.append(("Auth-User", user))
    if password is not None:
        headers.append(("Auth-Pass", password))
    return reply(*headers)


def reject(text: str = "Invalid login or password", wait: int = 0, code: str = "") -> bytes:
    """A response that refuses the login; `wait` is Auth-Wait in seconds, `code` Auth-Error-Code; 0 and "" omit them."""
    headers = [("Auth-Status", text)]
    if wait:
        headers.append(("Auth-Wait", str(wait)))
    if code:
        headers.append(("Auth-Error-Code", code))
    return reply(*headers)


class AuthService:
    """Listens on a port of 127.0.0.1 that the kernel chose, one thread for each request."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        self.requests: list[AuthRequest] = []
        self._passwords = {account.login: account.password for account in accounts}
        self._routes: dict[tuple[str, str], Address] = {}
        self._moved: dict[str, Mapping[str, Address]] = {}
        self._scripts: dict[str, Answer] = {}
        self._server = _Server(("127.0.0.1", 0), _Handler, self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def route(self, path: str, backends: Mapping[str, Address]) -> None:
        """Send logins requested at `path` to the backend of their protocol, if it is among `backends`."""
        self._routes.update({(path, protocol): backend for protocol, backend in backends.items()})

    @contextmanager
    def moved(self, login: str, backends: Mapping[str, Address]) -> Iterator[None]:
        """Meanwhile send `login` to the backends that `backends` has for its protocols, whatever the path."""
        before = self._moved.get(login, {})
        self._moved[login] = backends
        yield
        self._moved[login] = before

    def script(self, login: str, answer: Answer) -> None:
        """Let `answer` reply to all requests for `login` from now on."""
        self._scripts[login] = answer

    def forget(self, login: str) -> None:
        """Let the service itself reply to requests for `login` again."""
        self._scripts.pop(login, None)

    def requests_of(self, login: str) -> list[AuthRequest]:
        return [request for request in self.requests if request.header("Auth-User") == login]

    def backend(self, request: AuthRequest) -> Address:
        """The backend for a request: by its user, or else by its path and protocol."""
        protocol = request.header("Auth-Protocol")
        moved = self._moved.get(request.header("Auth-User"), {})
        return moved[protocol] if protocol in moved else self._routes[request.path, protocol]

    def answer(self, raw: bytes) -> bytes:
        """Record a request and reply to it."""
        request = AuthRequest(raw)
        self.requests.append(request)
        script = self._scripts.get(request.header("Auth-User"))
        return script(request) if script else self._check(request)

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _check(self, request: AuthRequest) -> bytes:
        backend = self.backend(request)
        method = request.header("Auth-Method")
        if method == "none":
            return accept(backend)
        password = self._passwords.get(request.header("Auth-User"))
        if password is None:
            return reject()
        if method == "external":
            return accept(backend, password)
        expected = _proof(method, request.header("Auth-Salt"), password)
        return accept(backend, password) if expected == request.header("Auth-Pass") else reject()


def _proof(method: str, salt: str, password: str) -> str:
    """The response of a client that knows `password`: RFC 1939 section 7 for APOP, RFC 2195 for CRAM-MD5."""
    if method == "apop":
        return hashlib.md5(f"{salt}{password}".encode()).hexdigest()
    if method == "cram-md5":
        return hmac.new(password.encode(), salt.encode(), "md5").hexdigest()
    return password


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: Address, handler: type[_Handler], service: AuthService) -> None:
        super().__init__(address, handler)
        self.service = service


class _Handler(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        raw = b""
        while HEADER_END not in raw:
            received = self.request.recv(65536)
            if not received:
                return
            raw += received
        self.request.sendall(self.server.service.answer(raw))
