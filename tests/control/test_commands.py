from __future__ import annotations

import json
from argparse import ArgumentTypeError
from collections.abc import Sequence
from typing import Any

import pytest

from mailworker.control.client import Client
from mailworker.control.commands import SUBCOMMANDS, seconds
from mailworker.control.main import parser
from tests.control.conftest import Server

BOB = {"id": "a", "user": "bob", "proto": "imap", "client": "192.0.2.1:5", "server": "in", "upstream": None,
       "state": "login", "age": 5, "idle": 1, "in": 10, "out": 2000}  # fmt: skip
ALICE = {**BOB, "id": "b", "user": "alice", "client": "[2001:db8::1]:5", "upstream": "198.51.100.1:143"}
NOBODY = {**BOB, "id": "c", "user": ""}
RELOAD: dict[str, Any] = {"time": 0.0, "started": 0.0, "generation": 2, "error": None}
NOTHING: dict[str, Any] = {"ok": True, "count": 0}


def sessions(*found: dict[str, Any]) -> list[dict[str, Any]]:
    return [*({"session": each} for each in found), {"ok": True, "count": len(found), "unlisted": 0}]


class Ran:
    """A subcommand: its exit code, what it has said, and what it has asked for."""

    def __init__(self, server: Server, line: str, *answers: Sequence[Any]) -> None:
        scripted = server(*answers)
        arguments = parser().parse_args(line.split())
        self.lines: list[str] = []
        with Client(scripted.path) as client:
            self.code = arguments.run(client, arguments, self.lines.append)
        self.requests = scripted.requests


def test_sessions_are_a_table(scripted: Server) -> None:
    ran = Ran(scripted, "sessions", sessions(BOB, ALICE))
    assert ran.lines == [
        "id  user   proto  client           server  upstream          state  age  idle  in   out",
        "a   bob    imap   192.0.2.1:5      in      -                 login   5s    1s  10  2.0K",
        "b   alice  imap   [2001:db8::1]:5  in      198.51.100.1:143  login   5s    1s  10  2.0K",
    ]
    assert ran.code == 0


def test_sessions_may_be_json(scripted: Server) -> None:
    ran = Ran(scripted, "sessions --json", sessions(BOB))
    assert [json.loads(line) for line in ran.lines] == [BOB]


def test_all_selectors_are_asked_for(scripted: Server) -> None:
    line = "sessions -u *@x -a 192.0.2.0/24 -b b:1 -p imap -s in --state relay -o 1h30m -i z --limit 5"
    ran = Ran(scripted, line, [NOTHING])
    assert ran.requests == [
        {"cmd": "sessions", "user": "*@x", "address": "192.0.2.0/24", "upstream": "b:1", "protocol": "imap",
         "server": "in", "state": "relay", "older": 5400, "id": "z", "limit": 5}
    ]  # fmt: skip
    assert (ran.code, ran.lines) == (1, [])


def test_several_users_are_asked_for_one_by_one_and_nobody_is_told_of_twice(scripted: Server) -> None:
    ran = Ran(scripted, "sessions bob b* -u alice --json", sessions(BOB), sessions(BOB), sessions(ALICE))
    assert [request["user"] for request in ran.requests] == ["bob", "b*", "alice"]
    assert [json.loads(line)["id"] for line in ran.lines] == ["a", "b"]


def test_no_more_sessions_are_shown_than_asked_for_however_many_users_were(scripted: Server) -> None:
    ran = Ran(scripted, "sessions bob alice --json --limit 1", sessions(BOB), sessions(ALICE))
    assert [json.loads(line)["id"] for line in ran.lines] == ["a"]


@pytest.mark.parametrize(
    ("client", "host"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("unix:", "unix:"),
    ],
)
def test_who_shows_the_address_of_a_client_whose_port_is_unknown(scripted: Server, client: str, host: str) -> None:
    ran = Ran(scripted, "who", sessions({**BOB, "client": client}))
    assert ran.lines[1] == f"bob       1  imap   ({host})"


def test_who_groups_users_as_doveadm_does(scripted: Server) -> None:
    other = {**BOB, "id": "d", "client": "192.0.2.2:7"}
    ran = Ran(scripted, "who", sessions(BOB, NOBODY, ALICE, other, {**BOB, "id": "e", "proto": "pop3"}))
    assert ran.lines == [
        "username  #  proto  (ips)",
        "alice     1  imap   (2001:db8::1)",
        "bob       2  imap   (192.0.2.1 192.0.2.2)",
        "bob       1  pop3   (192.0.2.1)",
    ]


def test_who_may_be_nobody(scripted: Server) -> None:
    assert Ran(scripted, "who", sessions(NOBODY)).code == 1


