"""Questions of a helper to the master, which answers each when it has done what was asked for."""

from __future__ import annotations

import json
import socket
from itertools import count
from typing import Any

from mailworker.errors import MailworkerError
from mailworker.event.task import Task, wait_for
from mailworker.process.link import Answer, Question, ask
from mailworker.status.control_server import Denied


class _NoAnswer(Denied):
    """The master has not answered in time."""


class _Awaited:
    """The answer to one question, which is forgotten with the task that waits for it. See Waitable."""

    __slots__ = ("_seconds", "_task", "words")

    _task: Task
    words: dict[str, Any]

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def park(self, task: Task) -> None:
        self._task = task
        task.loop.set_deadline(task, task.loop.now + self._seconds)

    def timed_out(self) -> MailworkerError:
        return _NoAnswer("the master does not answer")

    def arrive(self, words: dict[str, Any]) -> None:
        self.words = words
        self._task.resume()


class Questions:
    """Numbers questions, and gives each answer to the task that asked."""

    __slots__ = ("_answers", "_link", "_numbers")

    def __init__(self, link: socket.socket) -> None:
        self._answers: dict[int, _Awaited] = {}
        self._link = link
        self._numbers = count(1)

    async def ask(self, command: str, argument: bytes, seconds: float) -> dict[str, Any]:
        """The master's answer. Raises Denied with the master's words, or after `seconds`."""
        number = next(self._numbers)
        self._answers[number] = answer = _Awaited(seconds)
        try:
            if not ask(self._link, Question(number, command.encode(), argument)):
                raise Denied("the master has too much to do")
            await wait_for(answer)
        finally:
            del self._answers[number]
        if answer.words.get("error") is not None and len(answer.words) == 1:
            raise Denied(answer.words["error"])
        return answer.words

    def answered(self, answer: Answer) -> None:
        """Take the answer to a question."""
        waiting = self._answers.get(answer.number)
        if waiting is not None:
            waiting.arrive(json.loads(answer.words))
