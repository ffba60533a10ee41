from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from mailworker.log.log import Log
from mailworker.model import Level
from mailworker.process.children import Asked, Child, Children, Place
from mailworker.process.cycle import Cycle
from mailworker.process.handover.upgrade import Upgrade
from mailworker.process.kicking import Kicking
from mailworker.process.link import Answer, Kick, Question, Receiver, open_link
from mailworker.process.status_process import StatusProcess
from mailworker.process.steering import Steering
from mailworker.status.master_state import MasterState


class Logs:
    def __init__(self) -> None:
        self.limited: Level | None = None
        self.log = Log([(Level.ERROR, cast("Any", None))])

    @property
    def level(self) -> Level:
        return self.log.level

    def limit(self, level: Level | None) -> None:
        self.limited = level
        self.log.limit(level)


class Master:
    """One that does nothing but remember."""

    def __init__(self) -> None:
        self.cycle = cast("Cycle", self)
        self.logs = Logs()
        self.later: list[Callable[[], None]] = []
        self.levels: list[Level | None] = []
        self.questions: list[Question] = []
        self.refused: str | None = None
        self.reloads = False
        self.room = True
        self.former: list[bytes] = []
        self.successor: list[bytes] = []
        self.begun = 0
        link, self._theirs = open_link()
        self.child = Child(1, Place(StatusProcess, 0), self.cycle, 0.0, link, 0)
        self._receiver = Receiver(self._theirs)
        self.state = MasterState()
        children = cast("Children", self)
        self.kicks: list[tuple[int, Kick]] = []
        kicking = Kicking(self.kick, self.after)
        self.steering = Steering(self, children, kicking, cast("Upgrade", self), self.state, self.after)

    def after(self, _seconds: float, action: Callable[[], None]) -> None:
        self.later.append(action)

    def take_questions(self) -> list[Asked]:
        questions, self.questions = self.questions, []
        return [Asked(self.child, question) for question in questions]

    def kick(self, worker: int, kick: Kick) -> bool:
        self.kicks.append((worker, kick))
        return self.room

    def kick_former(self, sessions: bytes) -> bool:
        self.former.append(sessions)
        return self.room

    def take_kicks(self) -> list[bytes]:
        kicks, self.successor = self.successor, []
        return kicks

    def limit_logs(self, level: Level | None) -> bool:
        self.levels.append(level)
        return self.room

    def reconfigure(self) -> str | None:
        self.begun += self.refused is None
        self.reloads = self.refused is None
        return self.refused

    def ask(self, *questions: Question) -> list[tuple[int, Any]]:
        """Have these received; gives the answers that have come since."""
        self.questions += questions
        self.steering.receive()
        return self.answers()

    def answers(self) -> list[tuple[int, Any]]:
        found = []
        while self._receiver.has_message:
            answer = self._receiver.take()
            assert isinstance(answer, Answer)
            found.append((answer.number, json.loads(answer.words)))
        return found

    def close(self) -> None:
        for end in (self.child.link, self._theirs):
            end.close()


@pytest.fixture
def master() -> Iterator[Master]:
    master = Master()
    yield master
    master.close()


def test_what_it_does_not_know_is_refused(master: Master) -> None:
    assert master.ask(Question(1, b"exec", b"/bin/sh")) == [(1, {"error": "unknown command of the master"})]


def test_the_level_of_all_logs_is_set_and_told(master: Master) -> None:
    assert master.ask(Question(1, b"level", b"")) == [(1, {"level": "error"})]
    assert master.ask(Question(2, b"level", b"8")) == [(2, {"level": "debug"})]
    assert master.ask(Question(3, b"level", b"0")) == [(3, {"level": "error"})]
    assert master.levels == [Level.DEBUG, None]


@pytest.mark.parametrize("word", [b"9", b"-1", b"debug", b"1.0", b"\xff", b"9" * 5000])
def test_a_level_that_is_none_is_refused(master: Master, word: bytes) -> None:
    assert master.ask(Question(1, b"level", word)) == [(1, {"error": "unknown log level"})]
    assert master.levels == []


def test_a_child_without_room_is_told_later(master: Master) -> None:
    master.room = False
    master.ask(Question(1, b"level", b"8"))
    master.room = True
    master.later.pop()()
    assert master.levels == [Level.DEBUG, Level.DEBUG]
    assert master.later == []


def test_a_child_without_room_is_told_later_what_holds_then(master: Master) -> None:
    master.room = False
    master.ask(Question(1, b"level", b"8"))
    master.room = True
    master.ask(Question(2, b"level", b"0"))
    master.later.pop()()
    assert master.levels == [Level.DEBUG, None, None]


