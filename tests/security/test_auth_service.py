"""Rows 16 to 18 and 22: only a clear yes of the auth service opens the door, and its faults cost nobody else."""

from __future__ import annotations

import io
import time
from base64 import b64encode
from http.client import parse_headers
from itertools import cycle, islice
from urllib.parse import unquote_to_bytes

import pytest

from tests.security.speech import SPEECHES, Speech
from tests.security.stage import WAYS, Stage, of_each
from tests.support.auth import response
from tests.support.backend import Script
from tests.support.daemon import wait_until
from tests.support.fault_proxy import Ending, Fault, Faults, always, cut, drip
from tests.support.peer import Peer

HEADERS = {
    *("Host", "Auth-Method", "Auth-User", "Auth-Pass", "Auth-Protocol", "Auth-Login-Attempt", "Client-IP"),
    *("Client-Host", "Auth-SSL", "Auth-SSL-Protocol", "Auth-SSL-Cipher", "Auth-SSL-Server-Name"),
}
OK = (b"Auth-Status", b"OK")
SERVER, PORT = (b"Auth-Server", b"127.0.0.1"), (b"Auth-Port", b"@")  # "@" is the backend's port
CODE = (b"Auth-Error-Code", b"235 2.7.0")

# Answers that let the client in, those that turn it away, and those that are an error of the service.
YES = {
    "OK": response(OK, SERVER, PORT),
    "204": response(OK, SERVER, PORT, status=b"HTTP/1.1 204 No Content"),
    "a body": response(OK, SERVER, PORT) + b"Auth-Status: no\r\n\r\n",
    "another user and password": response(OK, SERVER, PORT, (b"Auth-User", b"other"), (b"Auth-Pass", b"x y%")),
}
NO = {
    "no": response((b"Auth-Status", b"no way")),
    "no, with a backend": response((b"Auth-Status", b"no way"), SERVER, PORT),
    "no, with 401": response((b"Auth-Status", b"no way"), SERVER, PORT, status=b"HTTP/1.1 401 Unauthorized"),
    "no, with 403": response((b"Auth-Status", b"no way"), status=b"HTTP/1.0 403 Forbidden"),
    "no, with 403, then OK": response((b"Auth-Status", b"no way"), OK, SERVER, PORT, status=b"HTTP/1.0 403 Forbidden"),
    "no, then OK": response((b"Auth-Status", b"no way"), OK, SERVER, PORT),
    "OK, then no": response(OK, SERVER, PORT, (b"Auth-Status", b"no way")),
    "no, with a code of success": response((b"Auth-Status", b"no way"), CODE),
}
ERRORS = {
    "500 and OK": response(OK, SERVER, PORT, status=b"HTTP/1.0 500 Oops"),
    "401 and OK": response(OK, SERVER, PORT, status=b"HTTP/1.1 401 Unauthorized"),
    "403 and OK twice": response(OK, OK, SERVER, PORT, status=b"HTTP/1.0 403 Forbidden"),
    "403 and nothing": response(SERVER, PORT, status=b"HTTP/1.0 403 Forbidden"),
    "302 and OK": response(OK, SERVER, PORT, status=b"HTTP/1.0 302 Found"),
    "100 and OK": response(OK, SERVER, PORT, status=b"HTTP/1.1 100 Continue"),
    "no status line": response(OK, SERVER, PORT).partition(b"\r\n")[2],
    "no Auth-Status": response(SERVER, PORT),
    "an empty Auth-Status": response((b"Auth-Status", b""), SERVER, PORT),
    "an underscore": response((b"Auth_Status", b"OK"), SERVER, PORT),
    "no server": response(OK, PORT),
    "no port": response(OK, SERVER),
    "a host name": response(OK, (b"Auth-Server", b"localhost"), PORT),
    "port 0": response(OK, SERVER, (b"Auth-Port", b"0")),
    "port 84737": response(OK, SERVER, (b"Auth-Port", b"84737")),
    "a port past counting": response(OK, SERVER, (b"Auth-Port", b"9" * 5000)),
    "more than fits": response(OK, SERVER, PORT, (b"X-Long", b"x" * 40_000)),
    "garbage": bytes(range(256)) * 8 + b"\r\n\r\n",
    "CR in the user": response(OK, SERVER, PORT, (b"Auth-User", b"a\rb")),
    "NUL in the user": response(OK, SERVER, PORT, (b"Auth-User", b"a\0b")),
    "CR in the password": response(OK, SERVER, PORT, (b"Auth-Pass", b"a\rb")),
    "NUL in the password": response(OK, SERVER, PORT, (b"Auth-Pass", b"a\0b")),
}


ANSWERS = [
    pytest.param(answer, outcome, id=name)
    for outcome, answers in (("yes", YES), ("no", NO), ("error", ERRORS))
    for name, answer in answers.items()
]


