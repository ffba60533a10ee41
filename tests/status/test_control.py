from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from mailworker.event.task import Task
from mailworker.status import control as module
from mailworker.status.control import COMMANDS
from mailworker.status.control_server import Denied
from mailworker.status.listing import shown
from mailworker.wire.control_request import BadControlRequest
from tests.status.desk import KICKED_NOBODY, PEOPLE, READER, RELOAD, ROOT, Desk
from tests.status.sessions import session


def test_sessions_are_listed_one_by_one() -> None:
    assert Desk(PEOPLE).obey("sessions") == [
        *({"session": shown(session)} for session in PEOPLE),
        {"ok": True, "count": 4, "unlisted": 3},
    ]


def test_a_list_may_be_chosen_and_have_a_limit() -> None:
    lines = Desk(PEOPLE).obey("sessions", READER, user="bob*", limit=1)
    assert lines == [{"session": shown(PEOPLE[0])}, {"ok": True, "count": 1, "unlisted": 3}]
    assert Desk(PEOPLE).obey("sessions", limit=0)[-1]["count"] == 0


@pytest.mark.parametrize(("command", "told"), [("sessions", {"count": 0, "unlisted": 3}), ("kick", KICKED_NOBODY)])
def test_a_search_leaves_others_their_turn(
    monkeypatch: pytest.MonkeyPatch, command: str, told: Mapping[str, Any]
) -> None:
    monkeypatch.setattr(module, "_TURN", 2)
    assert Desk(PEOPLE).say(command, user="nobody") == [{}, {}, {"ok": True, **told}]


def test_what_is_told_before_the_end_is_sent_at_once() -> None:
    desk = Desk(PEOPLE)
    assert desk.say("probe-relay", to="x") == [{"probe": {"found": {"to": "x"}}}, {}, {"ok": True}]
    assert desk.notes == ["control: uid 0 probes whether a backend relays"]
    lines = Desk(PEOPLE).say("kick", user="bob@example.com", rate=10)
    assert lines == [{"kicked": 1, "of": 2}, {}, {"ok": True, "kicked": 2, "foreign": 0}]


@pytest.mark.parametrize("command", ["sessions", "kick"])
def test_without_a_table_there_is_nobody_to_be_told_of(command: str) -> None:
    with pytest.raises(Denied, match="session_table"):
        Desk().obey(command, user="x")


def test_exactly_those_that_were_chosen_are_kicked() -> None:
    desk = Desk(PEOPLE)
    assert desk.obey("kick", user="bob@example.com", reason="stolen") == [{"ok": True, "kicked": 2, "foreign": 0}]
    assert desk.asked == [("kick", b"kicked by uid 0 (stolen)\n2 1 id1\n2 4 id4")]
    assert desk.notes == ['control: uid 0 kicked 2 sessions of user "bob@example.com" (stolen)']


def test_a_kick_needs_somebody() -> None:
    desk = Desk(PEOPLE)
    for keys in ({}, {"all": False}, {"reason": "x"}, {"dry_run": True}):
        with pytest.raises(Denied, match=r'needs a selector, or "all" \(--all of mailworker-ctl\)'):
            desk.obey("kick", **keys)
    assert not desk.asked
    assert not desk.notes


def test_all_may_be_kicked_who_say_so() -> None:
    desk = Desk(PEOPLE)
    assert desk.obey("kick", all=True)[-1]["kicked"] == 4
    assert desk.notes == ["control: uid 0 kicked 4 sessions of all"]


def test_a_dry_run_shows_them_and_does_nothing() -> None:
    desk = Desk(PEOPLE)
    assert desk.obey("kick", user="alice", dry_run=True) == [
        {"session": shown(PEOPLE[1])},
        {"ok": True, "count": 1},
    ]
    assert not desk.asked
    assert not desk.notes


def test_those_of_the_program_before_are_its_to_end() -> None:
    desk = Desk([session(1), session(2, foreign=True)])
    assert desk.obey("kick", all=True) == [{"ok": True, "kicked": 2, "foreign": 0}]
    assert desk.asked == [("kick", b"kicked by uid 0\n2 1 id1"), ("kick-former", b"kicked by uid 0\n2 2 id2")]
    desk.former = False
    assert desk.obey("kick", all=True) == [{"ok": True, "kicked": 1, "foreign": 1}]
    assert desk.kicked == ["id1", "id1"]


def test_a_rate_spreads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SLICE", 0.02)
    desk = Desk([session(number) for number in range(10)])
    lines = desk.obey("kick", all=True, rate=100)
    assert [places.count(b"\n") for _, places in desk.asked] == [2] * 5
    assert desk.times[-1] - desk.times[0] >= 4 * 0.02
    assert lines == [*({"kicked": told, "of": 10} for told in (2, 4, 6, 8)), {"ok": True, "kicked": 10, "foreign": 0}]


