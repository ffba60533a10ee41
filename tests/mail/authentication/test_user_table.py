from __future__ import annotations

from collections.abc import Generator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailworker.mail.authentication import cost
from mailworker.mail.authentication.user_table import UserTable, build

DEAR = b"$6$rounds=656000$saltsalt$" + b"a" * 86


def table_of(text: bytes) -> tuple[UserTable, list[tuple[int, str]]]:
    complaints: list[tuple[int, str]] = []
    return UserTable(finish(build(text, lambda *complaint: complaints.append(complaint[1:])))), complaints


def finish(building: Generator[None, None, bytes]) -> bytes:
    while True:
        try:
            next(building)
        except StopIteration as end:
            content: bytes = end.value
            return content


@pytest.mark.parametrize("count", [0, 1, 2, 3, 1000, 5000])
def test_all_users_of_a_file_are_found_and_nobody_else(count: int) -> None:
    names = [b"user-%d@example.com" % number for number in range(count)]
    table, complaints = table_of(b"".join(b"%b:{PLAIN}of %b\n" % (name, name) for name in names))
    assert not complaints
    for number, name in enumerate(names, 1):
        user = table.find(name)
        assert user is not None
        assert (user.row.name, user.row.password, user.line, user.dear) == (name, b"{PLAIN}of " + name, number, False)
    for name in (b"", b"user", b"user-0@example.co", b"user-%d@example.com" % count, b"USER-0@example.com"):
        assert table.find(name) is None


@pytest.mark.parametrize("text", [b"", b"anna:{PLAIN}a", b"anna:{PLAIN}a\n", b"\xff"])
def test_a_table_knows_the_text_that_it_was_built_from(text: bytes) -> None:
    table, _ = table_of(text)
    assert table.is_of(text)
    for other in (text + b"\n\n", b"b" + text, text[1:] + b"b"):
        assert not table.is_of(other)


@pytest.mark.parametrize("text", [b"anna:{PLAIN}a", b"\n\nanna:{PLAIN}a\r\n", b"# anna:{PLAIN}b\nanna:{PLAIN}a\n"])
def test_lines_end_as_they_like(text: bytes) -> None:
    user = table_of(text)[0].find(b"anna")
    assert user is not None
    assert user.row.password == b"{PLAIN}a"


def test_broken_lines_are_told_by_their_numbers_and_all_others_count() -> None:
    table, complaints = table_of(
        b"# users\nanna:{PLAIN}a\nberta:{HMAC}b\n\ncarla:{PLAIN}c::::::port=x\nanna:{PLAIN}other\n"
        + b"d" * 70000
        + b":x\nemil:{PLAIN}e\nfrida\n"
    )
    assert complaints == [
        (3, 'unknown password scheme "HMAC"'),
        (5, 'invalid port "x"'),
        (6, 'user "anna" is there already'),
        (7, "too long line"),
        (9, 'no ":" behind the name'),
    ]
    users = {name: table.find(name) for name in (b"anna", b"berta", b"carla", b"emil")}
    assert [name for name, user in users.items() if user is not None] == [b"anna", b"emil"]
    assert users[b"anna"] is not None
    assert users[b"anna"].row.password == b"{PLAIN}a"


def test_of_a_file_in_another_format_a_hundred_lines_are_told() -> None:
    _, complaints = table_of(b"a:{HMAC}x\n" * 150)
    reason = 'unknown password scheme "HMAC"'
    assert complaints[:-1] == [(number, reason) for number in range(1, 100)]
    assert complaints[-1] == (100, f"{reason}, and what is wrong behind it is not told")


def test_dear_passwords_are_told_once_for_each_kind() -> None:
    table, complaints = table_of(b"".join(b"u%d:%b\n" % (number, DEAR) for number in range(3)) + b"y:$y$j9T$a$b\n")
    (first, dear), second = complaints
    assert first == 1
    assert dear.startswith("password by SHA512-CRYPT with 656000 rounds, which 3 users have, takes ")
    assert dear.endswith("ms to check: logins with it fail")
    assert second == (4, "password by yescrypt takes too long to check: logins with it fail")
    user = table.find(b"u1")
    assert user is not None
    assert user.dear


@given(st.binary(max_size=300))
@example(b":\n\n:x:\r\n\0:{PLAIN}\xff\n")
@example(b"a:{SSHA.HEX}\xff:::::::host=\xff port=9\n")
def test_any_bytes_are_users_or_broken_lines(text: bytes) -> None:
    table, complaints = table_of(text)
    assert table.count + len(complaints) <= len(text.split(b"\n"))
    for line in text.split(b"\n"):
        user = table.find(line.partition(b":")[0])
        assert user is None or user.row.name == line.partition(b":")[0].removesuffix(b"\r")


def test_the_decoy_is_of_the_most_frequent_kind_that_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "MOST", 0.05)  # a busy machine may need 2 ms for SHA512-CRYPT
    sha512 = b"$6$saltsalt$" + b"a" * 86
    lines = [b"a:$1$saltsalt$" + b"a" * 22, b"b:" + sha512, b"c:" + sha512, *(b"%d:%b" % (n, DEAR) for n in range(5))]
    work = table_of(b"\n".join(lines))[0].decoy.work
    assert work is not None
    assert work.name == "SHA512-CRYPT with 5000 rounds"
    assert table_of(b"a:{PLAIN}a\n")[0].decoy.work is None


def test_building_rests_now_and_then() -> None:
    text = b"".join(b"user-%d:{PLAIN}x\n" % number for number in range(3000))
    assert sum(1 for _ in build(text, lambda level, line, reason: None)) >= 10