@pytest.mark.parametrize(("answer", "outcome"), ANSWERS)
@of_each
def test_only_a_clear_yes_lets_a_client_in(stage: Stage, speech: Speech, answer: bytes, outcome: str) -> None:
    answer = answer.replace(b"@", b"%d" % stage.backends[speech.name].address.port)
    heard = {"yes": speech.welcome, "no": speech.rejection(b"no way"), "error": speech.internal}[outcome]
    for way in WAYS:
        since = len(stage.backends[speech.name].peers)
        stage.answer = _slow(answer) if way.slowly else answer
        client = stage.greeted(speech, tls=way.tls)
        client.send(speech.login)
        assert client.line() == heard, way
        if outcome == "yes":
            stage.backends[speech.name].peer(since)
        assert len(stage.backends[speech.name].peers) == since + (outcome == "yes")


def _slow(answer: bytes) -> Script:
    """One byte per segment; what comes late may meet a proxy that has made up its mind."""
    return lambda peer: peer.send_slowly(answer)


HEALTHY = 100
LATEST = 10.0  # seconds, on a machine that has other things to do; the deadline is one
_KINDS = [(speech, tls) for speech in SPEECHES for tls in (False, True)]
FAULTS: dict[str, Faults] = {
    "it resets before the request": Faults(up=cut(0, Ending.RESET)),
    "it resets behind the request": Faults(down=cut(0, Ending.RESET)),
    "it resets in its answer": Faults(down=cut(30, Ending.RESET)),
    "it closes without an answer": Faults(down=cut(0)),
    "it closes in its answer": Faults(down=cut(30)),
    "it never reads": Faults(up=cut(0, Ending.STALL)),
    "it never answers": Faults(down=cut(0, Ending.BLACKHOLE)),
    "it stalls in its answer": Faults(down=cut(30, Ending.STALL)),
    "its answer drips": Faults(down=drip(0.1)),
    "its answer is late": Faults(down=Fault(delay=3.0)),
}


def test_a_broken_service_is_an_internal_error_in_time_and_disturbs_nobody(stage: Stage) -> None:
    healthy = [(stage.greeted(speech, tls=tls), speech) for speech, tls in islice(cycle(_KINDS), HEALTHY)]
    for client, speech in healthy:
        stage.log_in(client, speech)
    waiting: list[tuple[str, Peer, Speech]] = []
    begin = time.monotonic()
    for name, faults in FAULTS.items():
        stage.faulty_auth.faults = always(faults)
        for speech in SPEECHES:
            before = stage.faulty_auth.connections
            client = stage.greeted(speech, "faulty")
            client.send(speech.login)
            wait_until(lambda before=before: stage.faulty_auth.connections > before, "a request")  # type: ignore[misc]
            waiting.append((name, client, speech))
    _ping(healthy)
    for name, client, speech in waiting:
        assert client.rest() == speech.internal, name
    assert time.monotonic() - begin < LATEST
    _ping(healthy)


@of_each
def test_nobody_at_the_service_is_an_internal_error(stage: Stage, speech: Speech) -> None:
    client = stage.greeted(speech, "deserted")
    client.send(speech.login)
    assert client.rest() == speech.internal


@of_each
def test_an_answer_of_ten_megabytes_is_not_kept(stage: Stage, speech: Speech) -> None:
    stage.answer = response(OK, SERVER, PORT, (b"X-Long", b"x" * 10_000_000))
    client = stage.greeted(speech)
    client.send(speech.login)
    assert client.rest() == speech.internal


EVERY_BYTE = bytes(range(256))
HOSTILE = {
    "every byte": EVERY_BYTE,
    "a header": b"u\r\nAuth-Status: OK\r\nClient-IP: 192.0.2.1",
    "the end of the request": b"u\r\n\r\nGET /other HTTP/1.0",
    "a folded line": b"u\r\n folded",
    "a bare LF": b"u\nAuth-User: root",
    "percent signs": b"u%0d%0a%25%",
    "NUL": b"u\0root",
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
@of_each
def test_a_login_is_one_escaped_header_whatever_it_holds(stage: Stage, speech: Speech, hostile: bytes) -> None:
    for way in WAYS:
        client = stage.greeted(speech, tls=way.tls)
        client.send(speech.auth + b" LOGIN\r\n")
        client.line()
        stage.say(client, b64encode(hostile) + b"\r\n", slowly=way.slowly)
        client.line()
        stage.say(client, b64encode(hostile[::-1]) + b"\r\n", slowly=way.slowly)
        assert client.line() in (speech.welcome, speech.invalid)
        request = io.BytesIO(stage.auth.requests[-1])
        assert request.readline() == b"GET /auth HTTP/1.0\r\n"
        headers = parse_headers(request)
        assert [name for name in headers if name not in HEADERS] == []
        assert len(headers.keys()) == len(set(headers.keys()))
        assert unquote_to_bytes(headers["Auth-User"].encode("latin-1")) == hostile
        assert unquote_to_bytes(headers["Auth-Pass"].encode("latin-1")) == hostile[::-1]
        assert request.read() == b""


def _ping(clients: list[tuple[Peer, Speech]]) -> None:
    for client, _ in clients:
        client.talk((b"ping\r\n", b"ping\r\n"))
