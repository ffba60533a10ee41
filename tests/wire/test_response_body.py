"""Bodies of HTTP responses, whose connections are used again where the end is certain."""

from __future__ import annotations

import pytest

from mailworker.wire.response_body import Body, framed, rest

CHUNKED = {b"transfer-encoding": b"chunked"}
NO_CHUNKS = b"0\r\n\r\n"


def length(text: bytes) -> dict[bytes, bytes]:
    return {b"content-length": text}


@pytest.mark.parametrize(
    ("code", "fields", "body"),
    [
        (b"200", length(b"0"), 0),
        (b"403", length(b"99999"), 99999),
        (b"200", CHUNKED, NO_CHUNKS),
        (b"403", {b"transfer-encoding": b"Chunked"}, NO_CHUNKS),
        (b"204", {}, 0),
        (b"204", length(b"0"), 0),
        (b"304", {}, 0),
    ],
)
def test_a_body_has_a_certain_end(code: bytes, fields: dict[bytes, bytes], body: Body) -> None:
    assert framed(code, fields) == body


@pytest.mark.parametrize(
    ("code", "fields"),
    [
        (b"200", {}),
        *((b"200", length(text)) for text in (b"", b"-1", b"+1", b"1 ", b"0x1", b"100000", b"0,0")),
        (b"200", {b"transfer-encoding": b"gzip, chunked"}),
        (b"200", {b"transfer-encoding": b""}),
        (b"200", CHUNKED | length(b"5")),
        (b"204", CHUNKED),
        (b"204", length(b"5")),
        (b"304", length(b"5")),
    ],
)
def test_a_body_has_no_certain_end(code: bytes, fields: dict[bytes, bytes]) -> None:
    assert framed(code, fields) is None


@pytest.mark.parametrize(
    ("body", "data", "left"),
    [
        (3, b"", 3),
        (3, b"ab", 1),
        (3, b"abc", 0),
        (3, b"abcd", None),
        (NO_CHUNKS, b"", NO_CHUNKS),
        (NO_CHUNKS, b"0\r", b"\n\r\n"),
        (NO_CHUNKS, NO_CHUNKS, b""),
        (NO_CHUNKS, NO_CHUNKS + b"x", None),
        (NO_CHUNKS, b"1\r\nx", None),
        (None, b"", None),
    ],
)
def test_the_rest_of_a_body(body: Body | None, data: bytes, left: Body | None) -> None:
    assert rest(body, data) == left
