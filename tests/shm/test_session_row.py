from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.shm.session_row import (
    LAYOUT,
    MARK_AT,
    ROW,
    SHORTENED,
    UNIX,
    WORDS,
    Fields,
    State,
    checksum,
    keep,
    parse,
)

SERVERS = (("imap.example", "imap"),)
NOW = 5000

WHOLE = Fields(
    number=2,
    sum=0,
    received=12,
    sent=34,
    active=4990,
    logged_in=4900,
    accepted=4800,
    server=0,
    client_port=40_000,
    backend_port=143,
    mark=State.RELAY,
    length=4,
    id=bytes(range(12)),
    client=bytes(10) + b"\xff\xff\xc0\x00\x02\x01",
    backend=bytes(15) + b"\x01",
    name=b"jane",
)


def packed(fields: Fields) -> bytes:
    return LAYOUT.pack(*fields._replace(sum=checksum(WORDS.unpack(LAYOUT.pack(*fields)))))


def read(data: bytes) -> object:
    return parse(data, (1, 2), SERVERS, NOW, foreign=False)


def test_the_state_is_where_it_is_looked_for() -> None:
    assert LAYOUT.pack(*WHOLE)[MARK_AT] == State.RELAY


def test_a_row_says_who_is_there() -> None:
    found = parse(packed(WHOLE), (1, 2), SERVERS, NOW, foreign=True)
    assert found is not None
    assert (found.worker, found.number, found.foreign) == (1, 2, True)
    assert (found.state.word, found.server, found.protocol) == ("relay", "imap.example", "imap")
    assert (found.client, found.client_port, found.backend) == ("192.0.2.1", 40_000, "[::1]:143")
    assert (found.user, found.name, found.shortened) == ("jane", b"jane", False)
    assert (found.age, found.login_age, found.idle) == (200, 100, 10)
    assert (found.received, found.sent) == (12, 34)
    assert found.id == "AAECAwQFBgcICQoL"


@pytest.mark.parametrize(
    ("client", "backend", "client_is", "backend_is"),
    [
        (
            bytes(10) + b"\xff\xff\xc0\x00\x02\x07",
            bytes(10) + b"\xff\xff\xc6\x33\x64\x01",
            "192.0.2.7",
            "198.51.100.1:143",
        ),
        (bytes.fromhex("20010db8") + bytes(11) + b"\x07", bytes(16), "2001:db8::7", None),
        (bytes(16), bytes(15) + b"\x01", "unix:", "[::1]:143"),
    ],
)
def test_addresses_are_spelled_as_in_logs(
    client: bytes, backend: bytes, client_is: str, backend_is: str | None
) -> None:
    found = parse(packed(WHOLE._replace(client=client, backend=backend)), (1, 2), SERVERS, NOW, foreign=False)
    assert found is not None
    assert (found.client, found.backend) == (client_is, backend_is)


@pytest.mark.parametrize(
    "changes",
    [
        {"mark": 0},
        {"mark": 5},
        {"mark": UNIX},
        {"mark": 0x7F},
        {"length": 41},
        {"length": 254},
        {"server": 1},
        {"server": 65535},
    ],
)
def test_what_no_worker_writes_is_no_row(changes: dict[str, Any]) -> None:
    assert read(packed(WHOLE._replace(**changes))) is None


@pytest.mark.parametrize("place", range(4, ROW))
def test_a_flipped_bit_makes_it_no_row(place: int) -> None:
    data = bytearray(packed(WHOLE))
    for bit in range(8):
        data[place] ^= 1 << bit
        assert read(bytes(data)) is None
        data[place] ^= 1 << bit
    assert read(bytes(data)) is not None


def test_a_row_of_a_former_program_has_no_path() -> None:
    fields = WHOLE._replace(mark=State.RELAY | UNIX, backend=bytes(16))
    found = parse(packed(fields), (1, 2), SERVERS, NOW, foreign=True)
    assert found is not None
    assert found.backend == "unix:"
    assert not found.is_at(b"")


def test_zeros_are_no_row() -> None:
    assert read(bytes(ROW)) is None


def test_numbers_that_cannot_be_are_none() -> None:
    found = parse(
        packed(WHOLE._replace(received=(1 << 64) - 1, sent=1 << 62, active=1 << 31, accepted=6000, logged_in=5001)),
        (1, 2),
        SERVERS,
        NOW,
        foreign=False,
    )
    assert found is not None
    assert (found.received, found.sent, found.idle, found.age, found.login_age) == (0, 0, 0, 0, 0)


@pytest.mark.parametrize("state", State)
def test_each_state_has_its_word(state: State) -> None:
    found = parse(packed(WHOLE._replace(mark=state)), (1, 2), SERVERS, NOW, foreign=False)
    assert found is not None
    assert found.state.word in {"login", "auth", "upstream", "relay"}


TEXTS = st.one_of(st.binary(max_size=40), st.text(max_size=10).map(str.encode), st.just(b'\x1b[31m"\r\n\xe2\x80\xae\\'))


@given(name=TEXTS, length=st.integers(0, 255), path=TEXTS)
def test_no_text_is_unescaped(name: bytes, length: int, path: bytes) -> None:
    fields = WHOLE._replace(name=name, length=length, mark=State.RELAY | UNIX, backend=path)
    found = parse(packed(fields), (1, 2), SERVERS, NOW, foreign=False)
    assert (found is None) is (40 < length != SHORTENED)
    if found is not None:
        for text in (found.user, found.client, found.backend or "", found.id, found.server, found.protocol):
            assert text.isprintable()
            assert '"' not in text


@given(
    data=st.binary(min_size=ROW, max_size=ROW),
    mark=st.sampled_from([*State, State.AUTH | UNIX, UNIX, 5, 255]),
    length=st.one_of(st.integers(0, 41), st.just(SHORTENED)),
    server=st.integers(0, 1),
)
def test_garbage_is_a_row_or_none(data: bytes, mark: int, length: int, server: int) -> None:
    """A worker in the wrong hands knows how to add up."""
    garbage = Fields._make(LAYOUT.unpack(data))
    assert read(data) is None
    whole = packed(garbage._replace(mark=mark, length=length, server=server))
    found = parse(whole, (1, 2), SERVERS, NOW, foreign=False)
    assert (found is None) is (mark in (UNIX, 5, 255) or length == 41 or server > 0)
    if found is not None:
        assert found.user.isprintable()
        assert (found.backend or "").isprintable()
        assert 0 <= found.age <= NOW
        assert 0 <= found.idle <= NOW
        assert found.login_age is None or 0 <= found.login_age <= NOW
        assert 0 <= found.received < 1 << 62
        assert 0 <= found.sent < 1 << 62


def test_a_shortened_name_tells_users_apart() -> None:
    one, other = (b"a" * 16 + middle + b"@mail.example.com"[-16:] for middle in (b"b" * 20, b"c" * 20))
    assert keep(one) != keep(other)
    assert keep(one)[0] == SHORTENED
    assert len(keep(one)[1]) == 40
    found = parse(packed(WHOLE._replace(length=SHORTENED, name=keep(one)[1])), (1, 2), SERVERS, NOW, foreign=False)
    assert found is not None
    assert found.is_of(one)
    assert not found.is_of(other)
    assert not found.is_of(keep(one)[1]), "a short name of the same bytes"


def test_only_what_stands_before_a_separator_is_kept() -> None:
    assert keep(b"jane\0secret") == (7, b"jane...")