def test_kicks_are_counted(scripted: Server) -> None:
    line = "kick bob alice --reason stolen --rate 5 --ban 5m"
    answers = [[{"kicked": 1, "of": 2}, {"ok": True, "kicked": number, "foreign": 0}] for number in (2, 1)]
    ran = Ran(scripted, line, *answers)
    assert ran.requests == [
        {"cmd": "kick", "user": user, "reason": "stolen", "rate": 5, "ban": 300} for user in ("bob", "alice")
    ]
    assert (ran.lines, ran.code) == (["kicked 3 sessions"], 0)


def test_a_kick_tells_where_users_are_banned(scripted: Server) -> None:
    last = {"ok": True, "kicked": 1, "foreign": 0, "banned_in": ["user"], "not_banned_in": ["pairs"]}
    ran = Ran(scripted, "kick bob alice --ban 5m", [last], [last])
    said = ["kicked 2 sessions", "banned in user", "not banned in pairs: the key is not the user alone"]
    assert (ran.lines, ran.code) == (said, 0)
    ran = Ran(scripted, "kick bob --ban 5m --json", [last])
    assert [json.loads(line) for line in ran.lines] == [
        {"kicked": 1, "foreign": 0, "banned_in": ["user"], "not_banned_in": ["pairs"]}
    ]


def test_a_kick_of_nobody_says_so(scripted: Server) -> None:
    ran = Ran(scripted, "kick --all", [{"ok": True, "kicked": 0, "foreign": 2}])
    assert ran.requests == [{"cmd": "kick", "all": True}]
    assert ran.code == 1
    assert ran.lines[1].startswith("2 sessions more of the old binary")
    for kicked, code in ((1, 0), (0, 1)):
        ran = Ran(scripted, "kick --all --json", [{"ok": True, "kicked": kicked, "foreign": 2}])
        assert ([json.loads(line) for line in ran.lines], ran.code) == ([{"kicked": kicked, "foreign": 2}], code)


def test_a_dry_run_shows_who_is_meant(scripted: Server) -> None:
    ran = Ran(scripted, "kick bob --dry-run --json", [{"session": BOB}, {"ok": True, "count": 1}])
    assert ran.requests == [{"cmd": "kick", "user": "bob", "dry_run": True}]
    assert [json.loads(line) for line in ran.lines] == [BOB]


def test_certificates_are_listed_by_their_ends(scripted: Server) -> None:
    one = {"server": "in", "names": ["a.example", "b.example"], "days": 40, "ends": 2, "path": "/a"}
    two = {**one, "server": None, "names": ["c.example"], "days": 5, "ends": 1, "path": "/b"}
    old = {**two, "days": 1, "ends": 0.5, "path": "/c", "unused": ["c.example"], "fault": None}
    broken: dict[str, Any] = {"server": None, "names": [], "path": "/d", "fault": "is no certificate"}
    answer = [*({"certificate": each} for each in (one, two, broken, old)), {"ok": True, "count": 4}]
    assert Ran(scripted, "certificates", answer).lines == [
        "days  server  names                path  note",
        "   -  -       -                    /d    is no certificate",
        "   1  -       c.example            /c    not used for c.example",
        "   5  -       c.example            /b    -",
        "  40  in      a.example b.example  /a    -",
    ]
    assert len(Ran(scripted, "certificates --within 6", answer).lines) == 3
    assert Ran(scripted, "certificates --within 1", answer).code == 1


@pytest.mark.parametrize("command", ["reload", "reload-status"])
def test_what_came_of_a_reload_is_told(scripted: Server, command: str) -> None:
    ran = Ran(scripted, command, [{"ok": True, "reload": RELOAD}])
    assert ran.lines[0].startswith("configuration 2, last read at 19")
    assert ran.lines[0].endswith(": ok")
    assert ran.code == 0
    failed = {**RELOAD, "error": 'unknown directive "x\x1b"'}
    ran = Ran(scripted, command, [{"ok": False, "reload": failed}])
    assert ran.lines[0].startswith("reload failed at 19")
    assert ran.lines[0].endswith(r', configuration 2 stays in use: unknown directive "x\x1B"')
    assert ran.code == 1
    assert json.loads(Ran(scripted, f"{command} --json", [{"ok": True, "reload": failed}]).lines[0]) == failed


def test_the_level_of_the_log_is_shown_and_set(scripted: Server) -> None:
    ran = Ran(scripted, "log-level", [{"ok": True, "level": "info"}])
    assert (ran.lines, ran.requests) == (["info"], [{"cmd": "log-level"}])
    ran = Ran(scripted, "log-level default", [{"ok": True, "level": "error"}])
    assert (ran.lines, ran.requests) == (["error"], [{"cmd": "log-level", "level": "default"}])