def test_a_slow_rate_ends_one_at_a_time() -> None:
    desk = Desk([session(number) for number in range(3)])
    desk.obey("kick", all=True, rate=8)
    assert [places.count(b"\n") for _, places in desk.asked] == [1] * 3
    assert desk.times[-1] - desk.times[0] >= 2 / 8


def test_many_are_asked_for_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 4)
    desk = Desk([session(number) for number in range(10)])
    desk.obey("kick", all=True, rate=1_000_000)
    assert [places.count(b"\n") for _, places in desk.asked] == [4, 4, 2]


def test_whoever_leaves_in_the_middle_is_logged_with_what_was_done() -> None:
    desk = Desk([session(number) for number in range(100)])

    async def run() -> None:
        async for line in desk.control("kick", {"all": True, "rate": 10}, ROOT):
            assert line

    task = Task(desk.loop, run())
    task.resume()
    task.cancel()
    assert desk.notes == ["control: uid 0 kicked 1 session of all"]


def test_text_of_an_asker_forges_no_line_of_the_log() -> None:
    desk = Desk(PEOPLE)
    desk.obey("kick", user='a") x "', reason='b") y')
    assert desk.notes == [r'control: uid 0 kicked 0 sessions of user "a\x22) x \x22" (b\x22) y)']


@pytest.mark.parametrize("command", [name for name, row in COMMANDS.items() if row.changes is True])
def test_a_readonly_socket_changes_nothing(command: str) -> None:
    desk = Desk(PEOPLE)
    with pytest.raises(Denied, match="read-only"):
        desk.obey(command, READER)
    assert not desk.asked
    assert not desk.notes


def test_a_readonly_socket_may_ask_for_the_level_and_not_set_it() -> None:
    desk = Desk()
    assert desk.obey("log-level", READER) == [{"ok": True, "level": "debug"}]
    assert desk.asked == [("level", b"")]
    with pytest.raises(Denied, match="read-only"):
        desk.obey("log-level", READER, level="debug")


@pytest.mark.parametrize(("level", "number"), [("debug", b"8"), ("error", b"4"), ("default", b"0")])
def test_the_level_of_the_log_can_be_set(level: str, number: bytes) -> None:
    desk = Desk()
    assert desk.obey("log-level", level=level) == [{"ok": True, "level": "debug"}]
    assert desk.asked == [("level", number)]
    name = "the configured one" if level == "default" else level
    assert desk.notes == [f"control: uid 0 sets the level of the error log to {name}"]
    desk.logs = False  # it has not been told of, so it is once more when it may be
    desk.obey("log-level", level=level)
    assert len(desk.notes) == 3


def test_a_reload_is_asked_for_and_told_of() -> None:
    desk = Desk()
    assert desk.obey("reload") == [{"ok": True, "reload": RELOAD}]
    assert desk.notes == ["control: uid 0 reloads"]
    desk.reload = {**RELOAD, "error": "no"}
    assert desk.obey("reload")[-1]["ok"] is False
    assert desk.obey("reload-status", READER) == [{"ok": True, "reload": desk.reload}]


def test_what_else_there_is_can_be_asked_for() -> None:
    desk = Desk()
    assert desk.obey("certificates", READER) == [{"certificate": {"days": 5}}, {"ok": True, "count": 1}]
    desk.certificates.clear()
    assert desk.obey("certificates", READER) == [{"ok": True, "count": 0}]
    assert desk.obey("shutdown-status", READER) == [{"ok": True, "shutdown": {"stopping": False, "workers": []}}]


def test_help_tells_which_commands_change_something_and_by_which_keys() -> None:
    told = {line["command"]["cmd"]: line["command"] for line in Desk().obey("help", READER)[:-1]}
    assert [*told] == [*COMMANDS]
    assert told["kick"]["changes"] is True
    assert told["sessions"]["changes"] is False
    assert json.dumps(told["log-level"]) == '{"cmd": "log-level", "keys": ["level"], "changes": ["level"]}'


@pytest.mark.parametrize("command", ["", "nothing", "SESSIONS", "x" * 4000])
def test_an_unknown_command_is_refused(command: str) -> None:
    with pytest.raises(Denied, match="unknown command"):
        Desk().obey(command)


@pytest.mark.parametrize("command", COMMANDS)
def test_unknown_keys_are_refused_by_all_commands(command: str) -> None:
    desk = Desk(PEOPLE)
    with pytest.raises(BadControlRequest, match='unknown key "usr"'):
        desk.obey(command, usr="bob")
    assert not desk.asked
    assert not desk.notes
