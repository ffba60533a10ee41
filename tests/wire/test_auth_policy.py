"""The policy protocol's bytes."""

from __future__ import annotations

import hashlib
import json

import pytest

from mailworker.errors import Party, ProtocolError
from mailworker.wire.auth_policy import LIMIT, Decision, PolicyReader, PolicyTemplate, hashed

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b\r\n%b"


def response(body: bytes, headers: bytes = b"") -> bytes:
    return HEAD % (len(body), headers, body)


def chunked(*pieces: bytes) -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body


def test_a_hash_has_the_first_twelve_bits() -> None:
    digest = hashlib.sha256(b"nonce" + b"user" + b"\0" + b"secret").hexdigest()
    assert hashed(b"nonce", b"user", b"secret") == f"0{digest[:3]}"
    assert len({hashed(b"nonce", b"user", b"%d" % number) for number in range(5000)}) > 2000


@pytest.mark.parametrize(
    ("uri", "target"),
    [
        (b"/", b"/?command=allow"),
        (b"/policy", b"/policy?command=allow"),
        (b"/?a=b", b"/?a=b&command=allow"),
        (b"/?a=b&", b"/?a=b&command=allow"),
        (b"/?", b"/?command=allow"),
    ],
)
def test_the_command_is_in_the_target(uri: bytes, target: bytes) -> None:
    template = PolicyTemplate(uri, b"host", ((b"Authorization", b"Basic x"),))
    head, _, body = template.request("allow", {"login": 'a\u00e9"\r\n'}).partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"POST %b HTTP/1.1" % target,
        b"Host: host",
        b"Content-Type: application/json",
        b"Authorization: Basic x",
        b"Content-Length: %d" % len(body),
    ]
    assert json.loads(body) == {"login": 'a\u00e9"\r\n'}


@pytest.mark.parametrize(
    ("sent", "decision", "reusable"),
    [
        (response(b'{"status":0,"msg":""}'), Decision(0), True),
        (response(b'{"status":-1,"msg":"no","r_attrs":{}}'), Decision(-1, "no"), True),
        (response(b'{"status":-7}'), Decision(-1), True),
        (response(b'{"status":5}', b"Connection: close\r\n"), Decision(5), False),
        (response(b'{"status":"ok"}'), Decision(0), True),
        (response(b'{"status":0,"msg":7}'), Decision(0), True),
        (response(b'{"status":0}') + b"more", Decision(0), False),
        (chunked(b'{"sta', b'tus":1}'), Decision(1), True),
        (chunked(b'{"status":1}').replace(b"\r\n\r\n", b"\r\nContent-Length: 1\r\n\r\n", 1), Decision(1), False),
        (chunked(b'{"status":1}')[:-2] + b"X: y\r\n\r\n", Decision(1), False),
        (response(b'{"status":5}', b"Connection: x, Close\r\n"), Decision(5), False),
        (b'HTTP/1.0 200 OK\r\nContent-Length: 12\r\n\r\n{"status":0}', Decision(0), False),
    ],
)
def test_a_response_is_the_same_for_every_split(sent: bytes, decision: Decision, reusable: bool) -> None:
    for split in range(len(sent) + 1):
        reader = PolicyReader()
        reader.feed(sent[:split])
        found = reader.next() if split else None
        if found is None and split < len(sent):
            reader.feed(sent[split:])
            found = reader.next()
        assert found == decision
        assert reader.reusable is reusable or sent.endswith(b"more")


def test_a_body_may_go_to_the_end() -> None:
    reader = PolicyReader()
    reader.feed(b'HTTP/1.1 200 OK\r\n\r\n{"status":')
    assert reader.next() is None
    reader.feed(b"3}")
    assert reader.next() is None
    reader.feed(b"")
    assert reader.next() == Decision(3)
    assert not reader.reusable


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (b"garbage\r\n\r\n", "sent no HTTP response"),
        (b"HTTP/1.1 500 oh\r\n\r\n", "sent HTTP status 500"),
        (response(b"yes"), "sent invalid JSON"),
        (response(b"[" * 8000), "sent invalid JSON"),
        (response(b"\xff"), "sent invalid JSON"),
        (response(b"[]"), 'sent no number as "status"'),
        (response(b'{"status":true}'), 'sent no number as "status"'),
        (response(b'{"status":1.5}'), 'sent no number as "status"'),
        (response(b'{"status":"failure"}'), 'sent no number as "status"'),
        (response(b"{}"), 'sent no number as "status"'),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * LIMIT, "sent too long a head"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", "sent an invalid or too large Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "sent an invalid or too large Content-Length"),
        (response(b'{"status":0}', b"Content-Length: 5\r\n"), "sent an invalid or too large Content-Length"),
        (response(b'{"status":0}', b"Transfer-Encoding: gzip, chunked\r\n"), "sent an unknown Transfer-Encoding"),
        (chunked(b'{"status":0}').replace(b"}\r\n", b"}xx"), "sent broken chunks"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (LIMIT + 1), "sent too long a body"),
        (chunked(b"x" * 5000, b"x" * 5000), "sent too long a body"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "sent broken chunks"),
    ],
)
def test_what_is_no_response_is_the_services_fault(sent: bytes, message: str) -> None:
    reader = PolicyReader()
    reader.feed(sent)
    with pytest.raises(ProtocolError, match=message) as caught:
        reader.next()
    assert caught.value.party is Party.AUTH_SERVICE


@pytest.mark.parametrize("sent", [b"HTTP/1.1 200 OK\r\n", response(b'{"status":0}')[:-1], chunked(b"{}")[:-4]])
def test_an_early_end_is_none_either(sent: bytes) -> None:
    reader = PolicyReader()
    reader.feed(sent)
    assert reader.next() is None
    reader.feed(b"")
    with pytest.raises(ProtocolError, match="sent no whole response"):
        reader.next()
