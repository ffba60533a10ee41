from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailworker.event.rows import NO_ROW, Rows
from mailworker.model import InetAddress, UnixAddress
from mailworker.shm.session_row import ROW, SessionRow, State, parse
from mailworker.shm.sessions import HEAD, UNLISTED, USED
from tests.support.implementations import Implementation, implementations

SERVERS = (("imap.example", "imap"), ("pop3.example", "pop3"))
BEGAN, PROCESS = 1_700_000_000_000.5, 70_000
NOW = 1000


class Table:
    """Memory for rows, and whoever writes it."""

    def __init__(self, kind: type[Rows], rows: int = 4) -> None:
        self.head = bytearray(HEAD)
        self.memory = bytearray(rows * ROW)
        self.rows = kind(memoryview(self.head), memoryview(self.memory), BEGAN, PROCESS)

    def word(self, place: int) -> int:
        return memoryview(self.head).cast("Q")[place]

    def read(self, row: int) -> SessionRow | None:
        data = bytes(self.memory[row * ROW : (row + 1) * ROW])
        return parse(data, (3, row), SERVERS, NOW, foreign=False)

    def found(self, row: int) -> SessionRow:
        found = self.read(row)
        assert found is not None
        return found


@pytest.fixture(scope="session")
def kind(implementation: Implementation) -> type[Rows]:
    found: type[Rows] = implementation.rows.Rows
    return found


@pytest.fixture
def table(kind: type[Rows]) -> Table:
    return Table(kind)


class Owner:
    """A session."""


def begin(table: Table, host: str = "192.0.2.7", port: int = 4711, number: int = 9) -> int:
    return table.rows.open(Owner(), number, 990.5, 1, InetAddress(host, port))


def test_a_session_is_seen_from_accept_to_its_end(table: Table) -> None:
    row = begin(table)
    found = table.found(row)
    assert (found.worker, found.number, found.state) == (3, row, State.LOGIN)
    assert (found.server, found.protocol) == SERVERS[1]
    assert (found.client, found.client_port, found.backend, found.user) == ("192.0.2.7", 4711, None, "")
    assert (found.age, found.login_age, found.idle) == (10, None, 10)
    table.rows.ask(row, b"jane@example.com", 993.9)
    found = table.found(row)
    assert (found.state, found.user, found.idle) == (State.AUTH, "jane@example.com", 7)
    table.rows.dial(row, InetAddress("2001:db8::1", 143), 995.0)
    found = table.found(row)
    assert (found.state, found.backend) == (State.BACKEND, "[2001:db8::1]:143")
    table.rows.relay(row, 997.2)
    found = table.found(row)
    assert (found.state, found.user, found.login_age, found.age) == (State.RELAY, "jane@example.com", 3, 10)
    table.rows.close(row)
    assert table.read(row) is None


def test_an_id_is_what_logs_call_the_session(table: Table) -> None:
    from mailworker.mail.session_id import packed_id  # noqa: PLC0415 - of a higher layer

    row = begin(table, number=77)
    assert table.found(row).id.encode() == packed_id(BEGAN, PROCESS, 990.5, 77)


@pytest.mark.parametrize("backend", [None, InetAddress("192.0.2.1", 143), UnixAddress("/run/imap")], ids=str)
def test_a_refused_client_is_before_its_login_again(table: Table, backend: object) -> None:
    row = begin(table)
    table.rows.ask(row, b"jane", 991.0)
    table.rows.dial(row, backend, 991.0)
    table.rows.reject(row, 992.0)
    found = table.found(row)
    assert (found.state, found.user, found.backend, found.idle) == (State.LOGIN, "jane", None, 8)


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("::ffff:192.0.2.9", "192.0.2.9"),
        ("2001:db8::7", "2001:db8::7"),
        ("fe80::1%eth0", "fe80::1"),
        ("unix:", "unix:"),
        ("no address", "unix:"),
        ("", "unix:"),
    ],
)
def test_addresses_of_clients(table: Table, host: str, shown: str) -> None:
    row = begin(table)
    table.rows.move(row, InetAddress(host, 12))
    assert (table.found(row).client, table.found(row).client_port) == (shown, 12)
    assert table.found(begin(table, host)).client == shown


