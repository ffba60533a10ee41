"""A helper's questions to the master, which answers when it has done what was asked for."""

from __future__ import annotations

import json
import socket
from itertools import count
from typing import Any

from mailworker.errors import MailworkerError
from mailworker.event.task import Task, wait_for
from mailworker.process.link import Question, ask
from mailworker.status.control_server import Denied


class _Silent(Denied):
    """The master has not answered in time."""


class _Reply:
    """The master's reply to one question; the task that asked waits for it."""

    __slots__ = ("_seconds", "_task", "words")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._task: Task | None = None
        self.words: Any = None

    def park(self, task: Task) -> None:
        """See Waitable."""
        self._task = task
        task.loop.set_deadline(task, task.loop.now + self._seconds)

    def timed_out(self) -> MailworkerError:
        """See Waitable."""
        self._task = None
        return _Silent("the master does not answer")

    def come(self, words: Any) -> None:
        self.words = words
        task, self._task = self._task, None
        if task is not None:
            task.resume()


class Asking:
    """Numbers questions, and hands each answer to the task that asked."""

    __slots__ = ("_link", "_numbers", "_replies")

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._numbers = count(1)
        self._replies: dict[int, _Reply] = {}

    async def ask(self, command: str, argument: bytes, seconds: float) -> dict[str, Any]:
        """The master's answer. Raises Denied, with the master's words, or when `seconds` have passed."""
        number = next(self._numbers)
        self._replies[number] = reply = _Reply(seconds)
        try:
            if not ask(self._link, Question(number, command.encode(), argument)):
                raise Denied("the master has too much to do")
            await wait_for(reply)
        finally:
            del self._replies[number]
        words: dict[str, Any] = reply.words
        if words.get("error") is not None and len(words) == 1:
            raise Denied(words["error"])
        return words

    def answered(self, number: int, words: bytes) -> None:
        """Take the answer to a question; the link calls this."""
        reply = self._replies.get(number)
        if reply is not None:
            reply.come(json.loads(words))
