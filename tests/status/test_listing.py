from __future__ import annotations

from typing import Any

import pytest

from mailworker.shm.session_row import SessionRow, State
from mailworker.status.listing import SELECTORS, Selection, shown
from mailworker.wire.control_request import BadControlRequest, take
from tests.status.sessions import session


def selects(row: SessionRow, **keys: Any) -> bool:
    return Selection.of(take(keys, SELECTORS)).selects(row)


def test_a_session_is_told_of_in_the_order_of_the_columns() -> None:
    assert shown(session(7)) == {
        "id": "id7",
        "user": "bob@example.com",
        "proto": "imap",
        "client": "192.0.2.1:4711",
        "server": "in",
        "upstream": "198.51.100.1:143",
        "state": "relay",
        "age": 60,
        "idle": 5,
        "in": 100,
        "out": 200,
    }


def test_clients_are_written_as_addresses_are() -> None:
    assert shown(session(client="2001:db8::1"))["client"] == "[2001:db8::1]:4711"
    assert shown(session(client="unix:", client_port=0))["client"] == "unix:"
    assert shown(session(foreign=True))["foreign"] is True


@pytest.mark.parametrize(
    ("key", "value", "meant"),
    [
        ("user", "BOB@*", True),
        ("user", "alice", False),
        ("address", "192.0.2.0/24", True),
        ("address", "192.0.2.2", False),
        ("address", "2001:db8::/32", False),
        ("address", "unix:", False),
        ("upstream", "198.51.100.1:143", True),
        ("upstream", "198.51.100.1", True),
        ("upstream", "198.51.100.1:993", False),
        ("upstream", "198.51.100.10", False),
        ("protocol", "imap", True),
        ("protocol", "pop3", False),
        ("server", "in", True),
        ("server", "out", False),
        ("state", "relay", True),
        ("state", "login", False),
        ("older", 60, True),
        ("older", 61, False),
        ("id", "id0", True),
        ("id", "id", False),
    ],
)
def test_each_selector_chooses(key: str, value: Any, meant: bool) -> None:
    assert selects(session(), **{key: value}) is meant


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [("protocol", "imaps", "imap, pop3, smtp, sieve"), ("state", "relaying", "login, auth, upstream, relay")],
)
def test_a_protocol_or_state_that_nobody_can_have_is_refused(key: str, value: str, words: str) -> None:
    with pytest.raises(BadControlRequest, match=rf'^"{key}" must be one of {words}$'):
        take({key: value}, SELECTORS)
    for word in words.split(", "):
        assert take({key: word}, SELECTORS) == {key: word}


def test_all_selectors_must_hold() -> None:
    assert selects(session(), user="bob*", protocol="imap")
    assert not selects(session(), user="bob*", protocol="pop3")


def test_a_name_may_have_any_bytes() -> None:
    assert selects(session(name=b"caf\xe9"), user="caf?")
    assert not selects(session(name=b"caf\xe9"), user="caf")


def test_without_selectors_everybody_is_meant_and_whoever_asks_can_tell() -> None:
    assert not Selection.of({})
    assert Selection.of(take({"user": "*"}, SELECTORS))
    assert selects(session())


def test_who_has_not_logged_in_is_nobodys_session() -> None:
    row = session(user="", backend=None, state=State.LOGIN)
    assert not selects(row, user="*")
    for name in ("198.51.100.1", "unix:", "unix:/run/imap.sock"):
        assert not selects(row, **{"upstream": name})
    assert selects(row, address="192.0.2.1")


def test_ipv6_is_meant_with_and_without_brackets_and_ipv4_in_it_as_ipv4() -> None:
    row = session(backend="[2001:db8::2]:143", client="::ffff:192.0.2.1")
    assert selects(row, **{"upstream": "[2001:db8::2]:143"})
    assert selects(row, **{"upstream": "[2001:db8::2]"})
    assert selects(row, **{"upstream": "2001:db8::2"})
    for client in ("192.0.2.1", "::ffff:192.0.2.1"):
        for address in ("192.0.2.1", "::ffff:192.0.2.1", "::ffff:192.0.2.0/120", "::ffff:0:0/96"):
            assert selects(session(client=client), address=address)
        assert not selects(session(client=client), address="::ffff:192.0.2.2")


def test_a_unix_socket_is_a_client_too() -> None:
    row = session(client="unix:", client_port=0, backend="unix:")
    assert selects(row, address="unix:")
    assert selects(row, **{"upstream": "unix:"})
    assert not selects(row, address="0.0.0.0/0")
    assert not selects(row, **{"upstream": "unix"})


def test_a_backend_that_is_a_unix_socket_is_chosen_by_its_whole_path_as_it_is_listed_or_with_all_others() -> None:
    path = "/run/dovecot/imap.sock"
    row = session(backend="unix:...ot/imap.sock", path=path)
    for name in ("unix:", f"unix:{path}", "unix:...ot/imap.sock"):
        assert selects(row, **{"upstream": name})
        assert not selects(session(), **{"upstream": name})
    for name in ("unix:/run/other/imap.sock", "unix:imap.sock", "unix", path, "[]"):
        assert not selects(row, **{"upstream": name})


def test_a_name_that_was_shortened_is_found_whole_and_by_its_ends() -> None:
    whole = "a-very-long-name-of-somebody-at-this-place@example.com"
    row = session(user=whole)._replace(user="a-very-long-name...ace@example.com")
    assert selects(row, user=whole)
    assert selects(row, user="*@example.com")
    assert selects(row, user="a-very*")
    assert not selects(row, user="b-very*")
    assert not selects(row, user=row.user)
    assert not selects(row, user=whole.replace("some", "any"))