@pytest.mark.parametrize(
    ("path", "shown", "others"),
    [
        ("/run/imap", "unix:/run/imap", ("/run/imap2", "/run/ima", "/RUN/imap")),
        ("/run/imap.so", "unix:/run/imap.so", ("/run/imap.s", "/run/imap.sock", "-/run/imap.so")),
        ("/run/a/imap.sock", "unix:.../a/imap.sock", ("/run/b/imap.sock", "/tmp/a/imap.sock", "a/imap.sock")),
        ("/run/\xfc\udcff\n/imap.sock", r"unix:...\xFF\x0A/imap.sock", ("/run/\xfc\udcfe\n/imap.sock",)),
    ],
)
def test_a_backend_may_be_a_unix_socket(table: Table, path: str, shown: str, others: tuple[str, ...]) -> None:
    row = begin(table)
    table.rows.dial(row, UnixAddress(path), 995.0)
    table.rows.relay(row, 995.0)
    found = table.found(row)
    assert (found.backend, found.state) == (shown, State.RELAY)
    assert found.is_at(path.encode(errors="surrogateescape"))
    assert not any(found.is_at(other.encode(errors="surrogateescape")) for other in (*others, ""))
    table.rows.dial(row, InetAddress("127.0.0.1", 143), 995.0)
    found = table.found(row)
    assert (found.backend, found.state) == ("127.0.0.1:143", State.BACKEND)
    assert not found.is_at(path.encode(errors="surrogateescape"))


def test_another_server_of_the_address_serves_it(table: Table) -> None:
    row = begin(table)
    table.rows.serve(row, 0)
    assert (table.found(row).server, table.found(row).protocol) == SERVERS[0]


@pytest.mark.parametrize("length", [0, 1, 39, 40, 41, 64, 255, 5000])
def test_a_user_is_known_by_the_whole_name(table: Table, length: int) -> None:
    name = bytes(97 + i % 26 for i in range(length))
    row = begin(table)
    table.rows.ask(row, b"somebody else with another long name entirely", 991.0)
    table.rows.ask(row, name, 991.0)
    found = table.found(row)
    assert found.is_of(name)
    assert not found.is_of(name + b"x")
    assert not found.is_of(name[:20] + b"-" + name[21:] if length > 20 else b"?")
    assert found.shortened == (length > 40)
    assert found.user == (name.decode() if length <= 40 else f"{name[:16].decode()}...{name[-16:].decode()}")


@pytest.mark.parametrize("name", [b"jane\0jane\0secret", b"user=jane\x01auth=Bearer secret", b"x" * 50 + b"\0secret"])
def test_a_secret_in_a_response_to_another_mechanism_is_left_out(table: Table, name: bytes) -> None:
    row = begin(table)
    table.rows.ask(row, name, 991.0)
    assert b"secret" not in table.memory
    assert table.found(row).user.endswith("...")
    assert table.found(row).is_of(name)


def test_bytes_are_written_when_a_second_or_a_megabyte_has_passed(table: Table) -> None:
    row = begin(table)
    table.rows.relay(row, 992.3)

    def told(received: int, sent: int, now: float) -> tuple[int, int, int]:
        table.rows.note(row, received, sent, now)
        found = table.found(row)
        return found.received, found.sent, found.idle

    before = bytes(table.memory)
    assert told(500, 1000, 992.9) == (0, 0, 8)
    assert bytes(table.memory) == before  # not one store
    assert told(500, 1000, 993.0) == (500, 1000, 7)
    assert told(600, 1 << 20, 993.5) == (500, 1000, 7)
    assert told(1600, 1 << 20, 993.5) == (1600, 1 << 20, 7)


def test_sessions_beyond_the_rows_are_counted_and_not_listed(table: Table) -> None:
    rows = [begin(table) for _ in range(6)]
    assert rows == [0, 1, 2, 3, NO_ROW, NO_ROW]
    assert (table.word(USED), table.word(UNLISTED)) == (4, 2)
    calls: list[Callable[[], object]] = [
        lambda: table.rows.ask(NO_ROW, b"jane", 1.0),
        lambda: table.rows.dial(NO_ROW, InetAddress("127.0.0.1", 1), 1.0),
        lambda: table.rows.relay(NO_ROW, 1.0),
        lambda: table.rows.reject(NO_ROW, 1.0),
        lambda: table.rows.note(NO_ROW, 1, 1, 1.0),
        lambda: table.rows.move(NO_ROW, None),
        lambda: table.rows.serve(NO_ROW, 1),
        lambda: table.rows.pass_on(NO_ROW, Owner()),
        lambda: table.rows.owner(NO_ROW),
    ]
    assert [call() for call in calls] == [None] * len(calls)
    table.rows.close(NO_ROW)
    table.rows.close(2)
    assert table.word(UNLISTED) == 1
    assert begin(table) == 2
    assert begin(table) == NO_ROW


