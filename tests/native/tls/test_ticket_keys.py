from __future__ import annotations

import struct

import pytest

from mailworker.native.tls._native import ffi
from mailworker.native.tls.ticket_keys import TicketKeys

NAME = bytes(range(16))


class Source:
    """Keys that a test changes."""

    def __init__(self, *keys: bytes) -> None:
        self.keys = keys
        self.seen = 1
        self.memory = bytearray(struct.pack("=Q", 1))

    def read(self) -> tuple[bytes, ...]:
        return self.keys


@pytest.mark.parametrize(("size", "aes_comes_first"), [(16, True), (32, False)])
def test_keys_have_the_layout_of_nginxs_files(size: int, aes_comes_first: bool) -> None:
    policy = ffi.new("struct tls_policy *")
    first, second = b"1" * size, b"2" * size
    keys = TicketKeys(policy)  # frees and wipes the table when it goes
    keys.set([NAME + first + second, NAME[::-1] + second + first])
    assert policy.ticket_key_count == 2
    key = policy.ticket_keys[0]
    aes, hmac = (first, second) if aes_comes_first else (second, first)
    assert (bytes(ffi.buffer(key.name)), key.size) == (NAME, size)
    assert (bytes(ffi.buffer(key.aes, size)), bytes(ffi.buffer(key.hmac, size))) == (aes, hmac)
    assert bytes(ffi.buffer(policy.ticket_keys[1].name)) == NAME[::-1]


def test_keys_of_a_source_are_copied_only_when_they_are_others() -> None:
    policy = ffi.new("struct tls_policy *")
    source = Source(b"a" * 80)
    keys = TicketKeys(policy, source)
    table = policy.ticket_keys
    assert (policy.ticket_key_count, policy.ticket_key_seen, policy.ticket_key_sequence[0]) == (1, 1, 1)
    source.seen = 2
    keys.refresh()
    assert (policy.ticket_keys, policy.ticket_key_seen) == (table, 2)
    source.keys = (b"b" * 80, b"a" * 80)
    keys.refresh()
    assert policy.ticket_key_count == 2
    assert bytes(ffi.buffer(policy.ticket_keys[0].name)) == b"b" * 16
