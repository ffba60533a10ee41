from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from mailworker.event.loop import Loop
from mailworker.event.task import Task
from mailworker.process.link import Answer, Question, answer, open_link, receive_messages
from mailworker.process.questions import Questions
from mailworker.status.control_server import Denied

Link = tuple[socket.socket, socket.socket]


@pytest.fixture
def link() -> Iterator[Link]:
    ends = open_link()
    yield ends
    while Helper.made:
        Helper.made.pop().loop.close()
    for end in ends:
        end.close()


class Helper:
    """One that asks, and what came of it."""

    made: ClassVar[list[Helper]] = []

    def __init__(self, link: Link) -> None:
        self.master, own = link
        self.loop = Loop(lambda bug: None)
        self.questions = Questions(own)
        self.answers: list[Any] = []
        self.made.append(self)

    def ask(self, command: str, argument: bytes = b"", seconds: float = 10.0) -> Task:
        async def run() -> None:
            try:
                self.answers.append(await self.questions.ask(command, argument, seconds))
            except Denied as error:
                self.answers.append(str(error))
            self.loop.stop()

        task = Task(self.loop, run())
        task.resume()
        return task


def test_each_question_gets_its_own_answer(link: Link) -> None:
    helper = Helper(link)
    helper.ask("one", b"a\0b")
    helper.ask("two")
    assert receive_messages(link[0]) == ([Question(1, b"one", b"a\0b"), Question(2, b"two", b"")], False)
    helper.questions.answered(Answer(2, b'{"b": 2}'))
    helper.questions.answered(Answer(1, b'{"a": 1}'))
    assert helper.answers == [{"b": 2}, {"a": 1}]


def test_what_the_master_refuses_is_refused(link: Link) -> None:
    helper = Helper(link)
    helper.ask("one")
    helper.questions.answered(Answer(1, b'{"error": "no"}'))
    helper.ask("two")
    helper.questions.answered(Answer(2, b'{"error": "of a reload", "generation": 1}'))
    assert helper.answers == ["no", {"error": "of a reload", "generation": 1}]


def test_a_silent_master_is_given_up_and_its_late_answer_passed_over(link: Link) -> None:
    helper = Helper(link)
    asked = helper.loop.now
    helper.ask("one", seconds=0.01)
    helper.loop.run()
    assert helper.loop.now - asked >= 0.005
    helper.questions.answered(Answer(1, b"{}"))
    assert helper.answers == ["the master does not answer"]


def test_an_answer_for_somebody_who_has_gone_is_passed_over(link: Link) -> None:
    helper = Helper(link)
    helper.ask("one").cancel()
    helper.questions.answered(Answer(1, b"{}"))
    assert helper.answers == []


def test_a_master_that_is_gone_answers_nothing(link: Link) -> None:
    helper = Helper(link)
    link[0].close()
    helper.ask("one")
    assert helper.answers == ["the master has too much to do"]


def test_answers_come_by_the_link(link: Link) -> None:
    helper = Helper(link)
    assert answer(link[0], 7, json.dumps({"a": "\0"}).encode())
    assert link[1].recv(100).startswith(b"answer\0007\0")
    assert helper.answers == []
