from __future__ import annotations

import json
import os
import re
import threading
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailworker.log.line import MAX_JSON, MAX_LINE, LineBuilder, describe
from mailworker.model import Level


def test_a_line_is_that_of_nginx() -> None:
    line = LineBuilder().build(Level.INFO, "client logged in, client: 127.0.0.1", 7)
    assert re.fullmatch(
        rb"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[info\] %d#%d: \*7 client logged in, client: 127.0.0.1\n"
        % (os.getpid(), threading.get_native_id()),
        line,
    )


def test_a_line_without_a_connection_has_no_number() -> None:
    assert LineBuilder().build(Level.NOTICE, "exit").endswith(b": exit\n")


@pytest.mark.parametrize("level", list(Level))
def test_levels_have_names_of_nginx(level: Level) -> None:
    names = ["emerg", "alert", "crit", "error", "warn", "notice", "info", "debug"]
    assert b" [%s] " % names[level - 1].encode() in LineBuilder().build(level, "x")


@given(st.text(st.characters(), max_size=3000), st.integers(1) | st.none())
def test_a_record_is_one_bounded_line(message: str, connection: int | None) -> None:
    line = LineBuilder().build(Level.ERROR, message, connection)
    assert len(line) <= MAX_LINE
    assert not re.search(rb"[\x00-\x1f\x7f]", line[:-1])
    assert line.endswith(b"\n")


@pytest.mark.parametrize(
    ("message", "written"),
    [
        (b"caf\xe9.conf", rb"caf\xE9.conf"),
        (b"\xef\xbb\xbfevents", rb"\xEF\xBB\xBFevents"),
        (b"143\xc2\xa0ssl", rb"143\xC2\xA0ssl"),
        ("Jürgen".encode(), "Jürgen".encode()),
    ],
)
def test_what_cannot_be_seen_is_written_byte_by_byte(message: bytes, written: bytes) -> None:
    text = message.decode("utf-8", "surrogateescape")
    assert LineBuilder().build(Level.EMERG, text).endswith(b": %s\n" % written)


def test_a_long_message_is_cut() -> None:
    assert len(LineBuilder().build(Level.ERROR, "x" * 5000)) == MAX_LINE
    for shift in range(4):  # no character in two pieces
        assert "\U0001f4e7" in LineBuilder().build(Level.ERROR, "x" * shift + "\U0001f4e7" * 1000).decode()


def test_time_follows_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    builder = LineBuilder()
    monkeypatch.setenv("TZ", "UTC")
    for seconds, stamp in [(0.9, b"1970/01/01 00:00:00"), (1.0, b"1970/01/01 00:00:01"), (0.0, b"1970/01/01 00:00:00")]:
        monkeypatch.setattr("time.time", lambda seconds=seconds: seconds)
        assert builder.build(Level.INFO, "x").startswith(stamp)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (FileNotFoundError(2, "whatever"), "(2: No such file or directory)"),
        (OSError(0, "whatever"), "(0: [Errno 0] whatever)"),
        (TimeoutError("timed out"), "(0: timed out)"),  # Python's own, without a number
    ],
)
def test_system_errors_are_described_as_nginx_does(error: OSError, text: str) -> None:
    assert describe(error) == text


class Session:
    """Whose line it is."""

    def __init__(self, login: str) -> None:
        self.login = login

    def suffix(self) -> str:
        return f', login: "{self.login}"'

    def members(self) -> dict[str, str | bool]:
        return {"login": self.login, "starttls": True}


def test_a_json_line_has_what_nginx_s_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.9)
    monkeypatch.setattr(time, "localtime", time.gmtime)
    line = LineBuilder().build_json(Level.WARN, "a message", 7, Session("u"))
    assert line.endswith(b"\n")
    found = json.loads(line)
    assert re.fullmatch(r"2023-11-14T22:13:20[+-]\d\d:\d\d", found.pop("time"))
    ids = {"pid": os.getpid(), "tid": threading.get_native_id()}
    assert found == {"level": "warn", **ids, "connection": 7, "message": "a message", "login": "u", "starttls": True}
    assert json.loads(LineBuilder().build_json(Level.WARN, "x", None, None)).keys() == {
        "time",
        "level",
        *ids,
        "message",
    }


def test_a_json_line_has_letters_as_they_are() -> None:
    assert "Jürgen".encode() in LineBuilder().build_json(Level.WARN, "x", None, Session("Jürgen"))


@given(st.text(max_size=5000), st.text(max_size=5000))
@example("\x9b31m\u202e\u2028\x7f", "\ufeff")
@example("x" * 700, "\\xC3" * 5000)
@example("no", "\U0001f4e7" * 5000)
def test_a_json_line_is_one_valid_object_whatever_is_in_it(message: str, login: str) -> None:
    line = LineBuilder().build_json(Level.INFO, message, None, Session(login))
    assert line.endswith(b"\n")
    assert line[:-1].decode().isprintable()  # a terminal that shows the log obeys nothing in it
    assert len(line) <= MAX_JSON
    found = json.loads(line)
    for text, whole in ((found["message"], message), (found["login"], login)):
        assert text == whole or (len(text) >= MAX_JSON // 40 and whole.startswith(text))


def test_bytes_that_are_no_characters_stay_a_valid_object() -> None:
    line = LineBuilder().build_json(Level.INFO, b"a\xffb".decode("utf-8", "surrogateescape"), None, None)
    assert json.loads(line.decode("ascii"))["message"] == "a\udcffb"