@pytest.mark.parametrize("row", [1, 4, min(1 << 40, sys.maxsize), -2])
def test_a_row_that_nobody_has_is_left_alone(table: Table, row: int) -> None:
    begin(table)
    table.rows.close(begin(table))
    before = bytes(table.memory)
    calls: list[Callable[[], object]] = [
        lambda: table.rows.ask(row, b"jane", 1.0),
        lambda: table.rows.relay(row, 1.0),
        lambda: table.rows.note(row, 1, 1, 1.0),
        lambda: table.rows.close(row),
        lambda: table.rows.pass_on(row, Owner()),
    ]
    for call in calls:
        with pytest.raises(IndexError):
            call()
    assert table.rows.owner(row) is None
    assert bytes(table.memory) == before


def test_a_row_knows_its_owner_until_it_is_closed(table: Table) -> None:
    owner = Owner()
    row = table.rows.open(owner, 1, 990.0, 0, InetAddress("::1", 1))
    assert table.rows.owner(row) is owner
    gone = weakref.ref(owner)
    del owner
    table.rows.close(row)
    gc.collect()
    assert gone() is None
    assert table.rows.owner(row) is None


def test_a_row_that_is_passed_on_has_another_owner(table: Table) -> None:
    row = begin(table)
    before, gone = bytes(table.memory), weakref.ref(table.rows.owner(row))
    owner = Owner()
    table.rows.pass_on(row, owner)
    gc.collect()
    assert (table.rows.owner(row), gone()) == (owner, None)
    assert bytes(table.memory) == before


def test_what_others_write_into_rows_misleads_nobody_about_their_places(table: Table) -> None:
    rows = [begin(table) for _ in range(3)]
    table.memory[:] = b"\xff" * len(table.memory)
    table.head[:] = b"\xff" * len(table.head)
    table.rows.ask(rows[1], b"jane", 991.0)
    table.rows.note(rows[1], 5, 5, 991.0)
    table.rows.close(rows[2])
    assert begin(table) == 2
    assert begin(table) == 3
    assert begin(table) == NO_ROW


HOSTS = (
    "10.1.2.3",
    "255.0.100.19",
    "256.1.1.1",
    "1.2.3",
    "01.2.3.4",
    "1.2.3.4 ",
    "::1",
    "unix:",
    "fe80::5%lo",
    "x",
    "1.2.3.4.5",
    "::ffff:1.2.3.4",
    ":" * 90,
)
ADDRESSES = st.one_of(
    st.builds(InetAddress, st.sampled_from(HOSTS), st.integers(0, 65535)), st.builds(UnixAddress, st.text(max_size=20))
)
STEPS = st.one_of(
    st.tuples(
        st.just("open"),
        st.integers(0, 1 << 40),
        st.floats(0, 1e9),
        st.integers(0, 9),
        ADDRESSES,
    ),
    st.tuples(st.just("close"), st.integers(-1, 5)),
    st.tuples(st.just("ask"), st.integers(-1, 5), st.binary(max_size=60), st.floats(0, 1e9)),
    st.tuples(st.sampled_from(("reject", "relay")), st.integers(-1, 5), st.floats(0, 1e9)),
    st.tuples(
        st.just("dial"),
        st.integers(-1, 5),
        st.one_of(ADDRESSES, st.none()),
        st.floats(0, 1e9),
    ),
    st.tuples(st.just("note"), st.integers(-1, 5), st.integers(0, 1 << 50), st.integers(0, 1 << 50), st.floats(0, 1e9)),
    st.tuples(st.just("move"), st.integers(-1, 5), ADDRESSES),
    st.tuples(st.just("serve"), st.integers(-1, 5), st.integers(0, 65535)),
)


@settings(deadline=None)
@given(steps=st.lists(STEPS, max_size=30), garbage=st.lists(st.tuples(st.integers(0, 511), st.binary(max_size=9))))
def test_c_and_python_write_the_same_bytes(steps: list[tuple[Any, ...]], garbage: list[tuple[int, bytes]]) -> None:
    tables = [Table(each.rows.Rows) for each in implementations().values()]
    for count, (name, *arguments) in enumerate(steps):
        owner = (Owner(),) if name == "open" else ()
        outcomes = []
        for table in tables:
            if count < len(garbage):  # of another worker, in the wrong hands
                place, data = garbage[count]
                table.memory[place : place + len(data)] = data[: len(table.memory) - place]
            try:
                outcomes.append(getattr(table.rows, name)(*owner, *arguments))
            except IndexError:
                outcomes.append(IndexError)
        assert all(outcome == outcomes[0] for outcome in outcomes)
        assert all(table.memory == tables[0].memory and table.head == tables[0].head for table in tables)