def test_who_is_still_there_is_told(scripted: Server) -> None:
    workers = [
        {"worker": 0, "pid": 5, "serves": True, "leaving": False, "sessions": 3},
        {"worker": 1, "pid": 6, "serves": True, "leaving": True},
        {"worker": 1, "pid": 7, "serves": False, "leaving": False},
    ]
    answer = [{"ok": True, "shutdown": {"stopping": True, "workers": workers}}]
    assert Ran(scripted, "shutdown-status", answer).lines == [
        "shutting down",
        "worker 0 (pid 5): serving, 3 sessions",
        "worker 1 (pid 6): leaving",
        "worker 1 (pid 7): starting",
    ]
    assert json.loads(Ran(scripted, "shutdown-status --json", answer).lines[0])["stopping"] is True


@pytest.mark.parametrize(("verdicts", "code"), [(["refuses"], 0), (["refuses", "relays"], 1), (["unclear"], 1)])
def test_a_probe_is_good_where_all_refuse(scripted: Server, verdicts: list[str], code: int) -> None:
    found = [
        {
            "server": "in",
            "upstream": "192.0.2.1:25",
            "verdict": each,
            "how": "as the proxy",
            "command": "RCPT",
            "reply": "554 no",
        }
        for each in verdicts
    ]
    answer = [*({"probe": each} for each in found), {"ok": True}]
    ran = Ran(scripted, "probe-relay 192.0.2.1:25 -s in --from a@b --to c@d", answer)
    assert ran.requests == [
        {"cmd": "probe-relay", "upstream": "192.0.2.1:25", "server": "in", "from": "a@b", "to": "c@d"}
    ]
    assert ran.lines == [f"server in: 192.0.2.1:25 {each} as the proxy: RCPT -> 554 no" for each in verdicts]
    assert ran.code == code


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("0", 0), ("90", 90), ("5m", 300), ("1h30m", 5400), ("1h5", 3605), ("1d", 86400), ("1w1s", 604801)),
        *(("2M", 5184000), ("1y", 31536000)),
    ],
)
def test_times_are_written_as_in_a_configuration(text: str, number: int) -> None:
    assert seconds(text) == number


@pytest.mark.parametrize("text", ["", "m", "5x", "-1", "1.5h", "٣", "5m1h", "1h1h", "5\n", "5m 1s"])
def test_other_times_are_none(text: str) -> None:
    with pytest.raises(ArgumentTypeError):
        seconds(text)


def test_each_subcommand_stands_in_the_help() -> None:
    text = " ".join(parser().format_help().split())
    assert all(row.name in text and row.help in text for row in SUBCOMMANDS)


BAN = {"zone": "fail", "key": "192.0.2.7", "seconds": 890.5, "whole": True}
LIMIT = {"zone": "fail", "key": "$remote_addr", "entries": 3, "bans": 1, "room": 900, "dropped": 0}


def test_bans_and_limits_are_tables(scripted: Server) -> None:
    ran = Ran(scripted, "bans -z fail", [{"ban": BAN}, NOTHING])
    assert ran.lines == ["zone  key           for", "fail  192.0.2.7  14m50s"]
    assert ran.requests == [{"cmd": "bans", "zone": "fail"}]
    ran = Ran(scripted, "limits", [{"limit": LIMIT}, NOTHING])
    assert ran.lines == [
        "zone  key           entries  room  bans  dropped",
        "fail  $remote_addr        3   900     1        0",
    ]
    assert Ran(scripted, "bans", [NOTHING]).code == 1


def test_a_ban_has_a_time(scripted: Server) -> None:
    ran = Ran(scripted, "ban 192.0.2.7 15m", [{"ok": True, "zones": ["fail", "user"]}])
    assert (ran.lines, ran.code) == (["192.0.2.7 is banned in fail, user"], 0)
    assert ran.requests == [{"cmd": "ban", "key": "192.0.2.7", "seconds": 900}]
    ran = Ran(scripted, "ban 192.0.2.7 1 -z fail", [{"ok": True, "zones": ["fail"]}])
    assert ran.requests == [{"cmd": "ban", "key": "192.0.2.7", "seconds": 1, "zone": "fail"}]


def test_lifting_a_ban_that_is_not_there_matches_nothing(scripted: Server) -> None:
    ran = Ran(scripted, "unban 192.0.2.7 -z fail", [{"ok": True, "zones": []}])
    assert (ran.lines, ran.code) == (["192.0.2.7 is not banned"], 1)
    assert ran.requests == [{"cmd": "unban", "key": "192.0.2.7", "zone": "fail"}]
    ran = Ran(scripted, "unban 192.0.2.7 --json", [{"ok": True, "zones": ["fail"]}])
    assert ([json.loads(line) for line in ran.lines], ran.code) == ([{"zones": ["fail"]}], 0)
