from __future__ import annotations

import pytest

from mailworker.wire.server_name import requested_host


@pytest.mark.parametrize(
    ("name", "host"),
    [
        (None, None), (b"", None), (b"a.example", b"a.example"), (b"A.Example", b"a.example"),
        (b"a.example.", b"a.example"), (b".", None), (b"..", None), (b"a..b", None), (b"a b", None), (b"a\0b", None),
        (b"a/b", None), (b"a\x7f", None), (b"_a.example", b"_a.example"), (b"192.0.2.1", b"192.0.2.1"),
        (b"2001:db8::1", b"2001"), (b"[2001:db8::1]", b"[2001:db8::1]"), (b"[2001:db8::1]:25", b"[2001:db8::1]"),
        (b"[2001", b"[2001"), (b"a:25", b"a"), (b":25", None), (b"a.:25", b"a"), (b"\xe4.example", b"\xe4.example"),
        (b"a" * 255, b"a" * 255),
    ],
)  # fmt: skip
def test_a_host_is_read_as_nginx_reads_it(name: bytes | None, host: bytes | None) -> None:
    assert requested_host(name) == host
