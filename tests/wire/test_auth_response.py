"""Responses in every chunking."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.errors import Party, ProtocolError
from mailworker.model import AuthMethod, BackendName, InetAddress, UnixAddress
from mailworker.wire.auth_response import (
    DEFAULT_ERROR_CODE,
    RESPONSE_HEADER_LIMIT,
    Accepted,
    AuthResponseParser,
    Rejected,
    Verdict,
    Wait,
)
from mailworker.wire.secret import Secret
from tests.wire.chunkings import chunkings

BACKEND = InetAddress("127.0.0.1", 143)
OK = b"HTTP/1.0 200 OK\r\nAuth-Status: OK\r\n"
WAIT = b"HTTP/1.0 200 OK\r\nAuth-Status: WAIT\r\n"
NO = b"HTTP/1.0 200 OK\r\nAuth-Status: Go away\r\n"
SERVER = b"Auth-Server: 127.0.0.1\r\nAuth-Port: 143\r\n"
UNAUTHORIZED = b"HTTP/1.0 401 Unauthorized\r\n"
END = b"\r\n"

VERDICTS: dict[str, tuple[bytes, Verdict]] = {
    "accepted": (OK + SERVER + END, Accepted(BACKEND)),
    "http 1.1": (b"HTTP/1.1 200 OK\r\nAuth-Status: OK\r\n" + SERVER + END, Accepted(BACKEND)),
    "http 2": (b"HTTP/2 200\r\nAuth-Status: OK\r\n" + SERVER + END, Accepted(BACKEND)),
    "no reason": (b"HTTP/1.1 204\r\nAuth-Status: OK\r\n" + SERVER + END, Accepted(BACKEND)),
    "empty reason": (b"HTTP/1.1 204 \r\nAuth-Status: OK\r\n" + SERVER + END, Accepted(BACKEND)),
    "8-bit reason": (b"HTTP/1.1 200 d\xe9j\xe0\r\nAuth-Status: OK\r\n" + SERVER + END, Accepted(BACKEND)),
    "LF only": ((OK + SERVER + END).replace(b"\r\n", b"\n"), Accepted(BACKEND)),
    "LF in headers": (OK + SERVER.replace(b"\r\n", b"\n") + END, Accepted(BACKEND)),
    "names in any case": ((OK + SERVER + END).replace(b"Auth", b"aUTH"), Accepted(BACKEND)),
    "no space after colon": ((OK + SERVER + END).replace(b": ", b":"), Accepted(BACKEND)),
    "spaces around a value": (b"HTTP/1.0 200 OK\r\nAuth-Status:   OK  \r\n" + SERVER + END, Accepted(BACKEND)),
    "unknown headers": (OK + b"X-1: a:b\r\nAuth-Method: x\r\n" + SERVER + END, Accepted(BACKEND)),
    "no login at the backend": (
        OK + b"Auth-Method: none\r\nAuth-Backend-Mech: plain\r\nAuth-Master-User: m\r\n" + SERVER + END,
        Accepted(BACKEND, mechanism=AuthMethod.NONE),
    ),
    "a mechanism": (
        OK + b"Auth-Backend-Mech: XOAuth2\r\n" + SERVER + END,
        Accepted(BACKEND, mechanism=AuthMethod.XOAUTH2),
    ),
    "no mechanism": (OK + b"Auth-Backend-Mech: \r\nAuth-Master-User:\r\n" + SERVER + END, Accepted(BACKEND)),
    "a master user": (
        OK + b"Auth-Master-User: of all\r\nAuth-Pass: x\r\n" + SERVER + END,
        Accepted(BACKEND, password=Secret(b"x"), mechanism=AuthMethod.PLAIN, master=b"of all"),
    ),
    "a master user by plain": (
        OK + b"Auth-Master-User: m\r\nAuth-Backend-Mech: plain\r\n" + SERVER + END,
        Accepted(BACKEND, mechanism=AuthMethod.PLAIN, master=b"m"),
    ),
    "a name alone": (OK + b"X-Flag\r\n" + SERVER + END, Accepted(BACKEND)),
    "bad Content-Length": (OK + b"Content-Length: x\r\n" + SERVER + END, Accepted(BACKEND)),
    "two lengths": (OK + b"Content-Length: 1\r\nContent-Length: 2\r\n" + SERVER + END, Accepted(BACKEND)),
    "a body": (OK + SERVER + END + b"\0\0 : Auth-Status: no\r\n\r\n", Accepted(BACKEND)),
    "the last server wins": (
        OK + SERVER + b"Auth-Server: 010.2.3.004\r\nAuth-Port: 0025\r\n" + END,
        Accepted(InetAddress("10.2.3.4", 25)),
    ),
    "highest port": (OK + SERVER + b"Auth-Port: 65535\r\n" + END, Accepted(InetAddress("127.0.0.1", 65535))),
    "IPv6": (OK + b"Auth-Server: ::1\r\nAuth-Port: 1\r\n" + END, Accepted(InetAddress("::1", 1))),
    "unix": (OK + b"Auth-Server: unix:/run/imap\r\n" + END, Accepted(UnixAddress("/run/imap"))),
    "unix with a port": (
        OK + b"Auth-Server: unix:/run/imap\r\nAuth-Port: 143\r\n" + END,
        Accepted(UnixAddress("/run/imap")),
    ),
    "new login and password": (
        OK + SERVER + b"Auth-User: other\r\nAuth-Pass: p w \x01%20\r\n" + END,
        Accepted(BACKEND, b"other", Secret(b"p w \x01%20")),
    ),
    "empty values": (OK + SERVER + b"Auth-User:\r\nAuth-Pass: \r\n" + END, Accepted(BACKEND, b"", Secret(b""))),
    "TAB is no space": (OK + SERVER + b"Auth-User: \ta\t\r\n" + END, Accepted(BACKEND, b"\ta\t")),
    "wait of OK is ignored": (OK + b"Auth-Wait: 5\r\n" + SERVER + END, Accepted(BACKEND)),
    "rejected": (NO + END, Rejected(b"Go away")),
    "rejected with login": (NO + b"Auth-User: x\r\n" + END, Rejected(b"Go away", login=b"x")),
    "status in other case": (b"HTTP/1.0 200 OK\r\nAuth-Status: ok\r\n" + SERVER + END, Rejected(b"ok")),
    "OK with more": (b"HTTP/1.0 200 OK\r\nAuth-Status: OK OK\r\n" + SERVER + END, Rejected(b"OK OK")),
    "OK after a refusal": (NO + b"Auth-Status: OK\r\n" + SERVER + END, Rejected(b"Go away")),
    "WAIT after a refusal": (NO + b"Auth-Status: WAIT\r\n" + END, Rejected(b"Go away")),
    "refusal after OK": (OK + b"Auth-Status: no\r\n" + SERVER + END, Rejected(b"no")),
    "8-bit text": (NO + b"Auth-Status: refus\xe9\r\n" + END, Rejected(b"refus\xe9")),
    "rejected with 401": (NO.replace(b"200 OK", b"401 Unauthorized") + END, Rejected(b"Go away")),
    "rejected with 403 and OK": (
        NO.replace(b"200", b"403") + b"Auth-Status: OK\r\n" + SERVER + END,
        Rejected(b"Go away"),
    ),
    "rejected with 500": (NO.replace(b"200", b"500") + b"Auth-Wait: 3\r\n" + END, Rejected(b"Go away", 3)),
    "wait with 503": (WAIT.replace(b"200", b"503") + b"Auth-Wait: 3\r\n" + END, Wait(3)),
    "control bytes in text": (NO + b"Auth-Status: a\x1b[31m\tb\x7f\r\n" + END, Rejected(b"a [31m b ")),
    "rejected with wait": (NO + b"Auth-Wait: 3\r\n" + END, Rejected(b"Go away", 3)),
    "code": (NO + b"Auth-Error-Code: 550 5.7.1\r\n" + END, Rejected(b"Go away", code=b"550 5.7.1")),
    "short code": (NO + b"Auth-Error-Code: 421\r\n" + END, Rejected(b"Go away", code=b"421")),
    "challenge": (NO + b"Auth-Error-SASL: e30=\r\n" + END, Rejected(b"Go away", sasl=b"e30=")),
    "empty challenge": (NO + b"Auth-Error-SASL:\r\n" + END, Rejected(b"Go away")),
    "control bytes in a challenge": (NO + b"Auth-Error-SASL: a\tb\r\n" + END, Rejected(b"Go away", sasl=b"a b")),
    "more than the longest wait": (WAIT + b"Auth-Wait: 3601\r\n" + END, Wait(3600)),
    "wait": (WAIT + b"Auth-Wait: 7\r\n" + END, Wait(7)),
    "wait without time": (WAIT + END, Wait(1)),
    "wait of zero": (WAIT + b"Auth-Wait: 0\r\n" + END, Wait(1)),
    "wait with OK": (WAIT + b"Auth-Status: OK\r\nAuth-Wait: 2\r\n" + SERVER + END, Wait(2)),
    "wait with login": (WAIT + b"Auth-User: u\r\nAuth-Pass: p\r\n" + END, Wait(1, b"u", Secret(b"p"))),
}


def verdict_of(chunks: list[bytes]) -> Verdict:
    """The verdict, which must be there when the last chunk is."""
    parser = AuthResponseParser()
    verdict = None
    for chunk in chunks:
        parser.feed(chunk)
        verdict = parser.next()
    assert verdict is not None
    return verdict


@pytest.mark.parametrize(("response", "verdict"), VERDICTS.values(), ids=VERDICTS)
def test_a_response_has_its_verdict_in_every_chunking(response: bytes, verdict: Verdict) -> None:
    for chunks in chunkings(response):
        assert verdict_of(chunks) == verdict


@pytest.mark.parametrize("code", [b"235 2.7.0", b"334", b"", b"99", b"535-5.7.0", b"5xx", b"5355", b"535 \x1b", b"OK"])
def test_a_code_that_is_no_refusal_becomes_the_default(code: bytes) -> None:
    assert verdict_of([NO, b"Auth-Error-Code: %b\r\n" % code, END]) == Rejected(b"Go away", code=DEFAULT_ERROR_CODE)


@pytest.mark.parametrize("wait", [b"-5", b"1e20", b"", b"x", b"1.5", b"+3", b"9" * 10, b"9" * 5000, b"5 s", b"\xb2"])
def test_a_wait_that_is_no_number_is_none(wait: bytes) -> None:
    assert verdict_of([NO, b"Auth-Wait: %b\r\n" % wait, END]) == Rejected(b"Go away")


INVALID_RESPONSE = "sent invalid response"
WITH_STATUS = "sent invalid response with HTTP status "
INVALID_HEADER = "sent invalid header in response"
NO_STATUS = "did not send status"
NO_SERVER = "did not send server or port"

ERRORS: dict[str, tuple[bytes, str]] = {
    "500 with good headers": (b"HTTP/1.0 500 Oops\r\nAuth-Status: OK\r\n" + SERVER + END, WITH_STATUS + "500"),
    "401 with OK": (OK.replace(b"200", b"401") + SERVER + END, WITH_STATUS + "401"),
    "401 with an empty status": (b"HTTP/1.1 401 No\r\nAuth-Status:\r\n" + SERVER + END, WITH_STATUS + "401"),
    "302": (b"HTTP/1.0 302 Found\r\nLocation: /\r\n\r\n", WITH_STATUS + "302"),
    "status 600": (b"HTTP/1.0 600 Go away\r\n", INVALID_RESPONSE),
    "100": (b"HTTP/1.1 100 Continue\r\n\r\n", WITH_STATUS + "100"),
    "no status line": (b"Auth-Status: OK\r\n" + SERVER + END, INVALID_RESPONSE),
    "empty status line": (b"\r\n", INVALID_RESPONSE),
    "another server": (b"SSH-2.0-OpenSSH_9\r\n", INVALID_RESPONSE),
    "long code": (b"HTTP/1.0 2000 OK\r\n", INVALID_RESPONSE),
    "lower case": (b"http/1.0 200 OK\r\n", INVALID_RESPONSE),
    "CR in status line": (b"HTTP/1.0 200 \rOK\r\n", INVALID_RESPONSE),
    "name with a space": (OK + b"Auth Status: x\r\n", INVALID_HEADER),
    "space before colon": (OK + b"X : x\r\n", INVALID_HEADER),
    "folded line": (OK + b" more\r\n", INVALID_HEADER),
    "underscore": (OK + b"Auth_Status: OK\r\n", INVALID_HEADER),
    "hyphen first": (OK + b"-X: x\r\n", INVALID_HEADER),
    "no name": (OK + b": x\r\n", INVALID_HEADER),
    "CR in value": (OK + b"Auth-User: a\rb\r\n", INVALID_HEADER),
    "two CR": (OK + b"\r\r\n", INVALID_HEADER),
    "NUL in password": (OK + b"Auth-Pass: a\0b\r\n", INVALID_HEADER),
    "NUL in name": (OK + b"Auth\0: a\r\n", INVALID_HEADER),
    "no status": (b"HTTP/1.0 200 OK\r\n" + SERVER + END, NO_STATUS),
    "empty status": (b"HTTP/1.0 200 OK\r\nAuth-Status: \r\n" + SERVER + END, NO_STATUS),
    "empty status after OK": (OK + b"Auth-Status\r\n" + SERVER + END, NO_STATUS),
    "nothing but a status": (OK + END, NO_SERVER),
    "no port": (OK + b"Auth-Server: 127.0.0.1\r\n" + END, NO_SERVER),
    "no server": (OK + b"Auth-Port: 143\r\n" + END, NO_SERVER),
    "empty server": (OK + b"Auth-Server: \r\nAuth-Port: 143\r\n" + END, NO_SERVER),
    "host name": (OK + SERVER + b"Auth-Server: mail\r\n" + END, 'sent invalid server address:"mail"'),
    "short address": (OK + SERVER + b"Auth-Server: 127.1\r\n" + END, 'sent invalid server address:"127.1"'),
    "big octet": (OK + SERVER + b"Auth-Server: 1.2.3.256\r\n" + END, 'sent invalid server address:"1.2.3.256"'),
    "brackets": (OK + SERVER + b"Auth-Server: [::1]\r\n" + END, 'sent invalid server address:"[::1]"'),
    "scope": (OK + SERVER + b"Auth-Server: fe80::1%lo\r\n" + END, 'sent invalid server address:"fe80::1%lo"'),
    "8-bit address": (OK + SERVER + b"Auth-Server: ::\xff\r\n" + END, 'sent invalid server address:"::\\xFF"'),
    "unix without a path": (OK + SERVER + b"Auth-Server: unix:x\r\n" + END, 'sent invalid server address:"unix:x"'),
    "port 0": (OK + SERVER + b"Auth-Port: 0\r\n" + END, 'sent invalid server port:"0"'),
    "big port": (OK + SERVER + b"Auth-Port: 84737\r\n" + END, 'sent invalid server port:"84737"'),
    "named port": (OK + SERVER + b"Auth-Port: imap\r\n" + END, 'sent invalid server port:"imap"'),
    "negative port": (OK + SERVER + b"Auth-Port: -1\r\n" + END, 'sent invalid server port:"-1"'),
    "address before port": (
        OK + b"Auth-Server: x\r\nAuth-Port: x\r\n" + END,
        'sent invalid server address:"x"',
    ),
    "too large": (OK + b"X: " + b"x" * RESPONSE_HEADER_LIMIT, "sent too large response header"),
}


def feed_all(chunks: list[bytes]) -> Verdict | None:
    parser = AuthResponseParser()
    verdict = None
    for chunk in chunks:
        parser.feed(chunk)
        verdict = parser.next()
    return verdict


@pytest.mark.parametrize(("response", "message"), ERRORS.values(), ids=ERRORS)
def test_a_wrong_response_has_the_same_error_in_every_chunking(response: bytes, message: str) -> None:
    for chunks in [[response]] if len(response) > RESPONSE_HEADER_LIMIT else chunkings(response):
        with pytest.raises(ProtocolError) as error:
            feed_all(chunks)
        assert (error.value.party, str(error.value)) == (Party.AUTH_SERVICE, message)


def test_a_header_of_the_limit_is_taken_and_one_more_byte_is_not() -> None:
    start = OK + SERVER + b"X: "
    fill = b"x" * (RESPONSE_HEADER_LIMIT - len(start) - len(b"\r\n\r\n"))
    body = b"y" * RESPONSE_HEADER_LIMIT
    assert verdict_of([start, fill, b"\r\n\r\n", body]) == verdict_of([start + fill + b"\r\n\r\n" + body])
    for chunks in ([start + fill + b"x\r\n\r\n"], [start, fill, b"x", b"\r\n", b"\r\n"]):
        with pytest.raises(ProtocolError, match="too large"):
            feed_all(chunks)


@pytest.mark.parametrize("received", [b"", b"HTTP/1.0 200 OK", OK, OK + SERVER, OK + SERVER + b"\r"])
def test_a_response_has_no_verdict_before_its_blank_line(received: bytes) -> None:
    parser = AuthResponseParser()
    parser.feed(received)
    assert parser.next() is None


def test_a_verdict_shows_no_password() -> None:
    assert "hidden" not in repr(verdict_of([OK + SERVER + b"Auth-Pass: hidden\r\n" + END]))


LINES = st.lists(
    st.sampled_from(
        [OK, NO, WAIT, UNAUTHORIZED, SERVER, END, b"Auth-Wait: 3\n", b"Auth-User: x\r\n", b"Auth-Server:", b"\r", b" "]
    )
    | st.binary(max_size=12)
)


def outcome(chunks: list[bytes]) -> Verdict | str | None:
    try:
        return feed_all(chunks)
    except ProtocolError as error:
        return str(error)


@given(st.sampled_from([OK + SERVER, OK, NO, b""]), LINES, st.integers(0, 300))
def test_any_bytes_give_a_verdict_or_an_error_the_same_for_every_split(
    start: bytes, lines: list[bytes], split: int
) -> None:
    data = b"".join([start, *lines, END])
    whole = outcome([data])
    assert whole == outcome([data[:split], data[split:]]) == outcome([data[i : i + 1] for i in range(len(data))])
    assert not isinstance(whole, Accepted) or b"HTTP/1.0 200 OK\r\nAuth-Status: OK" in data


@pytest.mark.parametrize(
    ("server", "name"),
    [
        (b"imap.example.com", "imap.example.com"),
        (b"IMAP-1.Example.COM", "imap-1.example.com"),
        (b"backend", "backend"),
        (b"_imap.a_b.example", "_imap.a_b.example"),
        (b"1.example", "1.example"),
        (b"imap.example.com.", "imap.example.com"),
        (b"a" * 63 + b".example", "a" * 63 + ".example"),
    ],
)
def test_a_backend_may_have_a_name_where_there_is_a_resolver(server: bytes, name: str) -> None:
    named = AuthResponseParser(names=True)
    named.feed(OK + b"Auth-Server: %b\r\nAuth-Port: 143\r\n\r\n" % server)
    assert named.next() == Accepted(BackendName(name, 143))
    unnamed = AuthResponseParser()
    unnamed.feed(OK + b"Auth-Server: %b\r\nAuth-Port: 143\r\n\r\n" % server)
    with pytest.raises(ProtocolError, match="sent invalid server address"):
        unnamed.next()


@pytest.mark.parametrize(
    "server",
    [
        b"1.2.3",
        b"256.0.0.1",
        b"1.2.3.4.5",
        b"imap.1",
        b"imap..example",
        b".example",
        b"example..",
        b".",
        b"-a.example",
        b"a-.example",
        b"a b.example",
        b"a:143",
        b"::g",
        b"[::1]",
        b"b\xc3\xbccher.example",
        b"a" * 64 + b".example",
        b".".join([b"a" * 49] * 6),
    ],
)
def test_what_is_neither_an_address_nor_a_name_is_invalid(server: bytes) -> None:
    parser = AuthResponseParser(names=True)
    parser.feed(OK + b"Auth-Server: %b\r\nAuth-Port: 143\r\n\r\n" % server)
    with pytest.raises(ProtocolError, match="sent invalid server address"):
        parser.next()


def test_an_address_is_no_name() -> None:
    parser = AuthResponseParser(names=True)
    parser.feed(OK + SERVER + END)
    assert parser.next() == Accepted(BACKEND)