def test_a_reload_ends_a_level_that_a_child_had_no_room_for(master: Master) -> None:
    master.room = False
    master.ask(Question(1, b"level", b"8"))
    master.room, master.logs = True, Logs()
    master.later.pop()()
    assert master.levels == [Level.DEBUG, None]


def test_a_reload_is_answered_when_it_has_ended(master: Master) -> None:
    assert master.ask(Question(1, b"reload", b"")) == []
    master.state.reload(None, None)
    master.steering.reloaded()
    assert master.answers() == [(1, master.state.last_reload)]
    assert master.state.last_reload["generation"] == 2
    assert master.ask(Question(2, b"reload-status", b"")) == [(2, master.state.last_reload)]


def test_a_reload_that_fails_tells_why(master: Master) -> None:
    master.ask(Question(1, b"reload", b""))
    master.state.reload(None, "unknown directive")
    master.steering.reloaded()
    ((_, answer),) = master.answers()
    assert (answer["error"], answer["generation"]) == ("unknown directive", 1)


def test_whoever_asks_during_a_reload_waits_for_the_next_one(master: Master) -> None:
    master.ask(Question(1, b"reload", b""))
    master.ask(Question(2, b"reload", b""))
    master.steering.reloaded()
    assert [number for number, _ in master.answers()] == [1]
    master.steering.reloaded()
    assert [number for number, _ in master.answers()] == [2]
    assert master.begun == 2


def test_a_reload_that_cannot_begin_or_is_given_up_is_told_of(master: Master) -> None:
    master.refused = "it is shutting down"
    assert master.ask(Question(1, b"reload", b"")) == [(1, {"error": "it is shutting down"})]
    master.refused = None
    master.ask(Question(2, b"reload", b""), Question(3, b"reload", b""))
    master.steering.abandoned()
    assert master.answers() == [(number, {"error": "the reload was abandoned"}) for number in (2, 3)]
    master.steering.reloaded()
    assert master.answers() == []


def test_a_child_that_asks_all_the_time_leaves_others_their_turn(master: Master) -> None:
    master.ask(*(Question(number, b"level", b"") for number in range(64)))
    assert master.later == [master.steering.receive]


def test_a_new_master_ends_sessions_here_and_leaves_others_their_turn(master: Master) -> None:
    master.successor = [b"why\n1 5 a", b"garbage"]
    assert master.ask() == []
    assert (master.kicks, master.later) == ([(1, Kick(((5, "a"),), "why"))], [])
    master.successor = [b"why\n1 5 a"] * 64
    master.ask()
    assert master.later == [master.steering.receive]


def test_a_child_that_is_gone_is_answered_nothing(master: Master) -> None:
    master.child.link.shutdown(socket.SHUT_RDWR)
    assert master.ask(Question(1, b"level", b"")) == []


def test_sessions_that_are_to_end_go_to_their_workers(master: Master) -> None:
    places = "kicked by uid 0 (gestohlen: ü)\n1 5 a-_Z\n2 6 b\n1 7 c".encode()
    assert master.ask(Question(1, b"kick", places)) == [(1, {"told": 3})]
    why = "kicked by uid 0 (gestohlen: ü)"
    assert master.kicks == [(1, Kick(((5, "a-_Z"), (7, "c")), why)), (2, Kick(((6, "b"),), why))]


def test_sessions_of_the_program_before_go_to_its_master(master: Master) -> None:
    assert master.ask(Question(1, b"kick-former", b"why\n1 5 a\n2 6 b")) == [(1, {"told": 2})]
    master.room = False
    assert master.ask(Question(2, b"kick-former", b"why\n1 5 a")) == [(2, {"told": 0})]
    assert master.former == [b"why\n1 5 a\n2 6 b", b"why\n1 5 a"]
    assert master.kicks == []


def test_too_many_sessions_at_once_are_refused(master: Master, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailworker.process.kicking.MOST_WAITING", 2)
    refused = {"error": "too many sessions are already about to be ended"}
    assert master.ask(Question(1, b"kick", b"why\n1 5 a\n1 6 b\n1 7 c")) == [(1, refused)]
    assert master.kicks == []


@pytest.mark.parametrize("command", [b"kick", b"kick-former"])
@pytest.mark.parametrize(
    "places",
    [b"x\n", b"x\n1 2", b"x\n1 2 a b", b"x\n-1 2 a", b"x\n1 2 \xff", b"x\n1 2 a;b", b"x\n" + b"9" * 20 + b" 2 a",
     b"a\x1b[m\n1 2 a", b"x\n1 2 a\n"],
)  # fmt: skip
def test_what_names_no_sessions_ends_none(master: Master, places: bytes, command: bytes) -> None:
    assert master.ask(Question(1, command, places)) == [(1, {"error": "invalid list of sessions"})]
    assert master.kicks == []
    assert master.former == []
