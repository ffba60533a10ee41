from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.wire.http_request import LIMIT, BadRequest, HttpRequest, HttpRequestParser, parse

HEAD = b"GET /metrics?a=b%20c HTTP/1.1\r\nHost: LocalHost:9143\r\naccept: text/plain\r\nAccept:\tx \r\n\r\n"
REQUEST = HttpRequest("GET", "/metrics", "a=b%20c", {"host": "LocalHost:9143", "accept": "text/plain, x"})


@given(st.lists(st.integers(0, len(HEAD)), max_size=5))
def test_a_request_is_the_same_in_any_pieces(cuts: list[int]) -> None:
    parser, places = HttpRequestParser(), [0, *sorted(cuts), len(HEAD)]
    found = [parser.feed(HEAD[start:end]) for start, end in pairwise(places)]
    assert REQUEST in found
    assert set(map(type, found[: found.index(REQUEST)])) <= {type(None)}


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"GET",
        b"GET /",
        b"GET / HTTP/2.0",
        b"GET  / HTTP/1.1",
        b"G(T / HTTP/1.1",
        b"GET http://localhost/ HTTP/1.1",
        b"GET * HTTP/1.1",
        b"GET /\x7f HTTP/1.1",
        b"GET / HTTP/1.1\r\nHost : a",
        b"GET / HTTP/1.1\r\nHost",
        b"GET / HTTP/1.1\r\n folded: a",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b",
        b"GET / HTTP/1.1\r\nA: \0",
        b"GET / HTTP/1.1\r\nA: a\nB: b",
    ],
)
def test_what_is_no_request_is_refused(head: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(head)
    assert caught.value.status == 400


@given(st.sampled_from([b"", b"GET /", b"GET / HTTP/1.1\r\nHost: a\r\nA: "]), st.binary(max_size=300))
def test_any_bytes_are_a_request_or_refused(start: bytes, data: bytes) -> None:
    try:
        request = HttpRequestParser().feed(start + data + b"\r\n\r\n")
    except BadRequest:
        return
    assert request is not None


@pytest.mark.parametrize("size", [LIMIT - 1, LIMIT])
def test_a_head_of_eight_kilobytes_is_taken(size: int) -> None:
    head = b"GET / HTTP/1.1\r\nA: "
    assert HttpRequestParser().feed(head + b"a" * (size - len(head) - 4) + b"\r\n\r\n") is not None


def test_a_longer_one_is_not() -> None:
    parser = HttpRequestParser()
    assert parser.feed(b"a" * LIMIT) is None
    assert parser.room == 1
    with pytest.raises(BadRequest) as caught:
        parser.feed(b"a")
    assert caught.value.status == 431


@pytest.mark.parametrize(
    ("text", "host", "address"),
    [
        ("localhost", "localhost", False),
        ("LOCALHOST:80", "localhost", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1:9143", "127.0.0.1", True),
        ("[::1]", "[::1]", True),
        ("[::1]:9143", "[::1]", True),
        ("[::ffff:1.2.3.4]:1", "[::ffff:1.2.3.4]", True),
        ("", "", False),
        ("evil.example:80", "evil.example", False),
        ("127.0.0.1.evil.example", "127.0.0.1.evil.example", False),
        ("localhost:x", None, False),
        ("localhost:80:80", "localhost:80", False),
    ],
)
def test_whom_a_request_is_for(text: str, host: str | None, address: bool) -> None:
    request = parse(f"GET / HTTP/1.1\r\nHost: {text}".encode())
    assert (request.host, request.names_address) == (host, address)


def test_no_host_is_an_empty_one() -> None:
    assert parse(b"GET / HTTP/1.0").host == ""


def test_a_path_is_decoded() -> None:
    assert parse(b"GET /%6detrics?%20 HTTP/1.1").path == "/metrics"
    assert parse(b"GET /%ff%zz HTTP/1.1").path == "/\ufffd%zz"
