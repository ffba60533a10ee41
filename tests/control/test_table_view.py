from __future__ import annotations

from typing import Any

import pytest

from mailworker.control.client import Client
from mailworker.control.table_view import KEYS, Source, View
from tests.control.conftest import Server

ROWS: list[dict[str, Any]] = [
    {"id": "a", "user": "bob", "proto": "imap", "client": "192.0.2.1:5", "server": "in", "upstream": None,
     "state": "login", "age": 5, "idle": 1, "in": 10, "out": 2000},
    {"id": "b", "user": "Alice", "proto": "imap", "client": "192.0.2.2:5", "server": "in",
     "upstream": "198.51.100.1:143", "state": "relay", "age": 50, "idle": 40, "in": 100, "out": 20},
    {"id": "c", "user": "", "proto": "pop3", "client": "192.0.2.1:7", "server": "in", "upstream": None,
     "state": "login", "age": 1, "idle": 1, "in": 0, "out": 20},
]  # fmt: skip


def ids(view: View) -> list[str]:
    return [row["id"] for row in view.of(ROWS)]


def test_the_oldest_come_first() -> None:
    assert ids(View()) == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("key", "found"),
    [("user", "cba"), ("upstream", "acb"), ("out", "abc"), ("in", "bac"), ("client", "acb"), ("age", "cab")],
)
def test_each_column_orders(key: str, found: str) -> None:
    assert "".join(ids(View().by(key))) == found


def test_numbers_are_ordered_by_their_size_and_names_without_regard_to_case() -> None:
    rows = [{**ROWS[0], "id": str(age), "age": age, "user": user} for age, user in ((9, "b"), (100, "C"), (20.5, "A"))]
    assert [row["id"] for row in View().of(rows)] == ["100", "20.5", "9"]
    assert [row["user"] for row in View().by("user").of(rows)] == ["A", "b", "C"]


def test_the_same_column_once_more_orders_the_other_way() -> None:
    assert ids(View().by("user").by("user")) == ["a", "b", "c"]


def test_columns_are_gone_through_in_a_circle() -> None:
    view = View()
    assert [view := view.moved(1) for _ in KEYS][-1].key == "age"
    assert View(key=KEYS[0]).moved(-1).key == KEYS[-1]


@pytest.mark.parametrize(
    ("text", "found"), [("", "bac"), ("ALICE", "b"), ("192.0.2.1 login", "ac"), ("pop3", "c"), ("nobody", "")]
)
def test_words_choose(text: str, found: str) -> None:
    assert "".join(ids(View().filtered(text))) == found


def test_cells_tell_a_terminal_nothing() -> None:
    cells = View().cells({**ROWS[0], "user": "b\x1b[31m"})
    assert cells == ("a", r"b\x1B[31m", "imap", "192.0.2.1:5", "in", "-", "login", "5s", "1s", "10", "2.0K")


def test_what_was_seen_stays_where_nobody_answers(scripted: Server) -> None:
    server = scripted(
        [{"session": ROWS[0]}, {"ok": True, "count": 1, "unlisted": 0}], [{"error": "no\x1b"}], [None], [None]
    )
    with Client(server.path) as client:
        source = Source(client, {"user": "b*"})
        source.refresh()
        assert (source.rows, source.count, source.error) == ([ROWS[0]], 1, "")
        source.refresh()
        assert (source.rows, source.error) == ([ROWS[0]], r"no\x1B")
        source.refresh()
        assert source.error.endswith("the connection has ended")
    assert server.requests[0] == {"cmd": "sessions", "user": "b*", "limit": 10_000}
