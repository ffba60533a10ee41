from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pytest

from mailworker.event.loop import Loop
from mailworker.event.task import Task
from mailworker.mail.limits.zones import LimitZones
from mailworker.shm.session_row import SessionRow, State
from mailworker.status import control as module
from mailworker.status.control import COMMANDS, Control, Means
from mailworker.status.control_server import Asker, Denied
from mailworker.status.listing import shown
from mailworker.wire.control_request import BadControlRequest
from tests.mail.limits.settings import zone
from tests.mail.limits.test_zones import PREFIX, USER
from tests.mail.limits.test_zones import Bench as Zones
from tests.status.sessions import session

ROOT = Asker(0, False)
READER = Asker(33, True)
KICKED_NOBODY = {"kicked": 0, "foreign": 0}
RELOAD = {"time": 1.0, "started": 1.0, "generation": 2, "error": None}


class Desk:
    """What the commands need, and what they have done with it."""

    made: ClassVar[list[Desk]] = []

    def __init__(self, sessions: Sequence[SessionRow] | None = None, limits: LimitZones | None = None) -> None:
        self.all = sessions
        self.asked: list[tuple[str, bytes]] = []
        self.times: list[float] = []
        self.notes: list[str] = []
        self.certificates = [{"days": 5}]
        self.logs = True
        self.former = True
        self.reload: dict[str, Any] = RELOAD
        self.bugs: list[BaseException] = []
        self.loop = Loop(self.bugs.append)
        self.made.append(self)
        self.control = Control(
            Means(
                None if sessions is None else self.sessions,
                lambda: 3,
                self.ask,
                lambda: iter(self.certificates),
                lambda: {"stopping": False, "workers": []},
                self.probe,
                self.note,
                limits or Zones().zones,
            )
        )

    def note(self, text: str) -> bool:
        self.notes.append(text)
        return self.logs

    def sessions(self) -> Iterator[SessionRow]:
        return iter(self.all or ())

    async def ask(self, command: str, argument: bytes, _seconds: float) -> dict[str, Any]:
        self.asked.append((command, argument))
        self.times.append(self.loop.now)
        if command.startswith("kick"):
            return {"told": argument.count(b"\n") if command == "kick" or self.former else 0}
        return {"level": "debug"} if command == "level" else self.reload

    async def probe(self, found: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        yield {"found": dict(found)}

    def obey(self, command: str, asker: Asker = ROOT, **keys: Any) -> list[Mapping[str, Any]]:
        """The lines of an answer. Raises what the command raises."""
        return [line for line in self.say(command, asker, **keys) if line]

    def say(self, command: str, asker: Asker = ROOT, **keys: Any) -> list[Mapping[str, Any]]:
        """As `obey`, with empty lines where what was said so far is sent."""
        lines: list[Mapping[str, Any]] = []
        errors: list[Exception] = []

        async def run() -> None:
            try:
                lines.extend([line async for line in self.control(command, keys, asker)])
            except Exception as error:
                errors.append(error)
            self.loop.stop()

        task = Task(self.loop, run())
        task.resume()
        if not errors and not (lines and "ok" in lines[-1]):
            self.loop.run()
        if errors:
            raise errors[0]
        assert "ok" in lines[-1]
        assert not self.bugs
        return lines

    @property
    def kicked(self) -> list[str]:
        return [place.split()[2].decode() for command, places in self.asked if command == "kick"
                for place in places.splitlines()[1:]]  # fmt: skip


@pytest.fixture(autouse=True)
def close() -> Iterator[None]:
    yield
    while Desk.made:
        Desk.made.pop().loop.close()


PEOPLE = [session(1), session(2, "alice", "pop3"), session(3, "", state=State.LOGIN, backend=None), session(4)]


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


def test_bans_leave_others_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TURN", 2)
    desk = Desk(limits=Zones(USER).zones)
    for number in range(4):
        desk.obey("ban", key=f"{number}", seconds=60)
    assert [bool(line) for line in desk.say("bans")] == [True, True, False, True, True, False, True]


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
        with pytest.raises(Denied, match=r'needs somebody to end: a selector, or "all" \(--all of mailworker-ctl\)'):
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
    with pytest.raises(Denied, match="nothing can be changed"):
        desk.obey(command, READER)
    assert not desk.asked
    assert not desk.notes


def test_a_readonly_socket_may_ask_for_the_level_and_not_set_it() -> None:
    desk = Desk()
    assert desk.obey("log-level", READER) == [{"ok": True, "level": "debug"}]
    assert desk.asked == [("level", b"")]
    with pytest.raises(Denied, match="nothing can be changed"):
        desk.obey("log-level", READER, level="debug")


@pytest.mark.parametrize(("level", "number"), [("debug", b"8"), ("error", b"4"), ("default", b"0")])
def test_the_level_of_the_log_can_be_set(level: str, number: bytes) -> None:
    desk = Desk()
    assert desk.obey("log-level", level=level) == [{"ok": True, "level": "debug"}]
    assert desk.asked == [("level", number)]
    name = "what is configured" if level == "default" else level
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


def test_who_is_banned_is_listed_and_can_be_changed() -> None:
    desk = Desk(limits=Zones(PREFIX, USER).zones)
    assert desk.obey("ban", key="2001:db8::7", seconds=60) == [{"ok": True, "zones": ["prefix", "user"]}]
    assert desk.obey("ban", key="192.0.2.7", seconds=60, zone="prefix") == [{"ok": True, "zones": ["prefix"]}]
    lines = desk.obey("bans", READER, zone="prefix")
    assert {line["ban"]["key"] for line in lines[:-1]} == {"192.0.2.7", "2001:db8::/64"}
    assert lines[-1] == {"ok": True, "count": 2}
    assert desk.obey("unban", key="192.0.2.7") == [{"ok": True, "zones": ["prefix"]}]
    assert desk.obey("unban", key="192.0.2.7") == [{"ok": True, "zones": []}]
    assert desk.obey("bans")[-1]["count"] == 2
    assert desk.obey("bans", limit=1)[-1]["count"] == 1
    assert desk.notes == [
        'control: uid 0 banned "2001:db8::7" for 60s in prefix, user',
        'control: uid 0 banned "192.0.2.7" for 60s in prefix',
        'control: uid 0 lifted the ban of "192.0.2.7" in prefix',
    ]


def test_limits_tell_how_full_they_are() -> None:
    lines = Desk(limits=Zones(PREFIX).zones).obey("limits", READER)
    assert lines[0]["limit"]["zone"] == "prefix"
    assert lines[1:] == [{"ok": True, "count": 1}]


@pytest.mark.parametrize(
    ("command", "keys", "reason"),
    [
        ("ban", {"key": "x"}, 'needs "key" and "seconds"'),
        ("ban", {"seconds": 5}, 'needs "key" and "seconds"'),
        ("ban", {"key": "192.0.2.0/24", "seconds": 5}, 'needs a zone of "limit_auth" with "ban=" that has such keys'),
        ("unban", {}, 'needs "key"'),
        ("bans", {"zone": "x"}, 'there is no zone "x"'),
        ("ban", {"key": "x", "seconds": 5, "zone": "x"}, 'there is no zone "x"'),
    ],
)
def test_bans_need_what_they_are_about(command: str, keys: Mapping[str, Any], reason: str) -> None:
    with pytest.raises(Denied, match=reason):
        Desk(limits=Zones(PREFIX).zones).obey(command, **keys)


def test_a_ban_that_no_zone_can_take_is_refused() -> None:
    desk = Desk(limits=Zones(zone("$binary_remote_prefix$remote_user", name="composed")).zones)
    with pytest.raises(Denied, match="that has such keys"):
        desk.obey("ban", key="192.0.2.7bob", seconds=60)
    assert not desk.notes


def test_users_whose_sessions_end_can_be_kept_out_for_a_while() -> None:
    desk = Desk(PEOPLE, Zones(PREFIX, USER).zones)
    assert desk.obey("kick", user="*", ban=300, reason="stolen")[-1]["kicked"] == 3
    assert {line["ban"]["key"] for line in desk.obey("bans")[:-1]} == {"alice", "bob@example.com"}
    assert desk.notes == [
        "control: uid 0 banned 2 users for 300s in user",
        'control: uid 0 kicked 3 sessions of user "*" (stolen)',
    ]


def test_nobody_is_kept_out_whose_name_a_stranger_has_sent() -> None:
    """A client that has not logged in may have sent the name of any user."""
    strangers = [session(5, "carol", state=state) for state in State if state is not State.RELAY]
    desk = Desk([*PEOPLE, *strangers], Zones(USER).zones)
    assert desk.obey("kick", all=True, ban=300)[-1]["ok"]
    assert {line["ban"]["key"] for line in desk.obey("bans")[:-1]} == {"alice", "bob@example.com"}


def test_only_users_whose_names_are_known_are_kept_out() -> None:
    """A client of SMTP may have no name, and of a long one the table has a part."""
    desk = Desk([session(1, ""), session(2, "x" * 300), session(3, name=b"caf\xe9")], Zones(USER).zones)
    assert desk.obey("kick", all=True, ban=300)[-1]["kicked"] == 3
    assert [line["ban"]["key"] for line in desk.obey("bans")[:-1]] == [r"caf\xE9"]


def test_a_user_is_kept_out_who_has_no_session_yet() -> None:
    desk = Desk([], Zones(USER).zones)
    last = {"ok": True, "kicked": 0, "foreign": 0, "banned_in": ["user"], "not_banned_in": []}
    assert desk.obey("kick", user="bob", ban=60) == [last]
    assert [line["ban"]["key"] for line in desk.obey("bans")[:-1]] == ["bob"]


def test_a_kick_tells_which_zones_keep_users_out_and_which_cannot() -> None:
    desk = Desk(PEOPLE, Zones(USER, zone("$remote_addr$remote_user", name="pairs")).zones)
    last = desk.obey("kick", user="bob*", ban=60)[-1]
    assert (last["banned_in"], last["not_banned_in"]) == (["user"], ["pairs"])
    assert [line["ban"]["zone"] for line in desk.obey("bans")[:-1]] == ["user"]
    where = "in user, not in pairs, whose key is not the user alone"
    assert desk.notes[0] == f"control: uid 0 banned 1 user for 60s {where}"


@pytest.mark.parametrize(
    ("zone", "keys", "reason"),
    [
        (zone("$remote_addr$remote_user", name="pairs"), {"user": "bob*"}, "the user, not in pairs, whose key is not"),
        (USER, {"state": "login"}, "nobody who is meant is logged in"),
        (PREFIX, {"user": "bob*"}, "whose key is the user"),
    ],
)
def test_where_nobody_can_be_kept_out_nobody_is_kicked(zone: Any, keys: Mapping[str, Any], reason: str) -> None:
    desk = Desk(PEOPLE, Zones(zone).zones)
    with pytest.raises(Denied, match=reason):
        desk.obey("kick", ban=60, **keys)
    assert not desk.asked
    assert not desk.notes


def test_a_dry_run_bans_nobody() -> None:
    desk = Desk(PEOPLE, Zones(USER).zones)
    desk.obey("kick", user="*", ban=300, dry_run=True)
    assert desk.obey("bans")[-1]["count"] == 0
