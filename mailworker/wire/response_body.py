"""The body of an HTTP/1.1 response, which is not read, but ends before the next response (RFC 9112 section 6.3)."""

from __future__ import annotations

from collections.abc import Mapping

Body = int | bytes
"""What is still to come of a body: so many bytes, or exactly these; 0 or b"" at its end."""

LENGTH_DIGITS = 5
"""The most digits of a Content-Length; a longer body is not worth reading."""

# These have no body, even with a Content-Length.
_WITHOUT_BODY = (b"204", b"304")

# An empty body in chunks (section 7.1). nginx makes it for a script or a service behind it that sends headers alone.
_NO_CHUNKS = b"0\r\n\r\n"


def framed(code: bytes, fields: Mapping[bytes, bytes]) -> Body | None:
    """The whole body of a response with this status code and these headers, None if its end is not certain.

    Names of headers are in lower case.
    """
    coding, length = fields.get(b"transfer-encoding"), fields.get(b"content-length")
    if code in _WITHOUT_BODY:
        return 0 if coding is None and length in (None, b"0") else None
    if coding is not None:
        return _NO_CHUNKS if coding.lower() == b"chunked" and length is None else None
    return int(length) if length and length.isdigit() and len(length) <= LENGTH_DIGITS else None


def rest(body: Body | None, data: bytes) -> Body | None:
    """What is still to come of `body` after `data`; None if `data` is no part of it, or if `body` is None."""
    if isinstance(body, bytes):
        return body[len(data) :] if body.startswith(data) else None
    return None if body is None or len(data) > body else body - len(data)
