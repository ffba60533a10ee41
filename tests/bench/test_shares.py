from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest

from bench import shares
from bench.arena import Setup
from bench.logins import CACHE, KEEPALIVE
from bench.shares import LOGINS, PARTS, RATE, by_part, print_shares

REPORT = """\
    60.00%          1200  [kernel.kallsyms]
    20.00%           400  libcrypto.so.3
     5.00%           100  libssl.so.3
     9.00%           180  libpython3.11.so.1.0
     2.00%            40  _cffi_backend.cpython-311-x86_64-linux-gnu.so
     1.00%            20  _native.abi3.so
     1.50%            30  _core.cpython-311-x86_64-linux-gnu.so
     1.00%            20  ngx_mail_module.so
     2.00%            40  libc.so.6

"""


def test_samples_become_microseconds_of_a_login_by_part() -> None:
    each = 1e6 / RATE / LOGINS
    parts = by_part(REPORT.splitlines())
    assert parts == {part: samples * each for part, samples in zip(parts, (1200, 500, 220, 70, 40), strict=True)}
    assert list(parts) == ["kernel", "openssl", "python", "server", "other"]


@pytest.mark.parametrize(
    ("server", "name", "extra"),
    [
        ("mailworker", "imap-keepalive", KEEPALIVE),
        ("nginx", "imap-keepalive", ""),
        ("mailworker", "imaps-tls12-id", CACHE),
    ],
)
def test_servers_are_set_up_as_the_name_says(
    monkeypatch: pytest.MonkeyPatch, server: str, name: str, extra: str
) -> None:
    extras: dict[str, str] = {}

    class Arena:
        @contextmanager
        def running(self, name: str, setup: Setup) -> Iterator[str]:
            extras[name] = setup.extra
            yield name

    monkeypatch.setattr(shares, "find_program", str)
    monkeypatch.setattr(shares, "opened_arena", lambda: nullcontext(Arena()))
    monkeypatch.setattr(shares, "_sample", lambda *_: dict.fromkeys(PARTS, 0.0))
    print_shares([name])
    assert extras[server] == extra
