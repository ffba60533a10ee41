"""Commands of the control socket about limits and bans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from mailworker.shm.session_row import State
from mailworker.status import control as module
from mailworker.status.control_server import Denied
from tests.mail.limits.settings import zone
from tests.mail.limits.test_zones import PREFIX, USER
from tests.mail.limits.test_zones import Bench as Zones
from tests.status.desk import PEOPLE, READER, Desk
from tests.status.sessions import session


def test_bans_leave_others_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TURN", 2)
    desk = Desk(limits=Zones(USER).zones)
    for number in range(4):
        desk.obey("ban", key=f"{number}", seconds=60)
    assert [bool(line) for line in desk.say("bans")] == [True, True, False, True, True, False, True]


def test_who_is_banned_is_listed_and_can_be_changed() -> None:
    desk = Desk(limits=Zones(PREFIX, USER).zones)
    assert desk.obey("ban", key="2001:db8::7", seconds=60) == [{"ok": True, "zones": ["prefix"]}]
    assert desk.obey("ban", key="2001:db8::7", seconds=60, zone="user") == [{"ok": True, "zones": ["user"]}]
    assert desk.obey("ban", key="192.0.2.7", seconds=60, zone="prefix") == [{"ok": True, "zones": ["prefix"]}]
    lines = desk.obey("bans", READER, zone="prefix")
    assert {line["ban"]["key"] for line in lines[:-1]} == {"192.0.2.7", "2001:db8::/64"}
    assert lines[-1] == {"ok": True, "count": 2}
    assert desk.obey("unban", key="192.0.2.7") == [{"ok": True, "zones": ["prefix"]}]
    assert desk.obey("unban", key="192.0.2.7") == [{"ok": True, "zones": []}]
    assert desk.obey("bans")[-1]["count"] == 2
    assert desk.obey("bans", limit=1)[-1]["count"] == 1
    assert desk.notes == [
        'control: uid 0 banned "2001:db8::7" for 60s in prefix',
        'control: uid 0 banned "2001:db8::7" for 60s in user',
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
        ("bans", {"zone": "x"}, 'unknown zone "x"'),
        ("ban", {"key": "x", "seconds": 5, "zone": "x"}, 'unknown zone "x"'),
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
    assert [line["ban"]["key"] for line in desk.obey("bans")[:-1]] == ["cafe"]


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
        (USER, {"state": "login"}, "none of the selected sessions is logged in"),
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
